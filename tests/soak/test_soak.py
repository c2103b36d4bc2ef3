"""Twelve backends, a misbehaving API, cancels, terminates and kills, and every answer checked.

CIO_SOAK_S=…       how long (make soak: 600; make test does not run it)
CIO_SOAK_WRITE=1   puts the figures into docs/reliability.md
CIO_SOAK_LOG=…     the file that says what was done, line by line (make soak: soak.log in the runtime directory)
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.ledger import busiest
from cio_fdw.transport import MAX_IDLE_CONNECTIONS
from tests.conftest import SETTINGS
from tests.oracle.conftest import Sides, sides_of
from tests.soak.record import Record
from tests.soak.world import BACKENDS, ELDERS, FAULTS, Checker, Soak

SECONDS = float(os.environ.get("CIO_SOAK_S", "20"))
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/reliability.md"
PER_S, AT_ONCE = 30, 6
"""Above the API's limit, so that more statements are checked."""
MAX_GROWTH_KB = 24 * 1024
ENOUGH_S = 120.0
PROGRESS_S = 15.0
LOG_NAME = "cio_fdw-soak.log"


@pytest.fixture
def sides(pg_config: Path) -> Iterator[Sides]:
    settings = {**SETTINGS, "cio_fdw.python": sys.executable, "log_min_messages": "fatal"}
    with Cluster(installation(pg_config).bin_dir, settings=settings) as cluster, sides_of(cluster, "newest") as made:
        options = f"set requests_per_second '{PER_S}', add max_concurrency '{AT_ONCE}', add max_retries '2'"
        with psycopg.connect(made.address, autocommit=True) as db:
            db.execute(f"alter server customerio options ({options}, add timeout '2')".encode())
        made.sim.set_rate(PER_S)
        made.sim.reset()
        yield made
        made.sim.faults([])


def test_soak(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    sides.sim.faults(
        [{"match": {"path": "/v1/", "chance": chance}, "times": None, "action": action} for chance, action in FAULTS]
    )
    with capsys.disabled():
        record = Record(log_path(), say, PROGRESS_S)
        say(f"\nsoak of {SECONDS:.0f} s; what it does is told in {record.path}")
        soak = Soak(sides.address, sides.known, sides.now_s, SECONDS, record)
        checkers = soak.run()
        log = sides.sim.log()
        lines = list(figures(soak, checkers, log))
        for line in lines:
            record.note("soak", line)
        record.close()
        say("\n".join(lines))
    if os.environ.get("CIO_SOAK_WRITE"):
        write(lines)
    assert soak.wrong == []
    assert soak.seen["checked"]
    assert soak.seen["kill -9"]
    assert busiest(entry["t"] for entry in log) <= PER_S
    assert not any(entry["status"] == 429 for entry in log)
    with psycopg.connect(sides.address, autocommit=True) as db:
        sides.sim.faults([])
        assert db.execute("select count(*) from foreign_side.campaigns").fetchone() == (9,)
    if SECONDS >= ENOUGH_S:
        elders = [(checker.first, checker.last) for checker in checkers[:ELDERS]]
        assert all(first and last for first, last in elders)
        for first, last in elders:
            assert first
            assert last
            assert last.memory_kb - first.memory_kb < MAX_GROWTH_KB
            assert last.threads == 1
            # Connections that the API closed while they were idle are kept until their time, besides those in use.
            assert last.sockets <= 1 + MAX_IDLE_CONNECTIONS


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def log_path() -> Path:
    return Path(os.environ.get("CIO_SOAK_LOG") or Path(tempfile.gettempdir()) / LOG_NAME)


def figures(soak: Soak, checkers: list[Checker], log: list[dict[str, Any]]) -> Iterator[str]:
    seen = soak.seen
    spoiled = sum(entry["status"] in (502, 503, None) for entry in log)
    yield f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} processors, Python {platform.python_version()}; "
    yield f"{soak.seconds:.0f} s, {BACKENDS} backends, {PER_S} requests a second, {AT_ONCE} at once.\n"
    yield "| figure | value |"
    yield "| --- | --- |"
    yield f"| statements whose answer was checked | {seen['checked']:,} |"
    yield f"| wrong answers | {len(soak.wrong)} |"
    yield f"| statements that ended in one clear error of the API | {seen['errors of the API']:,} |"
    yield f"| statements that were cancelled, of cancels | {seen['cancelled']:,} of {seen['cancel']:,} |"
    yield f"| pg_terminate_backend | {seen['terminate']:,} |"
    yield f"| kill -9, each a restart of all backends | {seen['kill -9']:,} |"
    yield f"| sessions lost and opened again | {seen['sessions lost']:,} |"
    yield f"| requests that arrived | {len(log):,} |"
    yield f"| of these answered with 502 or 503, or not | {spoiled:,} |"
    yield f"| chance of a fault, all kinds | {sum(chance for chance, _ in FAULTS):.1%} of requests |"
    yield f"| most in any one second | {busiest(entry['t'] for entry in log)} |"
    yield f"| share of 429 | {sum(entry['status'] == 429 for entry in log) / max(len(log), 1):.2%} |"
    for name, index, unit in (("memory", 0, " kB"), ("threads", 1, ""), ("sockets", 2, "")):
        pairs = [(one.first[index], one.last[index]) for one in checkers[:ELDERS] if one.first and one.last]
        shown = ", ".join(f"{first:,} to {last:,}{unit}" for first, last in pairs) or "too short to tell"
        yield f"| {name} of {ELDERS} backends over the last half | {shown} |"


def write(lines: list[str]) -> None:
    text = DOCUMENT.read_text()
    begin, end = "<!-- soak:begin -->\n", "<!-- soak:end -->"
    head, tail = text.split(begin)[0], text.split(end)[1]
    DOCUMENT.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)
