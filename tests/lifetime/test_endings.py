"""Every ending at every stage: within 100 ms, with PostgreSQL's own error, nothing left, the session goes on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.own_tables import OWN_TABLES
from tests.lifetime.conftest import Place
from tests.lifetime.stages import STAGES, Stage
from tests.native.backend import threads_now
from tests.processes import children, is_running
from tests.sql.helpers import Connection, value

CANCEL_S = 0.1
"""Longest a statement may go on (DESIGN.md, section 4)."""
NOISE_S = 1.0
"""What a busy machine may add to a measured latency."""
CHECK_S = 0.05
"""client_connection_check_interval: how soon PostgreSQL notices that a client has vanished."""


@pytest.fixture
def db(place: Place) -> Iterator[Connection]:
    connection = place.connect()
    # The first statement of a session starts Python, which is not the subject.
    value(connection, "select count(*) from customerio.campaigns")
    yield connection
    # Where a test failed, its statement may go on.
    with place.connect() as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid = %s", [connection.info.backend_pid]
        )
    connection.close()


def cancel_by_function(admin: Connection, db: Connection) -> None:
    admin.execute("select pg_cancel_backend(%s)", [db.info.backend_pid])


def cancel_by_client(_admin: Connection, db: Connection) -> None:
    """What Ctrl-C in psql sends."""
    db.cancel()


def terminate(admin: Connection, db: Connection) -> None:
    admin.execute("select pg_terminate_backend(%s)", [db.info.backend_pid])


def vanish(_admin: Connection, db: Connection) -> None:
    with socket.socket(fileno=os.dup(db.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)


Ending = Callable[[Connection, Connection], None]
CANCELS: tuple[Ending, ...] = (cancel_by_function, cancel_by_client)


class Running:
    """A statement in a thread of its own."""

    def __init__(self, db: Connection, statement: str) -> None:
        self.error: Any = None
        self.ended_s = 0.0
        self._thread = threading.Thread(target=self._run, args=(db, statement), daemon=True)
        self._thread.start()

    def _run(self, db: Connection, statement: str) -> None:
        try:
            db.execute(statement)
        except psycopg.Error as error:
            self.error = error
        self.ended_s = time.monotonic()

    @property
    def is_over(self) -> bool:
        return bool(self.ended_s)

    def join(self) -> None:
        self._thread.join(10)
        assert self.is_over, "the statement goes on"


def sockets(pid: int) -> int:
    return sum(str(link.readlink()).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())


def soon(condition: Callable[[], bool], within_s: float, what: str) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.002)


def begin(place: Place, stage: Stage, db: Connection, statement: str) -> Running:
    running = Running(db, statement)
    if stage.name == "analyze" and not has_analyze(running):
        pytest.skip("ANALYZE of a foreign table asks nothing: the wrapper does not sample")
    stage.wait_until_there(place)
    assert not running.is_over, running.error
    return running


def has_analyze(running: Running) -> bool:
    time.sleep(0.3)
    return not running.is_over


def check_session(place: Place, db: Connection, stage: Stage, sockets_before: int) -> None:
    """Threads, processes and sockets are gone, the API has nobody waiting, and the next query is answered."""
    pid = db.info.backend_pid
    if db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        db.execute("rollback")
    soon(lambda: threads_now(pid) == 1, 0.2, "a thread is left")
    assert children(pid) == []
    assert sockets(pid) <= sockets_before
    soon(lambda: place.sim.stats()["in_flight"] == 0, 1.0, "a request is still under way")
    db.execute("set statement_timeout = 0")
    assert value(db, "select count(*) from customerio.campaigns") == 6
    soon(lambda: threads_now(pid) == 1, 0.2, "a thread is left")


@pytest.mark.parametrize("ending", CANCELS, ids=lambda ending: ending.__name__)
@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name.replace(" ", "-"))
def test_cancel(place: Place, admin: Connection, db: Connection, stage: Stage, ending: Ending) -> None:
    before = sockets(db.info.backend_pid)
    with stage.held(place, admin, db) as statement:
        running = begin(place, stage, db, statement)
        struck_s = time.monotonic()
        ending(admin, db)
        running.join()
        assert running.error.sqlstate == "57014"
        assert running.error.diag.message_primary == "canceling statement due to user request"
        assert running.ended_s - struck_s < CANCEL_S + NOISE_S
    check_session(place, db, stage, before)


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name.replace(" ", "-"))
def test_statement_timeout(place: Place, admin: Connection, db: Connection, stage: Stage) -> None:
    before = sockets(db.info.backend_pid)
    timeout_s = 0.5
    with stage.held(place, admin, db) as statement:
        db.execute(f"set statement_timeout = {int(timeout_s * 1000)}")
        struck_s = time.monotonic() + timeout_s
        running = Running(db, statement)
        running.join()
        if stage.name == "analyze" and running.error is None:
            pytest.skip("ANALYZE of a foreign table asks nothing: the wrapper does not sample")
        assert running.error.sqlstate == "57014"
        assert running.error.diag.message_primary == "canceling statement due to statement timeout"
        assert running.ended_s - struck_s < CANCEL_S + NOISE_S
    check_session(place, db, stage, before)


@pytest.mark.parametrize("ending", [terminate, vanish], ids=lambda ending: ending.__name__)
@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name.replace(" ", "-"))
def test_end_of_the_session(place: Place, admin: Connection, db: Connection, stage: Stage, ending: Ending) -> None:
    pid = db.info.backend_pid
    db.execute(f"set client_connection_check_interval = {int(CHECK_S * 1000)}")
    with stage.held(place, admin, db) as statement:
        running = begin(place, stage, db, statement)
        started = children(pid)
        assert bool(started) == (stage.name == "host name")
        struck_s = time.monotonic()
        ending(admin, db)
        running.join()
        if ending is terminate:
            assert running.error.sqlstate == "57P01"
            assert running.ended_s - struck_s < CANCEL_S + NOISE_S
        allowed_s = CANCEL_S + NOISE_S + (2 * CHECK_S if ending is vanish else 0)
        soon(lambda: not Path(f"/proc/{pid}").exists(), allowed_s, "the backend lingers")
        assert not any(map(is_running, started)), "the lookup goes on"
        soon(lambda: place.sim.stats()["in_flight"] == 0, 1.0, "a request is still under way")


@pytest.mark.parametrize("name", ["host name", "headers", "throttled", "handler", "nested loop", "fetch", "analyze"])
def test_transaction_timeout(place: Place, admin: Connection, db: Connection, name: str) -> None:
    if db.info.server_version < 170000:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    stage, pid, timeout_s = STAGES[name], db.info.backend_pid, 0.5
    with stage.held(place, admin, db) as statement:
        if db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            db.execute("rollback")
        db.execute(f"set transaction_timeout = {int(timeout_s * 1000)}")
        for before in stage.before:
            db.execute(before)
        struck_s = time.monotonic() + timeout_s
        running = Running(db, statement)
        running.join()
        if stage.name == "analyze" and running.error is None:
            pytest.skip("ANALYZE of a foreign table asks nothing: the wrapper does not sample")
        assert running.error.sqlstate == "25P04"
        assert running.ended_s - struck_s < CANCEL_S + NOISE_S
        soon(lambda: not Path(f"/proc/{pid}").exists(), CANCEL_S + NOISE_S, "the backend lingers")
        soon(lambda: place.sim.stats()["in_flight"] == 0, 1.0, "a request is still under way")


@pytest.mark.parametrize("how", ["terminate", "vanish", "idle timeout"])
def test_a_cursor_left_open(place: Place, admin: Connection, db: Connection, how: str) -> None:
    """Between two fetches; a cancel finds nothing to end there."""
    pid = db.info.backend_pid
    place.sim.faults([{"match": {"path": "actions$", "nth": 3}, "times": None, "action": {"kind": "hang"}}])
    if how == "idle timeout":
        db.execute("set idle_in_transaction_session_timeout = '200ms'")
    db.execute("begin")
    db.execute("declare c cursor for select * from customerio.campaign_actions")
    assert len(db.execute("fetch 3 from c").fetchall()) == 3
    if how == "terminate":
        terminate(admin, db)
    elif how == "vanish":
        vanish(admin, db)
    allowed_s = CANCEL_S + NOISE_S + (0.2 if how == "idle timeout" else 0)
    soon(lambda: not Path(f"/proc/{pid}").exists(), allowed_s, "the backend lingers")
    soon(lambda: place.sim.stats()["in_flight"] == 0, 1.0, "a request is still under way")


def test_a_handler_of_cancels_goes_on(place: Place, admin: Connection, db: Connection) -> None:
    """PL/pgSQL may catch a cancel by name. What it asks next is asked, and may be cancelled again."""
    stage, before = STAGES["headers"], sockets(db.info.backend_pid)
    block = """do $$ begin
        begin perform count(*) from customerio.messages; exception when query_canceled then null; end;
        perform count(*) from customerio.campaigns;
        perform count(*) from customerio.messages;
    end $$"""
    with stage.held(place, admin, db):
        running = begin(place, stage, db, block)
        cancel_by_client(admin, db)
        soon(lambda: len(place.sim.log()) >= 3, 2.0, "the block did not go on")
        assert [entry["path"] for entry in place.sim.log()] == ["/v1/messages", "/v1/campaigns", "/v1/messages"]
        cancel_by_client(admin, db)
        running.join()
        assert running.error.sqlstate == "57014"
    check_session(place, db, stage, before)


def test_cancels_while_python_starts(place: Place, admin: Connection) -> None:
    """The first statement of a session imports Python and its modules, in planning and in its first request."""
    late_s: list[float] = []
    place.sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    for ms in range(5, 205, 10):
        with place.connect() as db:
            db.execute(f"set statement_timeout = {ms}")
            began_s = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                db.execute("select id from customerio.messages")
            late_s.append(time.monotonic() - began_s - ms / 1000)
            db.execute("set statement_timeout = 0")
            assert value(db, "select count(*) from customerio.campaigns") == 6
    assert max(late_s) < CANCEL_S + NOISE_S


def test_import_is_all_or_nothing(place: Place, admin: Connection, db: Connection) -> None:
    """IMPORT FOREIGN SCHEMA asks nothing; ended at any moment it leaves no table behind."""
    place.sim.reset()
    db.execute("create schema imported")
    outcomes = set()
    for ms in (*range(1, 30), 1000):
        try:
            with db.transaction():
                db.execute(f"set local statement_timeout = {ms + 1}")
                db.execute("import foreign schema customerio from server customerio into imported")
            outcomes.add("done")
        except psycopg.errors.QueryCanceled:
            outcomes.add("cancelled")
            assert value(db, "select count(*) from pg_class where relnamespace = 'imported'::regnamespace") == 0
            continue
        tables = value(db, "select count(*) from pg_class where relnamespace = 'imported'::regnamespace")
        assert tables == sum(not endpoint.by_page for endpoint in ENDPOINTS.values()) + len(OWN_TABLES)
        db.execute("drop schema imported cascade; create schema imported")
    db.execute("drop schema imported cascade")
    assert "done" in outcomes
    assert place.sim.log() == []


def test_sigint_and_sigterm_of_the_operating_system(place: Place, admin: Connection, db: Connection) -> None:
    stage = STAGES["headers"]
    with stage.held(place, admin, db) as statement:
        for number, sqlstate in ((signal.SIGINT, "57014"), (signal.SIGTERM, "57P01")):
            place.sim.reset()
            place.sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
            running = begin(place, stage, db, statement)
            struck_s = time.monotonic()
            os.kill(db.info.backend_pid, number)
            running.join()
            assert running.error.sqlstate == sqlstate
            assert running.ended_s - struck_s < CANCEL_S + NOISE_S
