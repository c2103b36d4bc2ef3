"""How fast rows are converted when the API takes no time: the native door, and Multicorn2 where it is installed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Optional

from bench.backend import Backend, Cost
from bench.contenders import cio_fdw, multicorn
from bench.plots import Bars, write_bars
from bench.report import heading, machine, row
from cio_fdw.secret import Secret
from cio_fdw.simulator.client import Simulator

RUNS, MESSAGES = 5, 335_000
"""Over 6.5 months, of which 6 are in reach: about 300,000."""
SCAN = "explain (analyze, timing off, summary off) select {} from {}"
ALL_COLUMNS = """
    select string_agg(quote_ident(attname), ', ') from pg_attribute
    where attrelid = 'customerio.messages'::regclass and attnum > 0 and attname <> 'raw'"""
THREE = "id, created, type"
NARROW = (
    "create foreign table three (id text, created timestamptz, type text) server customerio "
    "options (endpoint 'messages')"
)
SCANS: tuple[tuple[str, Optional[str], str, int], ...] = (
    ("all columns and raw", "*", "customerio.messages", 100_000),
    ("all columns without raw", None, "customerio.messages", 150_000),
    ("three columns", THREE, "customerio.messages", 400_000),
    ("three columns of a table that has only these", THREE, "three", 0),
    ("raw alone", "raw", "customerio.messages", 0),
    ("no column, count(*)", "/* none */", "customerio.messages", 0),
)
"""Title, columns (None: all but raw), table, and the goal in rows a second of one processor (0: none)."""
TEXTS = "create temp table texts as select raw::text as record from customerio.messages"
PARSED = SCAN.format("record::jsonb", "texts")


def conversion() -> Iterator[str]:
    """The section `conversion`; scans of the two doors alternate."""
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(messages=MESSAGES, rate=0, seed=1))
        options, key = {"base_url": simulator.url, "requests_per_second": "1000"}, Secret(simulator.key)
        _, url = stack.enter_context(cio_fdw(options, key))
        backends, missing = [stack.enter_context(Backend(url))], ""
        try:
            backends.append(stack.enter_context(Backend(stack.enter_context(multicorn(options, key))[1])))
        except LookupError as reason:
            missing = f" Multicorn2 was not measured: {reason}."
        yield from machine(url)
        titles = ["scan", "rows", "s", "rows/s", "rows/s of processor time", "goal"]
        yield from heading(*titles, *(["Multicorn2, rows/s", "of processor time", "ratio"] if backends[1:] else []))
        for backend in backends:
            backend.execute(NARROW)
            backend.run(SCAN.format("id", "customerio.messages"))  # warms the simulator up
        without_raw = backends[0].run(ALL_COLUMNS).result[0][0]
        bars = []
        for title, columns, table, goal in SCANS:
            query = SCAN.format(without_raw if columns is None else columns, table)
            found = [_rates(costs) for costs in _alternating(backends, query)]
            rows, wall_s, per_s, per_cpu_s = found[0]
            others = [f"{found[1][2]:,.0f}", f"{found[1][3]:,.0f}", f"{per_s / found[1][2]:.1f}"] if found[1:] else []
            yield row(title, f"{rows:,}", f"{wall_s:.2f}", f"{per_s:,.0f}", f"{per_cpu_s:,.0f}",
                      f"{goal:,}" if goal else "", *others)  # fmt: skip
            names = ("cio_fdw", "Multicorn2")
            bars.append(Bars(title, [(name, one[2], f"{one[2]:,.0f}/s") for name, one in zip(names, found)]))
        backends[0].execute(TEXTS)
        alone = _rates(_alternating(backends[:1], PARSED)[0])
        yield row("no scan: PostgreSQL alone, text to `jsonb`", f"{alone[0]:,}", f"{alone[1]:.2f}", f"{alone[2]:,.0f}",
                  f"{alone[3]:,.0f}", "", *([""] * 3 if backends[1:] else []))  # fmt: skip
        write_bars("conversion", "Rows a second, with an API that takes no time", bars)
        yield f"\nMedians of {RUNS} scans, without latency or limit; the simulator shares the processors.{missing}"
        yield "\n![Rows a second](images/conversion.svg)"


def _alternating(backends: list[Backend], query: str) -> list[list[Cost]]:
    costs: list[list[Cost]] = [[] for _ in backends]
    for _ in range(RUNS):
        for backend, found in zip(backends, costs):
            found.append(backend.run(query))
    return costs


def _rates(costs: list[Cost]) -> tuple[int, float, float, float]:
    """Rows of a scan; median seconds; rows per second by the clock and of the backend's processor time."""
    rows = rows_of(costs[0])
    wall_s, cpu_s = (statistics.median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s"))
    return rows, wall_s, rows / wall_s, rows / cpu_s


def rows_of(cost: Cost) -> int:
    """Rows that EXPLAIN ANALYZE counted at the top."""
    match = re.search(r"actual rows=(\d+)", cost.result[0][0])
    if match is None:
        raise ValueError("no rows in the output of EXPLAIN ANALYZE")
    return int(match[1])
