"""Every fault on every kind of reading, in a real server: the right rows, or one clear error, and never late."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Optional

import psycopg
import pytest

from cio_fdw.fetch import BACKOFF_BASE_S
from cio_fdw.simulator.client import Simulator
from tests.faults.outcomes import MATRIX, NOTHING, ROWS, Failure, Fault
from tests.faults.shapes import RETRIES, SHAPES, Shape, content, drop_tables, make_tables, truth
from tests.sql.helpers import Connection, rows, value

NOISE_S = 10.0


@dataclass
class World:
    """A session for each shape, the shapes' rows without faults, and where redirects lead: nobody must come there."""

    sessions: dict[str, Connection]
    right: dict[str, Counter[str]]
    elsewhere: socket.socket


@pytest.fixture(scope="module")
def world(database: str, simulator: Simulator) -> Iterator[World]:
    simulator.faults([])
    with ExitStack() as stack:
        elsewhere = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        elsewhere.setblocking(False)
        open_session = partial(psycopg.connect, database, autocommit=True)
        sessions = {shape.name: stack.enter_context(open_session()) for shape in SHAPES}
        make_tables(sessions["list"], simulator)
        yield World(
            sessions, {shape.name: right_rows(sessions[shape.name], simulator, shape) for shape in SHAPES}, elsewhere
        )
        drop_tables(sessions["list"])


def right_rows(db: Connection, simulator: Simulator, shape: Shape) -> Counter[str]:
    """The shape's rows without faults; their ids are those of the simulator's own data."""
    key = "cio_id" if shape.name == "child" else "id"
    ids = [row[0] for row in rows(db, shape.query.replace("to_jsonb(t)", key))]
    assert sorted(ids) == truth(simulator, shape)
    return content(db, shape.query)


def rule(fault: Fault, shape: Shape, lasts: bool, elsewhere: socket.socket) -> dict[str, Any]:
    action = dict(fault.action)
    if "location" in action:
        action["location"] = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
    # In mid-scan, where pages before it were read already. With a cursor in the condition that is so anyway.
    nth = 2 if shape.pages > 1 and not lasts and not fault.match else 1
    match = {"path": shape.path + "$", "nth": nth, **fault.match}
    return {"match": match, "times": None if lasts else 1, "action": action}


@dataclass
class Found:
    """How the query of one shape ended: the rows, or the error; and when."""

    rows: Counter[str] = field(default_factory=Counter)
    error: Optional[psycopg.Error] = None
    took_s: float = 0.0


def run(db: Connection, query: str) -> Found:
    began_s = time.monotonic()
    try:
        return Found(content(db, query), None, time.monotonic() - began_s)
    except psycopg.Error as error:
        return Found(error=error, took_s=time.monotonic() - began_s)


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("fault", MATRIX, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(world: World, sim: Simulator, fault: Fault, lasts: bool) -> None:
    """All shapes at once, as each has paths of its own; much of the time is waiting."""
    sim.faults([rule(fault, shape, lasts, world.elsewhere) for shape in SHAPES])
    with ThreadPoolExecutor(len(SHAPES)) as pool:
        under_way = [(shape, pool.submit(run, world.sessions[shape.name], shape.query)) for shape in SHAPES]
    log = [entry["path"] for entry in sim.log()]
    for shape, future in under_way:
        found, expected = future.result(), fault.outcome(shape, lasts)
        if isinstance(expected, Failure):
            assert found.error is not None, f"{shape.name}: no error, but {found.rows.total()} rows"
            check_failure(found.error, expected, shape)
            hits = RETRIES + 1 if expected.retried else 1
            if expected.timed:
                check_requests(log, fault, shape, lasts, hits)
            longest_s = hits * fault.least_s + RETRIES * BACKOFF_BASE_S + NOISE_S
            assert hits * fault.least_s * 0.99 <= found.took_s < longest_s, shape.name
        else:
            assert found.error is None, f"{shape.name}: {found.error}"
            check_rows(found.rows, expected, world.right[shape.name], lasts, shape)
            assert found.took_s >= fault.least_s * 0.99
        check_afterwards(world.sessions[shape.name])
    with pytest.raises(BlockingIOError):
        world.elsewhere.accept()


def check_failure(error: psycopg.Error, expected: Failure, shape: Shape) -> None:
    diagnostic = error.diag
    assert error.sqlstate == expected.sqlstate, error
    pattern = expected.pattern(shape.path, shape.table)
    assert re.fullmatch(pattern, diagnostic.message_primary or ""), f"{diagnostic.message_primary}\n{pattern}"
    for text, wanted in ((diagnostic.message_detail, expected.detail), (diagnostic.message_hint, expected.hint)):
        assert text is wanted if wanted is None else re.fullmatch(wanted, text or ""), text
    assert diagnostic.context is None


def check_requests(log: list[str], fault: Fault, shape: Shape, lasts: bool, hits: int) -> None:
    """Exactly as many were sent as the message says; one on a connection that was closed while idle comes twice."""
    if shape.name == "children":
        return
    before = int(shape.is_paged and (not lasts or bool(fault.match)))
    sent = sum(bool(re.fullmatch(shape.path, path)) for path in log)
    again = hits if fault.action["kind"] == "reset" else 0
    assert before + hits <= sent <= before + hits + again, f"{shape.name}: {sent} requests"


def check_rows(found: Counter[str], expected: str, right: Counter[str], lasts: bool, shape: Shape) -> None:
    if expected == ROWS:
        assert found == right
        return
    assert expected == NOTHING
    if lasts or shape.name == "one":
        assert not found
    else:
        # One parent, or what follows a page of one parent, is not there (any more); the others are complete.
        assert found < right


def check_afterwards(db: Connection) -> None:
    """The session works and has no threads left."""
    assert value(db, "select 1") == 1
    deadline_s = time.monotonic() + 1
    while len(list(Path(f"/proc/{db.info.backend_pid}/task").iterdir())) > 1:
        assert time.monotonic() < deadline_s, "a thread is left"
        time.sleep(0.001)
