"""A backend that must go does so at once, with requests under way, and takes nobody with it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, ended_after_s, postmaster_start, scalar, threads_now

SOON_S = 3.0


@pytest.fixture
def witness(database: str) -> Iterator[Connection]:
    """Another session: a crash would end it too."""
    with psycopg.connect(database, autocommit=True) as connection:
        start = postmaster_start(connection)
        yield connection
        assert postmaster_start(connection) == start


def suspended(database: str, sim: Simulator, *settings: str) -> Connection:
    """A session with an open cursor whose worker threads wait for answers that do not come."""
    hang = {"kind": "hang"}
    # The list of parents, then three children; the next ones hang.
    sim.faults([{"match": {"path": "actions$", "nth": 4}, "times": None, "action": hang}])
    db = psycopg.connect(database)
    for setting in settings:
        db.execute(f"set {setting}")
    db.execute("declare c cursor for select * from customerio.campaign_actions")
    assert db.execute("fetch 1 from c").fetchall()
    assert db.execute("fetch 9 from c").fetchall()
    return db


def test_disconnect_with_an_open_cursor(database: str, sim: Simulator, witness: Connection) -> None:
    db = suspended(database, sim)
    pid = db.info.backend_pid
    assert threads_now(pid) > 1
    db.close()
    assert ended_after_s(pid) < SOON_S


def test_terminate_with_an_open_cursor(database: str, sim: Simulator, witness: Connection) -> None:
    db = suspended(database, sim)
    pid = db.info.backend_pid
    assert threads_now(pid) > 1
    witness.execute("select pg_terminate_backend(%s)", [pid])
    assert ended_after_s(pid) < SOON_S
    db.close()


def test_idle_in_transaction_with_an_open_cursor(database: str, sim: Simulator, witness: Connection) -> None:
    db = suspended(database, sim, "idle_in_transaction_session_timeout = '200ms'")
    assert ended_after_s(db.info.backend_pid) < SOON_S
    db.close()


def run_until_it_hangs(db: Connection, sim: Simulator) -> tuple[threading.Thread, list[psycopg.Error]]:
    errors: list[psycopg.Error] = []
    sim.faults([{"match": {"path": "actions$"}, "times": None, "action": {"kind": "hang"}}])

    def run() -> None:
        try:
            db.execute("select count(*) from customerio.campaign_actions")
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline_s = time.monotonic() + 10
    while not any(entry["path"].endswith("/actions") for entry in sim.log()):
        assert time.monotonic() < deadline_s, "no request arrived"
        time.sleep(0.01)
    return thread, errors


def test_client_vanishes_during_a_request(database: str, sim: Simulator, witness: Connection) -> None:
    db: Connection = psycopg.connect(database, autocommit=True)
    db.execute("set client_connection_check_interval = '100ms'")
    pid = db.info.backend_pid
    thread, _ = run_until_it_hangs(db, sim)
    with socket.socket(fileno=os.dup(db.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
    assert ended_after_s(pid) < SOON_S
    thread.join(5)
    db.close()


@pytest.mark.parametrize("_", range(10))
def test_terminate_storm(database: str, sim: Simulator, witness: Connection, _: int) -> None:
    db: Connection = psycopg.connect(database, autocommit=True)
    thread, errors = run_until_it_hangs(db, sim)
    witness.execute("select pg_terminate_backend(%s)", [db.info.backend_pid])
    thread.join(5)
    assert [error.sqlstate for error in errors] == ["57P01"]
    db.close()


def test_statement_timeout_in_a_fetch_leaves_the_session_usable(database: str, sim: Simulator) -> None:
    db: Any = suspended(database, sim)
    db.execute("set statement_timeout = '300ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        db.execute("fetch all from c")
    db.rollback()
    assert scalar(db, "select count(*) from customerio.campaigns") > 0
    db.close()
