"""Prints how fast rows are converted on both doors, measured side by side, as Markdown.

    python -m bench.doors --pg-config PG_CONFIG [--messages N]

`PG_CONFIG` is that of a PostgreSQL with Multicorn2, whose Python package $PYTHONPATH names if need be. The native door
runs in the embedded PostgreSQL. Scans of the two doors alternate; the simulator has no latency and no limit.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path

from bench.backend import Backend, Cost
from cio_fdw.secret import Secret
from cio_fdw.server.up import running
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.doors")
    parser.add_argument("--pg-config", type=Path, required=True)
    parser.add_argument("--messages", type=int, default=100_000)
    arguments = parser.parse_args()
    options = {"requests_per_second": "1000"}
    with Simulator(messages=arguments.messages, rate=0, seed=1) as simulator:
        options["base_url"], key = simulator.url, Secret(simulator.key)
        with running(server_options=options, key=key) as one, door.cluster(arguments.pg_config, {}) as other:
            door.set_up(other.socket_url(), options, key)
            with Backend(one.socket_url()) as native, Backend(other.socket_url()) as multicorn:
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
                        f"| {title} | {rows:,} | {fast:,.0f} | {slow:,.0f} | {fast / slow:.1f} | "
                        f"{fast_cpu / slow_cpu:.1f} |\n"
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
