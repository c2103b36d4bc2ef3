"""Rows that the host keeps while requests are under way: in memory, and in a temporary file when they are many."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar, vitals
from tests.sql.helpers import asked, refused, server_option

LARGE, LARGE_BYTES = 1500, 16_000
"""Rows and their size: more than is kept in memory."""


@pytest.fixture
def large(db: Connection, sim: Simulator) -> Iterator[list[str]]:
    """Snippets that are large; the notices of the session."""
    rows = [
        {"name": f"large{i}", "value": str(i) * (LARGE_BYTES // len(str(i))), "updated_at": 1} for i in range(LARGE)
    ]
    sim.put_rows("snippets", rows)
    notices: list[str] = []
    db.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    yield notices
    for row in rows:
        sim.delete_row("snippets", row["name"])


def spilled(db: Connection) -> int:
    """How many temporary files there are now."""
    return int(scalar(db, "select count(*) from pg_ls_tmpdir()"))


def test_what_does_not_fit_into_memory_waits_in_a_file(db: Connection, sim: Simulator, large: list[str]) -> None:
    db.execute("create temp table copied as select * from customerio.snippets")
    assert scalar(db, "select count(*) from copied where name like 'large%'") == LARGE
    assert scalar(db, "select min(length(value)) from copied where name like 'large%'") > LARGE_BYTES - 10
    assert scalar(db, "select count(distinct substr(value, 1, 8)) from copied where name like 'large%'") > LARGE / 2
    with db.transaction():
        cursor = db.cursor("reading")
        cursor.execute("select name, value from customerio.snippets")
        assert len(cursor.fetchmany(2)) == 2
        assert spilled(db) == 1
        cursor.close()
        assert spilled(db) == 0
    assert large == []


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("select value from customerio.snippets limit 3", None),
        ("select 1 / (length(value) - length(value)) from customerio.snippets", "22012"),
        ("select count(*) from generate_series(1, 3) n, lateral (select n, value from customerio.snippets offset 0) s",
         None),
        ("do $$ begin perform 1 / (length(value) - length(value)) from customerio.snippets; "
         "exception when division_by_zero then null; end $$", None),
        ("begin; declare c cursor with hold for select value from customerio.snippets; commit; close c", None),
        ("begin; declare c cursor for select value from customerio.snippets; fetch 2 from c; rollback", None),
        ("begin; declare c cursor for select value from customerio.snippets; savepoint s; fetch 2 from c; "
         "rollback to s; commit", None),
        ("begin; savepoint s; declare c cursor for select value from customerio.snippets; fetch 2 from c; "
         "release s; fetch 2 from c; commit", None),
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
    assert scalar(db, "select count(*) from customerio.snippets where name like 'large%'") == LARGE


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


def test_a_row_that_cannot_be_converted(db: Connection, sim: Simulator) -> None:
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


def test_an_error_of_the_conversion_ends_the_requests(db: Connection, sim: Simulator) -> None:
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


def test_a_file_is_of_one_round(db: Connection, sim: Simulator) -> None:
    """Rows after one that did not fit into memory are kept there again."""
    added = sim.add_messages(*({"subject": str(i) * (400_000 // len(str(i)))} for i in range(50)))
    try:
        with server_option(db, "page_size", "50"), db.transaction():
            cursor = db.cursor("reading")
            cursor.execute("select subject from customerio.messages")
            assert max(len(row[0] or "") for row in cursor.fetchmany(2)) > 300_000
            assert spilled(db) == 1
            assert sum(len(row[0] or "") > 300_000 for row in cursor.fetchmany(48)) == 48
            for _ in range(3):
                assert max(len(row[0] or "") for row in cursor.fetchmany(30)) < 300_000
                assert spilled(db) == 0
    finally:
        sim.delete(*(row["id"] for row in added))
