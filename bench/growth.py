"""Memory of a scan of a million rows, and what ten times the rows cost: without latency or limit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.backend import Backend
from bench.contenders import cio_fdw
from bench.conversion import SCAN, rows_of
from bench.report import heading, machine, row
from bench.tasks import PAGE_ROWS
from cio_fdw.secret import Secret
from cio_fdw.simulator.client import Simulator

MESSAGES = 1_120_000
"""Over 6.5 months, of which 6 are in reach: a million."""
GOAL_MB = 50
RANGES = ("1.9 days", "18.5 days", "")
"""Newest first; about ten times the rows each time."""


def growth() -> Iterator[str]:
    """The section `growth`: a new backend for each line, so that its peak is its own."""
    with Simulator(messages=MESSAGES, rate=0, seed=1) as simulator:
        options = {"base_url": simulator.url, "requests_per_second": "1000"}
        with cio_fdw(options, Secret(simulator.key)) as (_, url):
            yield from machine(url)
            with Backend(url) as backend:
                backend.run("select 1")
                idle_mb = backend.memory_mb()
                backend.run("select id from customerio.messages limit 1")
                python_mb = backend.memory_mb()
            titles = ("rows", "requests", "over full pages", "s", "rows/s", "most memory, MB", "over idle, MB")
            yield from heading(*titles)
            for days in RANGES:
                where = f"customerio.messages where created > now() - interval '{days}'" if days else ""
                with Backend(url) as backend:
                    backend.run("select 1")
                    simulator.reset()
                    cost = backend.run(SCAN.format("*", where or "customerio.messages"))
                    rows, requests, most_mb = rows_of(cost), len(simulator.log()), backend.memory_mb("VmHWM")
                over = requests / max(math.ceil(rows / PAGE_ROWS), 1) - 1
                yield row(
                    f"{rows:,}", f"{requests:,}", f"{over:+.0%}", f"{cost.wall_s:.2f}", f"{rows / cost.wall_s:,.0f}",
                    f"{most_mb:.0f}", f"{most_mb - idle_mb:.0f}",
                )  # fmt: skip
            yield f"\nAn idle backend has {idle_mb:.0f} MB, one that read a single row, with Python in it, "
            yield f"{python_mb:.0f} MB. The goal is at most {GOAL_MB} MB over idle for a million rows."
