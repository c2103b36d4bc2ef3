"""psycopg 3: the ways of reading that differ on the wire."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, rows

CAMPAIGNS = "select id, name, created from customerio.campaigns order by id"


def test_server_side_cursor_reads_in_steps(db: Connection, sim: Simulator) -> None:
    with db.transaction(), db.cursor(name="steps") as cursor:
        cursor.execute("select id from customerio.messages")
        first = cursor.fetchmany(10)
        after_ten = len(asked(sim))
        rest = cursor.fetchall()
    assert len(first) == 10
    assert len({*first, *rest}) == len(first) + len(rest) == rows(db, "select count(*) from customerio.messages")[0][0]
    assert after_ten >= 1


def test_abandoned_cursor_asks_no_more(db: Connection, sim: Simulator) -> None:
    with db.transaction(), db.cursor(name="abandoned") as cursor:
        cursor.execute("select id from customerio.messages")
        assert len(cursor.fetchmany(10)) == 10
    partly = len(asked(sim))
    sim.reset()
    rows(db, "select id from customerio.messages")
    assert partly < len(asked(sim))


def test_pipeline_answers_in_order(db: Connection, sim: Simulator) -> None:
    with db.pipeline():
        cursors = [db.execute("select id from customerio.campaigns where id = %s", [number]) for number in (1, 2, 3)]
    assert [cursor.fetchall() for cursor in cursors] == [[(1,)], [(2,)], [(3,)]]


def test_binary_results_equal_text(db: Connection, sim: Simulator) -> None:
    found: list[list[Any]] = []
    for binary in (False, True):
        with db.cursor(binary=binary) as cursor:
            found.append(cursor.execute(CAMPAIGNS).fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 12


def test_copy_of_a_query(db: Connection, sim: Simulator) -> None:
    with db.cursor() as cursor, cursor.copy(f"copy ({CAMPAIGNS}) to stdout") as copy:
        copy.set_types(["int8", "text", "timestamptz"])
        copied = list(copy.rows())
    assert copied == rows(db, CAMPAIGNS)


def test_prepared_statement_pushes_its_parameter(db: Connection, sim: Simulator) -> None:
    query = "select id from customerio.campaign_actions where campaign_id = %s"
    for number in range(1, 9):
        sim.reset()
        db.execute(query, [number], prepare=True).fetchall()
        assert {target.partition("?")[0] for target in asked(sim)} == {f"/v1/campaigns/{number}/actions"}


def test_error_keeps_its_sqlstate_in_a_pipeline(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn), connection.pipeline():
            connection.execute("select no_such_column from customerio.campaigns")
        assert rows(connection, "select 1") == [(1,)]
