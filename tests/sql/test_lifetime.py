"""A scan ends when its query ends, however that is; the session goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, refused, rows, server_option, value

CANCEL_S = 0.1
"""Longest a cancelled statement may go on (DESIGN.md, section 4)."""
NOISE_S = 1.0
"""What a busy machine may add to a measured latency."""


@pytest.fixture
def hanging(sim: Simulator) -> Simulator:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    return sim


@pytest.fixture
def admin(db: Connection) -> Iterator[Connection]:
    with psycopg.connect(db.info.dsn, password=db.info.password, autocommit=True) as connection:
        yield connection


def threads(db: Connection) -> int:
    """Threads of the backend, once those that have ended are gone from the process too."""
    deadline_s = time.monotonic() + CANCEL_S + NOISE_S
    while True:
        count = len(list(Path(f"/proc/{db.info.backend_pid}/task").iterdir()))
        if count == 1 or time.monotonic() > deadline_s:
            return count
        time.sleep(0.001)


def sockets(db: Connection) -> int:
    """Open sockets of the backend; as another user than the server's they cannot be read."""
    links = [str(link.readlink()) for link in Path(f"/proc/{db.info.backend_pid}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links)


def started(sim: Simulator, count: int = 1) -> None:
    deadline_s = time.monotonic() + 10
    while len(asked(sim)) < count:
        assert time.monotonic() < deadline_s, "the request did not arrive"
        time.sleep(0.01)


def test_statement_timeout_during_a_hanging_request(db: Connection, hanging: Simulator) -> None:
    value(db, "select count(*) from customerio.campaigns")
    db.execute("set statement_timeout = '300ms'")
    for _ in range(20):
        began_s = time.monotonic()
        with refused("57014") as caught:
            rows(db, "select id from customerio.messages")
        assert 0.3 <= time.monotonic() - began_s < 0.3 + CANCEL_S + NOISE_S
        assert caught.value.diag.message_primary == "canceling statement due to statement timeout"
    db.execute("set statement_timeout = 0")
    assert threads(db) == 1
    hanging.faults([])
    assert value(db, "select count(*) from customerio.messages") > 2000


def run_in_background(db: Connection, query: str) -> tuple[threading.Thread, dict[str, Any]]:
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["rows"] = db.execute(query).fetchall()
        except psycopg.Error as error:
            outcome["error"] = error
        outcome["ended_s"] = time.monotonic()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_pg_cancel_backend_during_a_hanging_request(db: Connection, hanging: Simulator, admin: Connection) -> None:
    thread, outcome = run_in_background(db, "select id from customerio.messages")
    started(hanging)
    began_s = time.monotonic()
    admin.execute("select pg_cancel_backend(%s)", [db.info.backend_pid])
    thread.join(10)
    assert outcome["error"].sqlstate == "57014"
    assert outcome["ended_s"] - began_s < CANCEL_S + NOISE_S
    assert value(db, "select 1") == 1
    assert threads(db) == 1


def test_pg_terminate_backend_during_a_hanging_request(db: Connection, hanging: Simulator, admin: Connection) -> None:
    thread, outcome = run_in_background(db, "select id from customerio.messages")
    started(hanging)
    began_s = time.monotonic()
    admin.execute("select pg_terminate_backend(%s)", [db.info.backend_pid])
    thread.join(10)
    assert outcome["error"].sqlstate == "57P01"
    assert outcome["ended_s"] - began_s < CANCEL_S + NOISE_S
    # A crash would have ended this session too.
    assert value(admin, "select 1") == 1


@pytest.mark.parametrize("stage", ["back-off", "throttled", "parents", "body"])
def test_cancel_at_other_stages(db: Connection, sim: Simulator, stage: str) -> None:
    table, option = "messages", ("max_retries", "9")
    if stage == "back-off":
        action: dict[str, Any] = {"kind": "status", "status": 429, "headers": {"Retry-After": "30"}}
    elif stage == "body":
        action = {"kind": "drip", "bytes_per_s": 10}
    elif stage == "parents":
        table, action = "campaign_actions", {"kind": "hang"}
    else:
        option, action = ("requests_per_second", "1"), {"kind": "status", "status": 503}
    sim.faults([{"match": {"path": "/v1/"}, "times": None, "action": action}])
    with server_option(db, *option):
        value(db, "select 1")
        db.execute("set statement_timeout = '700ms'")
        began_s = time.monotonic()
        with refused("57014"):
            rows(db, f"select id from customerio.{table}")
        assert time.monotonic() - began_s < 0.7 + CANCEL_S + NOISE_S
        db.execute("set statement_timeout = 0")
    assert threads(db) == 1


def test_plpgsql_handler_may_catch_a_cancel(db: Connection, hanging: Simulator) -> None:
    db.execute("set statement_timeout = '200ms'")
    db.execute("""
        do $$ begin
            perform count(*) from customerio.messages;
            raise exception 'not cancelled';
        exception when query_canceled then null;
        end $$""")
    db.execute("set statement_timeout = 0")
    assert threads(db) == 1


def test_limit_ends_threads(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.messages limit 1")
    assert threads(db) == 1


def test_cursor_close_rollback_and_error_end_threads(db: Connection, sim: Simulator) -> None:
    for end in ("close c", "rollback", "select 1/0"):
        db.execute("begin")
        db.execute("declare c cursor for select id from customerio.messages where id || '' <> ''")
        assert len(rows(db, "fetch 1500 from c")) == 1500
        if end == "select 1/0":
            with refused("22012"):
                db.execute(end)
        else:
            db.execute(end)
        assert threads(db) == 1, end
        db.execute("rollback")


def test_rollback_to_savepoint_keeps_an_outer_cursor(db: Connection, sim: Simulator) -> None:
    db.execute("begin")
    db.execute("declare c cursor for select id from customerio.messages")
    first = {row[0] for row in rows(db, "fetch 10 from c")}
    db.execute("savepoint s")
    with refused("22012"):
        db.execute("select 1/0")
    db.execute("rollback to s")
    rest = {row[0] for row in rows(db, "fetch all from c")}
    db.execute("commit")
    assert len(first) == 10
    assert not first & rest
    assert len(first | rest) == value(db, "select count(*) from customerio.messages")


def test_a_slow_cursor_does_not_race_ahead(db: Connection, sim: Simulator) -> None:
    db.execute("begin")
    db.execute("declare c cursor for select id from customerio.messages")
    rows(db, "fetch 10 from c")
    assert len(asked(sim)) == 1
    db.execute("rollback")


def test_held_cursor_outlives_its_transaction(db: Connection, sim: Simulator) -> None:
    db.execute("declare c cursor with hold for select id from customerio.messages")
    assert threads(db) == 1
    assert len(rows(db, "fetch all from c")) == value(db, "select count(*) from customerio.messages")
    db.execute("close c")


def test_nested_loops_rescan_with_fresh_parameters(db: Connection, sim: Simulator) -> None:
    ids = [row["id"] for row in sim.data("campaigns")][:3]
    query = """
        select l.id, a.n from unnest(%s::bigint[]) l(id),
        lateral (select count(*) n from customerio.campaign_actions where campaign_id = l.id offset 0) a"""
    counts = {id_: sum(parent == id_ for parent, _ in sim.data_by_parent("campaign_actions")) for id_ in ids}
    assert dict(rows(db, query, [ids])) == counts
    assert threads(db) == 1


def test_a_failed_scan_leaks_no_threads_or_sockets(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.messages")
    before = sockets(db)
    sim.faults([{"match": {"path": "/v1/campaigns/"}, "times": None, "action": {"kind": "status", "status": 500}}])
    with server_option(db, "max_retries", "0"):
        for _ in range(30):
            with refused("08006"):
                rows(db, "select id from customerio.campaign_actions")
    assert threads(db) == 1
    assert sockets(db) <= before + 3


def test_a_reader_that_takes_its_time_runs_into_no_timeout(db: Connection, sim: Simulator) -> None:
    with server_option(db, "timeout", "0.5"), server_option(db, "max_retries", "0"), db.transaction():
        db.execute("declare c cursor for select id from customerio.messages")
        found = 0
        while batch := rows(db, "fetch 900 from c"):
            found += len(batch)
            time.sleep(0.7)
    assert found == value(db, "select count(*) from customerio.messages")
