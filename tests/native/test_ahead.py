"""Rows that the host keeps while requests are under way: in memory, and in a temporary file when they are many."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar, vitals
from tests.sql.helpers import asked, refused, server_option

LARGE, LARGE_BYTES, PAGE = 80, 600_000, 5
"""Messages, their size, and how many are a page: those of a round are more than is kept in memory."""
LATENCY_MS = 20
"""Time in which rows are read ahead."""
DAY_S, APART_S = 86_400, 20


@pytest.fixture
def waiting(sim: Simulator) -> Iterator[None]:
    """An API that takes its time."""
    sim.set_latency(LATENCY_MS)
    yield
    sim.set_latency(0)


@pytest.fixture
def large(db: Connection, sim: Simulator, waiting: None) -> Iterator[list[str]]:
    """The view `large` of messages that are large; the notices of the session."""
    first_s = int(time.time()) - 3 * DAY_S
    added = sim.add_messages(
        *(
            {"subject": f"large{i} " + str(i) * (LARGE_BYTES // len(str(i))), "created": first_s + i * APART_S}
            for i in range(LARGE)
        )
    )
    db.execute(
        f"create temp view large as select id, subject from customerio.messages where subject like 'large%' "
        f"and created between to_timestamp({first_s}) and to_timestamp({first_s + LARGE * APART_S})"
    )
    notices: list[str] = []
    db.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    with server_option(db, "page_size", str(PAGE)):
        yield notices
    db.execute("drop view large")
    sim.delete(*(row["id"] for row in added))


def spilled(db: Connection) -> int:
    """How many temporary files there are now."""
    return int(scalar(db, "select count(*) from pg_ls_tmpdir()"))


def test_what_does_not_fit_into_memory_waits_in_a_file(db: Connection, large: list[str]) -> None:
    db.execute("create temp table copied as select * from large")
    assert scalar(db, "select count(distinct split_part(subject, ' ', 1)) from copied") == LARGE
    assert scalar(db, "select min(length(subject)) from copied") > LARGE_BYTES - 10
    with db.transaction():
        cursor = db.cursor("reading")
        cursor.execute("select id, subject from large")
        files = []
        while cursor.fetchmany(PAGE):
            files.append(spilled(db))
        assert max(files) == 1
        cursor.close()
        assert spilled(db) == 0
    assert large == []


def test_work_mem_says_what_fits_into_memory(db: Connection, large: list[str]) -> None:
    files = []
    with db.transaction():
        db.execute(f"set local work_mem = '{2 * LARGE * LARGE_BYTES // 1024}kB'")
        cursor = db.cursor("reading")
        cursor.execute("select id, subject from large")
        while cursor.fetchmany(PAGE):
            files.append(spilled(db))
        cursor.close()
    assert len(files) == LARGE / PAGE
    assert max(files) == 0


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("select subject from large limit 50", None),
        ("select 1 / (length(subject) - length(subject)) from large offset 50", "22012"),
        ("select count(*) from generate_series(1, 3) n, lateral (select n, subject from large offset 0) s", None),
        ("do $$ begin perform 1 / (length(subject) - length(subject)) from large offset 50; "
         "exception when division_by_zero then null; end $$", None),
        ("begin; declare c cursor with hold for select subject from large; commit; close c", None),
        ("begin; declare c cursor for select subject from large; fetch 50 from c; rollback", None),
        ("begin; declare c cursor for select subject from large; savepoint s; fetch 50 from c; "
         "rollback to s; commit", None),
        ("begin; savepoint s; declare c cursor for select subject from large; fetch 50 from c; "
         "release s; fetch 20 from c; commit", None),
    ],
)  # fmt: skip
def test_no_file_is_left(db: Connection, large: list[str], statement: str, sqlstate: str) -> None:
    if sqlstate:
        with refused(sqlstate):
            db.execute(statement)
    else:
        db.execute(statement)
    assert spilled(db) == 0
    assert large == []
    assert scalar(db, "select count(*) from large") == LARGE


def test_rows_before_a_failure_are_enough_for_a_limit(db: Connection, sim: Simulator) -> None:
    """Pages that nobody needs may fail: no error hides rows that suffice."""
    with server_option(db, "page_size", "50"), server_option(db, "max_retries", "0"), db.transaction():
        cursor = db.cursor("reading")
        cursor.execute("select id from customerio.messages where created < now() - interval '1 hour'")
        assert len(cursor.fetchmany(60)) == 60
        sim.faults([{"match": {"path": "/v1/messages"}, "times": 1, "action": {"kind": "status", "status": 403}}])
        before = len(asked(sim))
        assert len(cursor.fetchmany(20)) == 20
        with pytest.raises(psycopg.Error):
            cursor.fetchall()
        assert len(asked(sim)) > before


def test_a_row_that_cannot_be_converted(db: Connection, sim: Simulator, waiting: None) -> None:
    """PostgreSQL refuses it while requests are under way; the backend goes on."""
    body = '{"messages": [{"id": "odd", "created": 1, "x": 1e999999}], "next": "more"}'
    with server_option(db, "page_size", "50"):
        action = {"kind": "body", "text": body}
        sim.faults([{"match": {"path": "/v1/messages", "nth": 7}, "action": action}])
        with refused("22003") as caught:
            db.execute("select raw from customerio.messages where created < now() - interval '1 hour'")
    assert 'column "raw" of foreign table "messages"' in (caught.value.diag.context or "")
    assert vitals(db).threads == 1
    assert scalar(db, "select count(*) from customerio.campaigns") > 0


def test_an_error_of_the_conversion_ends_the_requests(db: Connection, sim: Simulator, waiting: None) -> None:
    """Here the memory of the scan lives on after the error, as long as the transaction does."""
    db.execute(
        "create function pg_temp.reading() returns bigint language sql as $$ select count(raw) from "
        "customerio.messages where created < now() - interval '1 hour' and raw is not null $$"
    )
    db.execute(
        "create function pg_temp.caught() returns text language plpgsql as $$ declare rows bigint; begin "
        "rows := pg_temp.reading(); return rows; exception when others then return sqlstate; end $$"
    )
    body = '{"messages": [{"id": "odd", "created": 1, "x": 1e999999}], "next": "more"}'
    with server_option(db, "page_size", "50"), db.transaction():
        action = {"kind": "body", "text": body}
        sim.faults([{"match": {"path": "/v1/messages", "nth": 7}, "action": action}])
        assert scalar(db, "select pg_temp.caught()") == "22003"
        assert vitals(db).threads == 1
        assert scalar(db, "select count(*) from customerio.campaigns") > 0
        assert scalar(db, "select pg_temp.caught()") != "22003"


def test_a_file_is_of_one_round(db: Connection, large: list[str]) -> None:
    """Rows after one that did not fit into memory are kept there again."""
    query = "select subject from customerio.messages where created > now() - interval '60 days' and created < %s"
    below = scalar(db, "select max(created) + interval '1 s' from customerio.messages where subject like 'large%'")
    # One page after the other, the newest first; one is more than is kept in memory.
    with server_option(db, "page_size", "30"), server_option(db, "max_concurrency", "1"), db.transaction():
        cursor = db.cursor("reading")
        cursor.execute(query, [below])
        files = []
        while fetched := cursor.fetchmany(PAGE):
            files.append((max(len(row[0] or "") for row in fetched), spilled(db)))
    spilling = [i for i, (_, count) in enumerate(files) if count]
    assert spilling
    # The page that ended the round is given without the file.
    after = files[spilling[-1] + 30 // PAGE + 1 :]
    assert len(after) > 20
    assert max(size for size, _ in after) < LARGE_BYTES / 2
