"""Uneven traffic: how well a scan of all messages uses the limit when they lie thick in some hours and thin in others.

Each shape is a simulated workspace of its own; only the times of the messages differ, and in the last lines their
number. Each is scanned twice: the second scan is divided as the first one showed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Callable

from bench.backend import Backend
from bench.contenders import cio_fdw
from bench.limit import LATENCY_MS, RATE, Result, measured
from bench.plots import Bars, write_bars
from bench.report import heading, machine, row
from bench.tasks import ALL_DAYS, DAY_S, Task
from cio_fdw.secret import Secret
from cio_fdw.simulator.client import Simulator

MESSAGES, BATCH = 60_000, 5_000
TIMES, LARGE = 5, ("even", "random", "burst old")
"""So many times as many messages, of these shapes too: work that outlasts the start and the end of a scan."""
BURST_SHARE = 0.9

Place = Callable[[int], float]
"""From the number of a message to its place in the range: 0 is the oldest second, 1 the newest."""


def shapes(count: int) -> dict[str, Place]:
    draw = random.Random(1).random

    def burst(at: float) -> Place:
        """Nine of ten within one day."""
        return lambda _number: at + draw() / ALL_DAYS if draw() < BURST_SHARE else draw()

    return {
        "even": lambda number: number / count,
        "random": lambda _number: draw(),
        "burst now": burst(1 - 1 / ALL_DAYS),
        "burst old": burst(28 / ALL_DAYS),
        "growth": lambda _number: draw() ** 0.5,
        "decline": lambda _number: 1 - draw() ** 0.5,
        "an hour of every week": lambda number: (number % 25) / 25 + draw() * 3600 / (ALL_DAYS * DAY_S),
    }


def traffic() -> Iterator[str]:
    """The section `traffic`."""
    with cio_fdw({"base_url": "http://127.0.0.1:9"}, Secret("test-key")) as (contender, url):
        yield from machine(url)
        yield from heading(
            "messages lie", "rows", "requests", "over full pages", "s", "of the limit", "rows/s", "MB",
            "again: requests", "over full pages", "s", "of the limit",
        )  # fmt: skip
        first, second = [], []
        sizes = [(name, MESSAGES) for name in shapes(MESSAGES)] + [(name, TIMES * MESSAGES) for name in LARGE]
        for name, count in sizes:
            place = shapes(count)[name]
            with Simulator(seed=1, messages=0, campaigns=3, rate=RATE, latency_ms=LATENCY_MS) as simulator:
                now_s = int(time.time())
                start_s = now_s - ALL_DAYS * DAY_S
                fill(simulator, [start_s + 1 + int(place(i) * (now_s - start_s - 2)) for i in range(count)])
                with Backend(url) as backend:
                    backend.execute(f"alter server customerio options (set base_url '{simulator.url}')")
                task = Task(name, "messages", start_s)
                one, again = (measured(contender, task, [task], simulator) for _ in range(2))
            speed, memory = f"{one.rows / one.seconds:,.0f}", f"{one.memory_mb:,.0f}"
            yield row(name, f"{one.rows:,}", *_used(one), speed, memory, *_used(again))
            title = name if count == MESSAGES else f"{name}, {count:,}"
            first.append((title, one.share, f"{one.share:.0%}"))
            second.append((title, again.share, f"{again.share:.0%}"))
        bars = [Bars("a first scan", first, whole=1.0, ours=True), Bars("the second", second, whole=1.0, ours=True)]
        write_bars("traffic", "Share of the limit that a scan uses", bars)
        yield "\n![Share of the limit by traffic](images/traffic.svg)"


def _used(one: Result) -> tuple[int, str, str, str]:
    return one.requests, f"{one.requests / one.needed - 1:+.0%}", f"{one.seconds:.1f}", f"{one.share:.0%}"


def fill(simulator: Simulator, created_s: list[int]) -> None:
    for start in range(0, len(created_s), BATCH):
        simulator.add_messages(*({"created": at_s} for at_s in created_s[start : start + BATCH]))
