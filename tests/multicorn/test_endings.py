"""Cancels, errors and rollbacks in a real PostgreSQL: the right SQLSTATE, nothing left over, a backend that goes on."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Callable

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import postmaster_start, vitals
from tests.sql.helpers import Connection, asked, refused, rows, server_option, value

MAX_GROWTH_KB = 16 * 1024
LEAK_KB = 1
"""With each cancel, at most: Multicorn's own."""
ERRORS = 1500
"""More than the levels of recursion that Python starts with: each error takes one away for good."""


@pytest.fixture
def hanging(sim: Simulator) -> Simulator:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    return sim


def open_files(db: Connection) -> int:
    """Of the backend; it keeps up to three connections to the API."""
    return len(list(Path(f"/proc/{db.info.backend_pid}/fd").iterdir()))


def test_cancels_at_random_moments(
    db: Connection,
    sim: Simulator,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    began = postmaster_start(db)
    rng = random.Random(3)
    queries = (
        "select id from customerio.messages",
        "select count(*) from customerio.campaign_actions join customerio.messages using (campaign_id)",
        "do $$ begin perform id from customerio.messages; exception when query_canceled then raise; end $$",
        "explain (analyze) select id from customerio.messages",
    )
    value(db, "select count(*) from customerio.messages")
    before, files = vitals(db), open_files(db)
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    count = request.config.getoption("--cancels")
    for _ in range(count):
        with refused("57014") as caught:
            # In one message, so that the timeout covers the query alone.
            db.execute(f"set statement_timeout = {rng.randint(5, 40)}")
            rows(db, rng.choice(queries))
        assert caught.value.diag.message_primary == "canceling statement due to statement timeout"
    db.execute("set statement_timeout = 0")
    after = vitals(db)
    record_property("memory_kb", [before.memory_kb, after.memory_kb])
    record_property("files", [files, open_files(db)])
    assert after.threads == 1
    assert open_files(db) <= files + 3
    assert after.memory_kb - before.memory_kb < MAX_GROWTH_KB + LEAK_KB * count
    sim.faults([])
    assert value(db, "select count(*) from customerio.messages") > 2000
    assert postmaster_start(db) == began


def test_more_errors_than_levels_of_recursion(db: Connection, sim: Simulator) -> None:
    began = postmaster_start(db)
    db.execute("create foreign table pg_temp.odd (id bigint) server customerio options (endpoint 'campains')")
    for _ in range(ERRORS):
        with refused("HV00R"):
            db.execute("select id from pg_temp.odd")
    assert len(rows(db, "select id from customerio.campaigns")) == len(sim.data("campaigns"))
    assert postmaster_start(db) == began


def test_handlers_of_plpgsql_catch_by_name(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "status", "status": 403}}])
    db.execute("""
        do $$ begin
            for i in 1..20 loop
                begin
                    perform id from customerio.campaigns;
                    raise exception 'no error';
                exception when insufficient_privilege then null;
                end;
            end loop;
        end $$""")
    assert len(asked(sim)) == 20
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    db.execute("set statement_timeout = '200ms'")
    db.execute("do $$ begin perform id from customerio.messages; exception when query_canceled then null; end $$")
    db.execute("set statement_timeout = 0")
    assert vitals(db).threads == 1


def test_pg_cancel_and_pg_terminate(db: Connection, database: str, hanging: Simulator) -> None:
    for function, sqlstate in (("pg_cancel_backend", "57014"), ("pg_terminate_backend", "57P01")):
        hanging.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
        seen: list[str] = []
        with psycopg.connect(database, autocommit=True) as victim:
            thread = threading.Thread(target=run, args=(victim, seen))
            already = len(asked(hanging))
            thread.start()
            while len(asked(hanging)) == already:
                time.sleep(0.01)
            value(db, f"select {function}({victim.info.backend_pid})")
            thread.join(10)
        assert seen == [sqlstate]
    assert value(db, "select 1") == 1


def run(connection: Connection, seen: list[str]) -> None:
    try:
        connection.execute("select id from customerio.messages")
    except psycopg.Error as error:
        seen.append(error.sqlstate or "")


@pytest.mark.parametrize("how", ["rollback", "error", "commit", "savepoint", "explain analyze"])
def test_nothing_outlives_its_transaction(db: Connection, sim: Simulator, how: str) -> None:
    """Multicorn tells no end of a scan whose statement failed, and none of EXPLAIN ANALYZE."""
    for _ in range(5):
        db.execute("begin")
        db.execute("savepoint s")
        if how == "explain analyze":
            rows(db, "explain (analyze) select id from customerio.messages limit 1")
        else:
            db.execute("declare c cursor for select id from customerio.messages")
            assert len(rows(db, "fetch 1200 from c")) == 1200
        if how == "error":
            with refused("22012"):
                db.execute("select 1/0")
        if how == "savepoint":
            db.execute("rollback to s")
            assert vitals(db).threads == 1
        db.execute("commit" if how in ("commit", "explain analyze") else "rollback")
        assert vitals(db).threads == 1


def test_an_outer_cursor_survives_a_savepoint(db: Connection, sim: Simulator) -> None:
    with db.transaction():
        db.execute("declare c cursor for select id from customerio.messages")
        first = rows(db, "fetch 10 from c")
        for end in ("rollback to s", "release s"):
            db.execute("savepoint s")
            rows(db, "select id from customerio.messages limit 3")
            db.execute(end)
        rest = rows(db, "fetch all from c")
    assert len({*first, *rest}) == len(first) + len(rest) > 2000


def test_an_error_in_the_middle_is_no_short_result(db: Connection, sim: Simulator) -> None:
    later_pages = {"path": "/v1/messages", "param": {"start": ""}}
    sim.faults([{"match": later_pages, "times": None, "action": {"kind": "status", "status": 500}}])
    with server_option(db, "max_retries", "0"), refused("08006"):
        rows(db, "select id from customerio.messages")
    with server_option(db, "max_retries", "0"), refused("08006"):
        db.execute("create temp table copy as select id from customerio.messages")


def test_a_notice_and_a_cancel_at_once(db: Connection, sim: Simulator) -> None:
    """PostgreSQL looks for cancels at the end of a notice, and would jump over Python's frames there."""
    began = postmaster_start(db)
    db.add_notice_handler(lambda diagnostic: None)
    for _ in range(60):
        db.execute("set statement_timeout = 1")
        try:
            value(db, "select count(*) from customerio.messages where created between 'epoch' and '2026-01-01'")
        except psycopg.errors.QueryCanceled:
            pass
        finally:
            reset(db)
    assert postmaster_start(db) == began


def reset(db: Connection) -> None:
    while True:
        try:
            db.execute("set statement_timeout = 0")
        except psycopg.errors.QueryCanceled:
            continue
        return
