"""psycopg 3: the ways of reading that differ on the wire, and what each asks of the API."""

from __future__ import annotations

import csv
import io
import threading
import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from cio_fdw.simulator.client import Simulator
from tests.clients.days import DAY, NEXT, PAST, midnight
from tests.clients.seen import between, only_times, paths
from tests.conftest import RequestsOf
from tests.sql.helpers import Connection, asked, rows, value

CAMPAIGNS = "select id, name, created, active, tags, raw from customerio.campaigns order by id"
ONE_DAY = (DAY, NEXT)


def pipelined(db: Connection, queries: list[str], cursors: list[psycopg.Cursor[Any]]) -> None:
    with db.pipeline():
        cursors += [db.execute(query) for query in queries]


def read_all(copied: AbstractContextManager[psycopg.Copy]) -> bytes:
    with copied as copy:
        return b"".join(bytes(block) for block in copy)


def test_server_side_cursor_asks_as_it_reads(db: Connection, sim: Simulator) -> None:
    whole = value(db, f"select count(*) from customerio.messages where {PAST}")
    sim.reset()
    with db.transaction(), db.cursor(name="steps") as cursor:
        cursor.execute(f"select id from customerio.messages where {PAST}")
        assert asked(sim) == []
        first = cursor.fetchmany(10)
        after_ten = len(asked(sim))
        rest = cursor.fetchall()
    assert len(first) == 10
    assert len({*first, *rest}) == len(first) + len(rest) == whole
    assert 1 <= after_ten < len(asked(sim))


def test_iterating_over_a_cursor_with_itersize_asks_nothing_twice(db: Connection, requests_of: RequestsOf) -> None:
    query = f"select id from customerio.messages where {PAST}"
    with requests_of() as at_once:
        found = rows(db, query)
    with requests_of() as in_steps, db.transaction(), db.cursor(name="itersize") as cursor:
        cursor.itersize = 250
        cursor.execute(query)
        assert sorted(cursor) == sorted(found)
    assert len(in_steps) == len(set(in_steps))
    assert len(in_steps) <= len(at_once) + 1


def test_abandoned_cursor_asks_no_more(db: Connection, sim: Simulator) -> None:
    with db.transaction(), db.cursor(name="abandoned") as cursor:
        cursor.execute("select id from customerio.messages")
        assert len(cursor.fetchmany(10)) == 10
    partly = len(asked(sim))
    sim.reset()
    rows(db, "select id from customerio.messages")
    assert partly < len(asked(sim))


def test_a_cursor_with_hold_reads_all_at_commit_and_nothing_later(db: Connection, sim: Simulator) -> None:
    with db.cursor(name="held", withhold=True) as cursor:
        cursor.execute(f"select id from customerio.messages where {PAST}")
        sent = len(asked(sim))
        assert sent >= 1
        found = cursor.fetchall()
    assert len(asked(sim)) == sent
    assert len(found) == value(db, f"select count(*) from customerio.messages where {PAST}")


def test_a_scrollable_cursor_goes_back_without_asking_again(db: Connection, sim: Simulator) -> None:
    with db.transaction(), db.cursor(name="back", scrollable=True) as cursor:
        cursor.execute("select id from customerio.campaigns")
        found = cursor.fetchall()
        cursor.scroll(0, mode="absolute")
        assert cursor.fetchall() == found
    assert asked(sim) == ["/v1/campaigns"]


def test_pipeline_answers_in_order(db: Connection, requests_of: RequestsOf) -> None:
    query = "select id from customerio.campaigns where id = %s"
    with requests_of() as seen, db.pipeline():
        cursors = [db.execute(query, [number]) for number in (1, 2, 3)]
    assert [cursor.fetchall() for cursor in cursors] == [[(1,)], [(2,)], [(3,)]]
    assert seen == [f"GET /v1/campaigns/{number}" for number in (1, 2, 3)]


def test_an_error_of_the_api_in_a_pipeline_spoils_what_follows_and_no_session(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "status", "status": 403}}])
    queries = [f"select count(*) from customerio.{table}" for table in ("campaigns", "segments", "newsletters")]
    cursors: list[psycopg.Cursor[Any]] = []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        pipelined(db, queries, cursors)
    assert cursors[0].fetchone() == (12,)
    assert cursors[2].rowcount == -1
    assert asked(sim) == ["/v1/campaigns", "/v1/segments"]
    assert rows(db, "select 1") == [(1,)]


def test_error_keeps_its_sqlstate_in_a_pipeline(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn), connection.pipeline():
            connection.execute("select no_such_column from customerio.campaigns")
        assert rows(connection, "select 1") == [(1,)]


@pytest.mark.parametrize("table", ["campaigns", "campaign_actions", "messages", "activities", "segments"])
def test_binary_results_equal_text(db: Connection, sim: Simulator, table: str) -> None:
    """Every type of the catalog: whole rows of tables that have them all."""
    found: list[list[Any]] = []
    for binary in (False, True):
        with db.cursor(binary=binary, row_factory=dict_row) as cursor:
            found.append(cursor.execute(f"select * from customerio.{table} order by id limit 100").fetchall())
    assert found[0] == found[1]
    assert len(found[0]) > 0


