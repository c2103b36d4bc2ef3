"""How fast the API's limit lets work be done, beside what a user would pick instead.

One simulator for all, with 250 ms latency and a strict limit of ten requests in any one second; each contender runs
alone. Requests and 429s are the simulator's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from bench.contenders import PEERS, Contender, cio_fdw, multicorn, peer, together
from bench.plots import Bars, write_bars
from bench.report import heading, machine, row
from bench.tasks import Figures, Task, needed, parts, tasks
from cio_fdw.secret import Secret
from cio_fdw.simulator.client import Simulator

LATENCY_MS, RATE = 250, 10
MESSAGES, CAMPAIGNS = 108_000, 300
"""Over 6.5 months, of which 6 are in reach: about 100,000."""
BACKENDS = 12
SERIAL = ("loop", "dlt")
INGESTR = (
    "ingestr is not among them: from 1.0 on its wheel is a launcher that downloads a program when it is first run, and "
    "up to 0.14 its Customer.io source knows two roots of the API, of the regions us and eu, so that neither can be "
    "pointed at the simulator."
)


class Result(NamedTuple):
    who: str
    rows: int
    requests: int
    needed: int
    limited: int
    seconds: float
    memory_mb: float

    @property
    def share(self) -> float:
        """Requests that were answered, as a share of what the limit allows in that time."""
        return (self.requests - self.limited) / self.seconds / RATE


def limit() -> Iterator[str]:
    """The section `limit`: one table for each task."""
    with ExitStack() as stack:
        simulator = stack.enter_context(
            Simulator(seed=1, messages=MESSAGES, campaigns=CAMPAIGNS, rate=RATE, latency_ms=LATENCY_MS)
        )
        options, key = {"base_url": simulator.url}, Secret(simulator.key)
        ours, url = stack.enter_context(cio_fdw(options, key))
        contenders, missing = [ours], ""
        try:
            contenders.append(stack.enter_context(multicorn(options, key))[0])
        except LookupError as reason:
            missing = f"Multicorn2 is not among them: {reason}."
        contenders += [peer(name, simulator) for name in PEERS]
        yield from machine(url)
        now_s = int(time.time())
        everything, *others = tasks(simulator, now_s)
        crowd = Task(f"every message in reach, by {BACKENDS} at once", everything.what, everything.start_s)
        bars = []
        for task, at_once in ((everything, [everything]), *((other, [other]) for other in others),
                              (crowd, parts(crowd, BACKENDS, now_s))):  # fmt: skip
            again = [Contender(f"{ours.name}, again", ours.run)] if task is everything else []
            present = [ours, *again, *contenders[1:]]
            results = [measured(contender, task, at_once, simulator) for contender in present]
            yield from told(task, results)
            bars.append(Bars(task.title, [(one.who, one.seconds, f"{one.seconds:.1f} s") for one in results]))
        write_bars("limit", "Seconds of each task, at ten requests a second and 250 ms latency", bars)
        yield "![Seconds of each task](images/limit.svg)\n"
        yield from filter(None, (INGESTR, missing))


def measured(contender: Contender, task: Task, at_once: Sequence[Task], simulator: Simulator) -> Result:
    """One contender's run of all of `at_once` together; `task` is what they are as a whole."""
    time.sleep(1)  # the windows of the limit are empty again
    simulator.reset()
    found: list[Figures] = together(contender, at_once)
    log = simulator.log()
    return Result(
        contender.name,
        sum(one.rows for one in found),
        len(log),
        needed(task, [one.rows for one in found], simulator),
        sum(entry["status"] == 429 for entry in log),
        found[0].seconds,
        max(one.memory_mb for one in found),
    )


def told(task: Task, results: Sequence[Result]) -> Iterator[str]:
    yield f"### {task.title[0].upper()}{task.title[1:]}\n"
    yield from heading("with", "rows", "requests", "over full pages", "429", "s", "of the limit", "rows/s", "MB")
    for one in results:
        yield row(
            one.who, f"{one.rows:,}", one.requests, f"{one.requests / one.needed - 1:+.0%}", one.limited,
            f"{one.seconds:.1f}", f"{one.share:.0%}", f"{one.rows / one.seconds:,.0f}", f"{one.memory_mb:,.0f}",
        )  # fmt: skip
    yield ""
    serial = [one for one in results if one.who in SERIAL]
    if serial:
        fastest = min(serial, key=lambda one: one.seconds)
        yield f"cio_fdw is {fastest.seconds / results[0].seconds:.1f} times as fast as {fastest.who}.\n"
    if len({one.rows for one in results}) > 1:
        yield "**The contenders did not find the same number of rows.**\n"
