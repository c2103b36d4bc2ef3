"""How long one waits: for the first rows of a new backend, and for a statement whose answers are kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import psycopg

from bench.backend import Backend
from bench.contenders import cio_fdw
from bench.report import heading, machine, row
from cio_fdw.secret import Secret
from cio_fdw.simulator.client import Simulator

RUNS, MESSAGES, LATENCY_MS, TTL_S = 7, 108_000, 250, 600
FEW = "select * from customerio.messages limit 5"
ALL = "declare everything no scroll cursor for select * from customerio.messages"
MINUTES_OF_1000 = """
    select ceil(extract(epoch from now() - min(created)) / 60) from (
        select created from customerio.messages where created > now() - interval '3 days' order by 1 desc limit 1000
    ) latest"""
DASHBOARD = (
    ("all columns and raw", "explain (analyze, timing off, summary off) select * {}"),
    ("five columns", "explain (analyze, timing off, summary off) select id, created, type, recipient, sent {}"),
    ("counts by type", "select type, count(*) {} group by type"),
)


def latency() -> Iterator[str]:
    """The section `latency`."""
    with Simulator(messages=MESSAGES, rate=0, seed=1) as simulator:
        options = {"base_url": simulator.url, "requests_per_second": "1000"}
        with cio_fdw(options, Secret(simulator.key)) as (_, url):
            yield from machine(url)
            yield from _first(url, simulator)
            yield ""
            yield from _repeated(url, simulator)


def _first(url: str, simulator: Simulator) -> Iterator[str]:
    yield from heading(
        "API latency", "`LIMIT 5` in a new backend, ms", "over the API, ms", "again in that backend, ms",
        "requests of each", "first row of a scan of everything, ms",
    )  # fmt: skip
    for latency_ms in (0, LATENCY_MS):
        simulator.set_latency(latency_ms)
        found = []
        for _ in range(RUNS):
            simulator.reset()
            with Backend(url) as backend:
                first = backend.run(FEW).wall_s * 1000
                asked = len(simulator.log())
                again = backend.run(FEW).wall_s * 1000
            found.append((first, first - latency_ms, again, asked, _first_row_ms(url)))
        first, over, again, asked, row_ms = (statistics.median(column) for column in zip(*found))
        yield row(f"{latency_ms} ms", f"{first:.0f}", f"{over:.0f}", f"{again:.0f}", f"{asked:.0f}", f"{row_ms:.0f}")
    simulator.set_latency(0)
    yield f"\nMedians of {RUNS}; the time to connect is left out. The goal is at most 200 ms over the API."


def _first_row_ms(url: str) -> float:
    """Of a scan of everything through a cursor, in a new backend."""
    with psycopg.connect(url) as connection:
        began_s = time.perf_counter()
        connection.execute(ALL)
        assert connection.execute("fetch 1 from everything").fetchone()
        return (time.perf_counter() - began_s) * 1000


def _repeated(url: str, simulator: Simulator) -> Iterator[str]:
    """A dashboard's statement, asked for again by the same backend, with a cache_ttl."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter server customerio options (add cache_ttl '{TTL_S}')")
    yield from heading(
        "statement, repeated", "rows", "first, ms", "again, ms", "requests of the first", "of the others"
    )
    with Backend(url) as backend:
        minutes = backend.run(MINUTES_OF_1000).result[0][0]
        latest = f"from customerio.messages where created > now() - interval '{minutes} minutes'"
        rows = backend.run(f"select count(*) {latest}").result[0][0]
        for name, form in DASHBOARD:
            statement = form.format(latest)
            backend.run("select cio_fdw_cache_clear()")
            simulator.reset()
            first = backend.run(statement).wall_s * 1000
            asked = len(simulator.log())
            again = statistics.median(backend.run(statement).wall_s for _ in range(20)) * 1000
            more = len(simulator.log()) - asked
            yield row(name, f"{rows:,}", f"{first:.0f}", f"{again:.1f}", asked, more)
    yield f"\nWith `cache_ttl '{TTL_S}'`. The goal is no request and at most 20 ms for 1,000 rows."
