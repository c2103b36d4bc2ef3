"""How soon a statement ends that is ended, at every stage of tests/lifetime: `python -m bench.cancel`.

    python -m bench.cancel [--times N] [--write]

From pg_cancel_backend, from the moment that statement_timeout names, or from pg_terminate_backend to the error that the
client has in its hands. Each stage is ended N times in each way. `--write` puts the figures into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import math
import random
import select
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import psycopg

from bench.report import heading, machine, row, write_section
from cio_fdw.server.build import build_and_install
from cio_fdw.server.postgres import embedded_pg_config, installation
from cio_fdw.server.up import build_dir_for, interpreter
from tests.lifetime.conftest import RESOLVER, Place, place_of
from tests.lifetime.stages import COUNT, STAGES, Stage
from tests.lifetime.test_endings import Running
from tests.preload import preloadable
from tests.sql.helpers import Connection, value

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/reliability.md"
GOAL_MS = 100
TIMES = 20
TIMEOUTS_S = (0.4, 0.6)
"""Long enough for each stage to be reached."""
STARTS_S = (0.005, 0.250)
"""Python and its modules are loaded in this time, by the first statement of a session."""
LINGER_S = 0.05
SQLSTATES = {"cancel": "57014", "terminate": "57P01"}

Ending = Callable[[Place, Connection, Connection, Stage], float]
"""Ends a statement of the session once, at that stage; seconds until the client knew."""


def cancel(place: Place, admin: Connection, db: Connection, stage: Stage) -> float:
    return _struck(place, admin, db, stage, "cancel")


def terminate(place: Place, admin: Connection, db: Connection, stage: Stage) -> float:
    return _struck(place, admin, db, stage, "terminate")


def _struck(place: Place, admin: Connection, db: Connection, stage: Stage, how: str) -> float:
    with stage.held(place, admin, db) as statement:
        running = Running(db, statement)
        stage.wait_until_there(place)
        time.sleep(random.uniform(0, LINGER_S))
        began_s = time.monotonic()
        admin.execute(f"select pg_{how}_backend(%s)", [db.info.backend_pid])
        running.join()
        check(running, SQLSTATES[how], stage)
        return running.ended_s - began_s


def timeout(place: Place, admin: Connection, db: Connection, stage: Stage) -> float:
    with stage.held(place, admin, db) as statement:
        timeout_ms = round(random.uniform(*TIMEOUTS_S) * 1000)
        db.execute(f"set statement_timeout = {timeout_ms}")
        began_s = time.monotonic()
        running = Running(db, statement)
        running.join()
        check(running, SQLSTATES["cancel"], stage)
        return running.ended_s - began_s - timeout_ms / 1000


def check(running: Running, sqlstate: str, stage: Stage) -> None:
    if getattr(running.error, "sqlstate", None) != sqlstate:
        raise RuntimeError(f"{stage.name}: {sqlstate} was expected, not {running.error!r}")


ENDINGS: dict[str, Ending] = {
    "`pg_cancel_backend`": cancel, "`statement_timeout`": timeout, "`pg_terminate_backend`": terminate,
}  # fmt: skip


def session(place: Place) -> Connection:
    """One in which Python is running."""
    db = place.connect()
    value(db, "select count(*) from customerio.campaigns")
    return db


def measured(place: Place, admin: Connection, stage: Stage, ending: Ending, times: int) -> list[float]:
    found = []
    db = session(place)
    for _ in range(times):
        if db.closed:
            db = session(place)
        found.append(ending(place, admin, db, stage))
        if not db.closed:
            db.execute("rollback")
            db.execute("set statement_timeout = 0")
    db.close()
    return found


def open_cursor(place: Place, admin: Connection, times: int) -> list[float]:
    """Sessions that are terminated between two fetches, until the client's socket has the news."""
    found = []
    for _ in range(times):
        with session(place) as db:
            db.execute("begin")
            db.execute("declare c cursor for select * from customerio.campaign_actions")
            db.execute("fetch 3 from c")
            began_s = time.monotonic()
            admin.execute("select pg_terminate_backend(%s)", [db.info.backend_pid])
            select.select([db.pgconn.socket], [], [], 10)
            found.append(time.monotonic() - began_s)
            try:
                db.execute("fetch 3 from c")
            except psycopg.errors.AdminShutdown:
                continue
            raise RuntimeError("the session goes on")
    return found


def first_statement(place: Place, times: int) -> list[float]:
    """Timeouts while Python starts."""
    found = []
    for _ in range(times):
        with place.connect() as db:
            timeout_ms = round(random.uniform(*STARTS_S) * 1000)
            db.execute(f"set statement_timeout = {timeout_ms}")
            began_s = time.monotonic()
            try:
                db.execute(COUNT)
            except psycopg.errors.QueryCanceled:
                found.append(time.monotonic() - began_s - timeout_ms / 1000)
                continue
            raise RuntimeError("the API answered")
    return found


def cells(found_s: list[float]) -> tuple[str, ...]:
    """How many, and of their milliseconds the least, the median, the 99th percentile and the most."""
    ms = sorted(seconds * 1000 for seconds in found_s)
    shown = (ms[0], statistics.median(ms), ms[math.ceil(len(ms) * 0.99) - 1], ms[-1])
    return (f"{len(ms):,}", *(f"{one:.1f}" for one in shown))


def report(place: Place, times: int) -> Iterator[str]:
    yield from machine(place.address)
    yield from heading("where the statement is", "times", "min, ms", "median, ms", "p99, ms", "max, ms")
    by_ending: dict[str, list[float]] = {name: [] for name in ENDINGS}
    with place.connect() as admin:
        hang = [{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}]
        place.sim.faults(hang)
        found = first_statement(place, times)
        by_ending["`statement_timeout`"] += found
        yield row("Python starts", *cells(found))
        for stage in STAGES.values():
            of_stage = []
            for name, ending in ENDINGS.items():
                found = measured(place, admin, stage, ending, times)
                of_stage += found
                by_ending[name] += found
            yield row(stage.name, *cells(of_stage))
        place.sim.reset()
        found = open_cursor(place, admin, times)
        by_ending["`pg_terminate_backend`"] += found
        yield row("cursor left open", *cells(found))
    yield ""
    yield from heading("ended by", "times", "min, ms", "median, ms", "p99, ms", "max, ms")
    for name, found in by_ending.items():
        yield row(name, *cells(found))
    everything = [seconds for found in by_ending.values() for seconds in found]
    yield row("all", *cells(everything))
    late = sum(seconds * 1000 > GOAL_MS for seconds in everything)
    yield f"\nLater than {GOAL_MS} ms: {late:,} of {len(everything):,}."


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.cancel")
    parser.add_argument("--times", type=int, default=TIMES, help="how often each stage is ended in each way")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/reliability.md")
    arguments = parser.parse_args()
    lines = []
    pg_config, python = embedded_pg_config(), interpreter()
    build_and_install(pg_config, python, build_dir_for(python, pg_config))
    with preloadable(RESOLVER) as library, place_of(installation(pg_config).bin_dir, library) as place:
        for line in report(place, arguments.times):
            print(line, flush=True)
            lines.append(line)
    if arguments.write:
        write_section("cancel", lines, DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