def test_copy_of_a_query_as_text(db: Connection, sim: Simulator) -> None:
    with db.cursor() as cursor, cursor.copy(f"copy ({CAMPAIGNS}) to stdout") as copy:
        copy.set_types(["int8", "text", "timestamptz", "bool", "text[]", "jsonb"])
        copied = list(copy.rows())
    assert asked(sim) == ["/v1/campaigns"]
    assert copied == rows(db, CAMPAIGNS)
    assert len(copied) == 12


def test_copy_of_a_query_as_binary(db: Connection, sim: Simulator) -> None:
    with db.cursor() as cursor, cursor.copy(f"copy ({CAMPAIGNS}) to stdout (format binary)") as copy:
        copy.set_types(["int8", "text", "timestamptz", "bool", "text[]", "jsonb"])
        copied = list(copy.rows())
    assert asked(sim) == ["/v1/campaigns"]
    assert copied == rows(db, CAMPAIGNS)


def test_copy_of_a_query_as_csv(db: Connection, sim: Simulator) -> None:
    query = f"select id, subject, created from customerio.messages where created < '{DAY}Z'"
    written = read_all(db.cursor().copy(f"copy ({query}) to stdout (format csv, header)"))
    read = list(csv.DictReader(io.StringIO(written.decode())))
    assert sorted(line["id"] for line in read) == sorted(row[0] for row in rows(db, query))
    assert list(read[0]) == ["id", "subject", "created"]


def test_copy_of_the_table_itself_is_refused_by_postgresql(db: Connection, sim: Simulator) -> None:
    with pytest.raises(psycopg.errors.WrongObjectType) as caught, db.cursor() as cursor:
        cursor.execute("copy customerio.campaigns to stdout")
    assert caught.value.diag.message_hint == "Try the COPY (SELECT ...) TO variant."
    assert asked(sim) == []


def test_an_error_in_the_middle_of_a_copy_is_an_error_and_no_short_file(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages", "nth": 2}, "times": None,
                 "action": {"kind": "status", "status": 403}}])  # fmt: skip
    copied = db.cursor().copy(f"copy (select id from customerio.messages where {PAST}) to stdout")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        read_all(copied)
    assert rows(db, "select 1") == [(1,)]


def test_prepared_statement_pushes_its_parameter(db: Connection, sim: Simulator) -> None:
    query = "select id from customerio.campaign_actions where campaign_id = %s"
    for number in range(1, 9):
        sim.reset()
        db.execute(query, [number], prepare=True).fetchall()
        assert paths(sim) == {f"/v1/campaigns/{number}/actions"}


@pytest.mark.parametrize("plan", ["auto", "force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_prepared_times_are_pushed_from_every_plan(db: Connection, sim: Simulator, plan: str, binary: bool) -> None:
    """A statement is prepared from its sixth run on; generic plans get the values only when they run."""
    db.execute("select set_config('plan_cache_mode', %s, false)", [plan])
    form = "%b" if binary else "%s"
    query = f"select count(*) from customerio.messages where created >= {form} and created < {form}"
    for day in range(9):
        first = (midnight(DAY) + timedelta(days=day)).replace(tzinfo=timezone(timedelta(hours=2)))
        sim.reset()
        counted = db.execute(query, [first, first + timedelta(days=1)]).fetchone()
        start = int(first.timestamp())
        assert only_times(sim) == (start, start + 86_400)
        expected = sum(start <= row["created"] < start + 86_400 and "drafted" not in row["metrics"]
                       for row in sim.data("messages"))  # fmt: skip
        assert counted == (expected,)


def test_a_prepared_list_becomes_one_path_each(db: Connection, sim: Simulator) -> None:
    query = "select distinct campaign_id from customerio.campaign_actions where campaign_id = any(%s) order by 1"
    for first in range(1, 9):
        sim.reset()
        found = db.execute(query, [[first, first + 1]], prepare=True).fetchall()
        assert found == [(first,), (first + 1,)]
        assert paths(sim) == {f"/v1/campaigns/{first}/actions", f"/v1/campaigns/{first + 1}/actions"}


def test_date_parameters_and_json_parameters(db: Connection, sim: Simulator) -> None:
    first, last = (datetime.fromisoformat(day).date() for day in ONE_DAY)
    db.execute("set timezone = 'UTC'")
    rows(db, "select id from customerio.messages where created >= %s and created < %s", [first, last])
    assert only_times(sim) == between(*ONE_DAY)
    found = rows(db, "select id from customerio.campaigns where raw @> %s", [Jsonb({"id": 3})])
    assert found == [(3,)]


def test_cancel_from_another_thread(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])

    def cancel() -> None:
        while not asked(sim):
            time.sleep(0.01)
        db.cancel_safe(timeout=10)

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        rows(db, "select id from customerio.messages")
    thread.join(10)
    assert rows(db, "select count(*) from customerio.campaigns") == [(12,)]


def test_a_stream_of_single_rows_has_them_all(db: Connection, sim: Simulator) -> None:
    query = f"select id from customerio.messages where {PAST}"
    with db.cursor() as cursor:
        found = list(cursor.stream(query))
    assert len(set(found)) == len(found) == value(db, f"select count(*) from customerio.messages where {PAST}")
