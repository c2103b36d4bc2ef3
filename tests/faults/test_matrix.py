"""Every fault on every kind of reading, in a real server: the right rows, or one clear error, and never late."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.fetch import BACKOFF_BASE_S
from cio_fdw.simulator.client import Simulator
from tests.faults.outcomes import MATRIX, NOTHING, ROWS, Failure, Fault
from tests.faults.shapes import RETRIES, SHAPES, Shape, content, drop_tables, make_tables, truth
from tests.sql.helpers import Connection, asked, rows, value

NOISE_S = 0.5


@dataclass
class World:
    """The session under test, each shape's rows without faults, and where redirects lead: nobody must come there."""

    db: Connection
    right: dict[str, Counter[str]]
    elsewhere: socket.socket


@pytest.fixture(scope="module")
def world(database: str, simulator: Simulator) -> Iterator[World]:
    simulator.faults([])
    with psycopg.connect(database, autocommit=True) as db, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        make_tables(db, simulator)
        yield World(db, {shape.name: right_rows(db, simulator, shape) for shape in SHAPES}, elsewhere)
        drop_tables(db)


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


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("fault", MATRIX, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(world: World, sim: Simulator, fault: Fault, shape: Shape, lasts: bool) -> None:
    sim.faults([rule(fault, shape, lasts, world.elsewhere)])
    expected = fault.outcome(shape, lasts)
    began_s = time.monotonic()
    try:
        found: Any = content(world.db, shape.query)
    except psycopg.Error as error:
        found = error
    took_s = time.monotonic() - began_s
    if isinstance(expected, Failure):
        assert isinstance(found, psycopg.Error), f"no error, but {found.total()} rows"
        check_failure(found, expected, shape)
        hits = RETRIES + 1 if expected.retried else 1
        if expected.timed:
            check_requests(sim, fault, shape, lasts, hits)
        assert hits * fault.least_s * 0.99 <= took_s < hits * fault.least_s + RETRIES * BACKOFF_BASE_S + NOISE_S
    else:
        assert isinstance(found, Counter), found
        check_rows(found, expected, world.right[shape.name], lasts, shape)
        assert took_s >= fault.least_s * 0.99
    check_afterwards(world)


def check_failure(error: psycopg.Error, expected: Failure, shape: Shape) -> None:
    diagnostic = error.diag
    assert error.sqlstate == expected.sqlstate, error
    pattern = expected.pattern(shape.path, shape.table)
    assert re.fullmatch(pattern, diagnostic.message_primary or ""), f"{diagnostic.message_primary}\n{pattern}"
    for text, wanted in ((diagnostic.message_detail, expected.detail), (diagnostic.message_hint, expected.hint)):
        assert text is wanted if wanted is None else re.fullmatch(wanted, text or ""), text
    assert diagnostic.context is None


def check_requests(sim: Simulator, fault: Fault, shape: Shape, lasts: bool, hits: int) -> None:
    """Exactly as many were sent as the message says; one on a connection that was closed while idle comes twice."""
    if shape.name == "children":
        return
    before = int(shape.is_paged and (not lasts or bool(fault.match)))
    wanted = before + hits
    again = hits if fault.action["kind"] == "reset" else 0
    assert wanted <= len(asked(sim)) <= wanted + again, asked(sim)


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


def check_afterwards(world: World) -> None:
    """The session works, has no threads left, and nobody followed a redirect."""
    assert value(world.db, "select 1") == 1
    deadline_s = time.monotonic() + 1
    while len(list(Path(f"/proc/{world.db.info.backend_pid}/task").iterdir())) > 1:
        assert time.monotonic() < deadline_s, "a thread is left"
        time.sleep(0.001)
    with pytest.raises(BlockingIOError):
        world.elsewhere.accept()
