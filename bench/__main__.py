"""Prints the figures of bench/README.md as Markdown; `--write` puts them there.

    python -m bench [--messages N] [--write]

Everything runs in one go on this machine: the simulator, an embedded PostgreSQL, one backend at a time.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Iterator
from datetime import datetime, timezone

import psycopg

from bench.backend import Backend
from bench.section import write_section
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.up import running
from cio_fdw.simulator.client import Simulator

RUNS = 5
LATENCY_MS = 250
SCAN = "explain (analyze, timing off, summary off) select {} from customerio.messages"
WITHOUT_RAW = """
    select string_agg(quote_ident(attname), ', ') from pg_attribute
    where attrelid = 'customerio.messages'::regclass and attnum > 0 and attname <> 'raw'"""
COLUMN_SETS = (
    ("all columns and raw", "*"),
    ("all columns without raw", ""),
    ("three columns", "id, created, type"),
    ("raw alone", "raw"),
    ("no column, count(*)", "/* none */"),
)
MINUTES_OF_1000 = """
    select ceil(extract(epoch from now() - min(created)) / 60) from (
        select created from customerio.messages where created > now() - interval '3 days' order by 1 desc limit 1000
    ) latest"""
DASHBOARD = (
    ("all columns and raw", "explain (analyze, timing off, summary off) select * {}"),
    ("five columns", "explain (analyze, timing off, summary off) select id, created, type, recipient, sent {}"),
    ("counts by type", "select type, count(*) {} group by type"),
)
TTL_S = 600


def conversion(url: str, simulator: Simulator) -> Iterator[str]:
    """Rows per second of whole scans; the first scan, which warms the simulator up, is not counted."""
    yield "| scan | rows | s | rows/s | rows/s of processor time |"
    yield "| --- | --- | --- | --- | --- |"
    with Backend(url) as backend:
        backend.run(SCAN.format("id"))
        without_raw = backend.run(WITHOUT_RAW).result[0][0]
        for name, columns in COLUMN_SETS:
            costs = [backend.run(SCAN.format(columns or without_raw)) for _ in range(RUNS)]
            match = re.search(r"actual rows=(\d+)", costs[0].result[0][0])
            rows = int(match[1]) if match else 0
            wall_s = statistics.median(cost.wall_s for cost in costs)
            cpu_s = statistics.median(cost.cpu_s for cost in costs)
            yield f"| {name} | {rows:,} | {wall_s:.2f} | {rows / wall_s:,.0f} | {rows / cpu_s:,.0f} |"
    yield ""
    requests = simulator.stats()["requests"]
    yield f"Median of {RUNS} scans. The simulator answered {requests:,} requests, without latency or limit."


def memory(url: str) -> Iterator[str]:
    yield "| backend | MB |"
    yield "| --- | --- |"
    with Backend(url) as backend:
        backend.run("select 1")
        idle_mb = backend.memory_mb()
        yield f"| idle | {idle_mb:.0f} |"
        backend.run("select id from customerio.messages limit 1")
        yield f"| after `LIMIT 1` (Python is running) | {backend.memory_mb():.0f} |"
        backend.run(SCAN.format("*"))
        first_mb = backend.memory_mb("VmHWM")
        yield f"| most during a scan of everything | {first_mb:.0f} |"
        for _ in range(3):
            backend.run(SCAN.format("*"))
        yield f"| most after three more | {backend.memory_mb('VmHWM'):.0f} |"
        yield ""
        yield f"Over the idle backend: {backend.memory_mb('VmHWM') - idle_mb:.0f} MB."


def first_query(url: str, simulator: Simulator) -> Iterator[str]:
    yield "| API latency | first `LIMIT 5` of a new backend, ms | second, ms | requests of each |"
    yield "| --- | --- | --- | --- |"
    for latency_ms in (0, LATENCY_MS):
        simulator.set_latency(latency_ms)
        firsts, seconds = [], []
        for _ in range(RUNS):
            simulator.reset()
            with Backend(url) as backend:
                firsts.append(backend.run("select * from customerio.messages limit 5").wall_s * 1000)
                asked = len(simulator.log())
                seconds.append(backend.run("select * from customerio.messages limit 5").wall_s * 1000)
        yield f"| {latency_ms} ms | {statistics.median(firsts):.0f} | {statistics.median(seconds):.0f} | {asked} |"
    simulator.set_latency(0)


def repeated(url: str, simulator: Simulator) -> Iterator[str]:
    """A dashboard's statement, asked for again by the same backend, with a cache_ttl."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter server customerio options (add cache_ttl '{TTL_S}')")
    yield "| statement | rows | first, ms | again, ms | requests of the first | of the others |"
    yield "| --- | --- | --- | --- | --- | --- |"
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
            yield f"| {name} | {rows:,} | {first:.0f} | {again:.1f} | {asked} | {more} |"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter server customerio options (drop cache_ttl)")


def report(cluster: Cluster, simulator: Simulator) -> Iterator[str]:
    url = cluster.socket_url()
    with psycopg.connect(url) as connection:
        connection.execute("alter server customerio options (add requests_per_second '1000')")
        version = connection.info.parameter_status("server_version")
    yield f"{datetime.now(timezone.utc):%Y-%m-%d}, PostgreSQL {version}, Python {platform.python_version()}, "
    yield f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors."
    for title, lines in (
        ("Conversion", conversion(url, simulator)),
        ("Memory", memory(url)),
        ("First query", first_query(url, simulator)),
        ("Repeated query, with a cache_ttl", repeated(url, simulator)),
    ):
        yield f"\n### {title}\n"
        yield from lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--messages", type=int, default=335_000, help="over 6.5 months; 6 are in reach")
    parser.add_argument("--write", action="store_true", help="write the figures into bench/README.md")
    arguments = parser.parse_args()
    with Simulator(messages=arguments.messages, rate=0, seed=1) as simulator:
        options = {"base_url": simulator.url}
        with running(server_options=options, key=Secret(simulator.key)) as cluster:
            lines = []
            for line in report(cluster, simulator):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                lines.append(line)
    if arguments.write:
        write_section("figures", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
