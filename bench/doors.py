"""Prints how fast rows are converted on both doors, measured side by side, as Markdown.

    python -m bench.doors [--pg-config PG_CONFIG] [--messages N]

Both doors run in one PostgreSQL, that of PG_CONFIG or $CIO_TEST_PG_CONFIG, else the embedded one; it must have
Multicorn2, whose Python package $PYTHONPATH names if need be. The native extension is built for it. Scans of the two
doors alternate; the simulator has no latency and no limit.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from pathlib import Path

import psycopg

from bench.backend import Backend, Cost
from cio_fdw.secret import Secret
from cio_fdw.server import database
from cio_fdw.server.build import build_and_install
from cio_fdw.server.postgres import embedded_pg_config, installation
from cio_fdw.server.up import build_dir_for
from cio_fdw.simulator.client import Simulator
from tests.multicorn import door

RUNS = 5
SCAN = "explain (analyze, timing off, summary off) select {} from {}"
THREE = "id, created, type"
SCANS = (
    ("all columns and raw", "*", "customerio.messages"),
    ("three columns", THREE, "customerio.messages"),
    ("three columns of a table that has only these", THREE, "three"),
)
NARROW = (
    "create foreign table three (id text, created timestamptz, type text) server customerio "
    "options (endpoint 'messages')"
)


def measure(native: Backend, multicorn: Backend, query: str) -> tuple[list[Cost], list[Cost]]:
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(RUNS):
        for backend, found in zip((native, multicorn), costs):
            found.append(backend.run(query))
    return costs


def rows_per_s(costs: list[Cost]) -> tuple[int, float, float]:
    """Rows of a scan, and rows per second by the clock and of processor time: medians."""
    match = re.search(r"actual rows=(\d+)", costs[0].result[0][0])
    rows = int(match[1]) if match else 0
    wall_s, cpu_s = (statistics.median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s"))
    return rows, rows / wall_s, rows / cpu_s


def report(native: Backend, multicorn: Backend) -> None:
    sys.stdout.write("| scan | rows | native, rows/s | Multicorn2, rows/s | ratio | of processor time |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- | --- |\n")
    for backend in (native, multicorn):
        backend.execute(NARROW)
        backend.execute("set jit = off")
        backend.run(SCAN.format("id", "customerio.messages"))
    for title, columns, table in SCANS:
        found = [rows_per_s(costs) for costs in measure(native, multicorn, SCAN.format(columns, table))]
        (rows, fast, fast_cpu), (_, slow, slow_cpu) = found
        sys.stdout.write(
            f"| {title} | {rows:,} | {fast:,.0f} | {slow:,.0f} | {fast / slow:.1f} | {fast_cpu / slow_cpu:.1f} |\n"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.doors")
    parser.add_argument("--pg-config", type=Path, default=os.environ.get("CIO_TEST_PG_CONFIG") or None)
    parser.add_argument("--messages", type=int, default=100_000)
    arguments = parser.parse_args()
    pg_config, python = Path(arguments.pg_config or embedded_pg_config()), Path(sys.executable)
    if not door.is_installed(pg_config):
        sys.stderr.write(f"bench.doors: the PostgreSQL of {pg_config} has no Multicorn2\n")
        return 1
    build_and_install(pg_config, python, build_dir_for(python, pg_config))
    with (
        Simulator(messages=arguments.messages, rate=0, seed=1) as simulator,
        door.cluster(pg_config, {"cio_fdw.python": str(python)}) as cluster,
    ):
        options, key = {"requests_per_second": "1000", "base_url": simulator.url}, Secret(simulator.key)
        for name, set_up in (("native", database.set_up), ("multicorn", door.set_up)):
            with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
                admin.execute(f"create database {name}")
            set_up(cluster.socket_url(name), options, key)
        with (
            Backend(cluster.socket_url("native")) as native,
            Backend(cluster.socket_url("multicorn")) as multicorn,
        ):
            version = installation(pg_config).version
            sys.stdout.write(f"PostgreSQL {version}, Python {platform.python_version()}\n\n")
            report(native, multicorn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
