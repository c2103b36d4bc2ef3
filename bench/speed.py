"""Prints how fast the API's limit lets work be done, beside what a user would pick instead, as Markdown.

    python -m bench.speed [--write] [--only cio_fdw,loop,dlt] [--messages N]

One simulator for all, with 250 ms latency and a strict limit of ten requests a second; each contender runs alone. Peers
get a virtual environment of their own, made on first use. Requests, 429s and the busiest second are the simulator's.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, NamedTuple

from bench.backend import Backend
from bench.section import write_section
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.up import running
from cio_fdw.simulator.client import Simulator

LATENCY_MS, RATE = 250, 10
MONTHS_S = 6 * 30 * 86_400
PEERS = {"loop": ("loop.py", ()), "dlt": ("dlt_rest_api.py", ("dlt[duckdb]",))}
BACKENDS = 12
DAY_S = 86_400


@dataclass(frozen=True)
class Scenario:
    """`query` of ours, and `what` the peers' programs call it."""

    title: str
    what: str
    query: str
    days: int


SCENARIOS = (
    Scenario(
        "every message in reach", "messages", "from customerio.messages where created >= to_timestamp({start})", 178,
    ),
    Scenario(
        "three months of one campaign", "campaign",
        "from customerio.messages where created >= to_timestamp({start}) and campaign_id = {campaign}", 90,
    ),
    Scenario("actions of all campaigns", "actions", "from customerio.campaign_actions", 0),
)  # fmt: skip


class Figures(NamedTuple):
    rows: int
    seconds: float
    memory_mb: float


def ours(cluster: Cluster, query: str) -> Figures:
    """A table made of the whole scan: every column is converted and stored. Memory is the backend's."""
    with Backend(cluster.socket_url()) as backend:
        began_s = time.monotonic()
        backend.execute(f"create temp table copy as select * {query}")
        seconds = time.monotonic() - began_s
        return Figures(backend.run("select count(*) from copy").result[0][0], seconds, backend.memory_mb("VmHWM"))


def together(cluster: Cluster, start_s: int, now_s: int) -> Figures:
    """As many backends as analysts, each with a range of its own."""
    found: list[Figures] = []
    width_s = (now_s - start_s) // BACKENDS

    def one(number: int) -> None:
        low_s = start_s + number * width_s
        bounds = f"created >= to_timestamp({low_s}) and created < to_timestamp({low_s + width_s})"
        found.append(ours(cluster, f"from customerio.messages where {bounds}"))

    began_s = time.monotonic()
    threads = [threading.Thread(target=one, args=(number,)) for number in range(BACKENDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) != BACKENDS:
        raise RuntimeError("a backend failed")
    return Figures(sum(one.rows for one in found), time.monotonic() - began_s, max(one.memory_mb for one in found))


def peer(python: Path, program: str, simulator: Simulator, arguments: Sequence[str]) -> Figures:
    """Runs a peer's program."""
    environment = {**os.environ, "CIO_APP_API_KEY": simulator.key, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    path = Path(__file__).with_name("peers") / program
    began_s = time.monotonic()
    done = subprocess.run(
        [str(python), str(path), simulator.url, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.monotonic() - began_s
    rows, memory_mb = done.stdout.split()[-2:]
    return Figures(int(rows), seconds, float(memory_mb))


def environment_of(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a peer: ours when it needs nothing more, otherwise one of its own environment."""
    if not packages:
        return Path(sys.executable)
    directory = Path(sys.prefix).parent / f"peer-{name}"
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        venv.create(directory, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (directory / "complete").touch()
    return python


def line(title: str, who: str, figures: Figures, simulator: Simulator) -> str:
    log = simulator.log()
    limited = sum(entry["status"] == 429 for entry in log)
    share = (len(log) - limited) / figures.seconds / RATE
    return (
        f"| {title} | {who} | {figures.rows:,} | {len(log)} | {limited} | {figures.seconds:.1f} | {share:.0%} | "
        f"{figures.rows / figures.seconds:,.0f} | {figures.memory_mb:.0f} |"
    )


def report(simulator: Simulator, cluster: Cluster, only: Sequence[str]) -> Iterator[str]:
    now_s = int(time.time())
    campaign = busiest_campaign(simulator)
    with Backend(cluster.socket_url()) as backend:
        version = backend.run("show server_version").result[0][0]
    yield f"{datetime.now(timezone.utc):%Y-%m-%d}, PostgreSQL {version}, Python {platform.python_version()}, "
    yield f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors."
    yield ""
    yield "| task | with | rows | requests | 429 | s | of the limit | rows/s | MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for scenario in SCENARIOS:
        start_s = now_s - scenario.days * DAY_S
        query = scenario.query.format(start=start_s, campaign=campaign)
        arguments = (scenario.what, str(start_s), str(campaign))
        runs: dict[str, Callable[[], Figures]] = {"cio_fdw": lambda q=query: ours(cluster, q)}  # type: ignore[misc]
        for name, (program, packages) in PEERS.items():
            if name in only:
                python = environment_of(name, packages)
                runs[name] = lambda p=python, f=program, a=arguments: peer(p, f, simulator, a)  # type: ignore[misc]
        for name, run in runs.items():
            if name in only:
                time.sleep(1)  # the windows of the limit are empty again
                simulator.reset()
                yield line(scenario.title, name, run(), simulator)
    if "cio_fdw" in only:
        time.sleep(1)
        simulator.reset()
        figures = together(cluster, now_s - 178 * DAY_S, now_s)
        yield line(f"every message in reach, by {BACKENDS} backends", "cio_fdw", figures, simulator)


def busiest_campaign(simulator: Simulator) -> int:
    counts: dict[int, int] = {}
    for row in simulator.data("messages"):
        if row["campaign_id"]:
            counts[row["campaign_id"]] = counts.get(row["campaign_id"], 0) + 1
    return max(counts, key=lambda id_: counts[id_])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.speed")
    parser.add_argument("--messages", type=int, default=108_000, help="over 6.5 months; 6 are in reach")
    parser.add_argument("--campaigns", type=int, default=300)
    parser.add_argument("--only", default=",".join(("cio_fdw", *PEERS)))
    parser.add_argument("--write", action="store_true", help="write the figures into bench/README.md")
    arguments = parser.parse_args()
    options = {"messages": arguments.messages, "campaigns": arguments.campaigns, "rate": RATE, "latency_ms": LATENCY_MS}
    lines = []
    with (
        Simulator(seed=1, **options) as simulator,
        running(server_options={"base_url": simulator.url}, key=Secret(simulator.key)) as cluster,
    ):
        for text in report(simulator, cluster, arguments.only.split(",")):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            lines.append(text)
    if arguments.write:
        write_section("speed", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
