"""Snapshot mode: tables that are read whole."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from cio_fdw.catalog import ENDPOINTS
from tests.sync.helpers import Sync

SNAPSHOTS = sorted(name for name, endpoint in ENDPOINTS.items() if endpoint.incremental == "snapshot")
HOUR = timedelta(hours=1)


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.at(datetime.now(timezone.utc))
    return mirror_db


def later(s: Sync) -> None:
    assert s.now is not None
    s.at(s.now + HOUR)


@pytest.mark.parametrize("table", SNAPSHOTS)
def test_every_table(s: Sync, table: str) -> None:
    target = s.mirror(table)
    assert s.refresh(target)[1:] == (1, 0, "done")
    columns = ", ".join(f'"{column.name}"' for column in ENDPOINTS[table].all_columns)
    assert s.value(f"select count(*) from {target}") > 0
    for one, other in ((f"customerio.{table}", target), (target, f"customerio.{table}")):
        assert s.rows(f"select {columns} from {one} except all select {columns} from {other}") == []
    s.sim.reset()
    assert s.refresh(target)[3] == "idle"
    assert s.requests() == []
    assert {row[0] for row in s.rows(f"select fresh_as_of from {target}_fresh")} == {s.now}


def test_changes_and_deletes(s: Sync) -> None:
    target = s.mirror("segments")
    s.refresh(target)
    rows = s.sim.data("segments")
    s.sim.put_rows("segments", [{**rows[0], "name": "renamed"}])
    s.sim.delete_row("segments", rows[1]["id"])
    later(s)
    s.refresh(target)
    counts = s.rows("select rows_inserted, rows_updated, rows_deleted from cio.runs order by run_id desc limit 1")
    assert counts == [(0, 1, 1)]
    assert s.rows(f"select name, _changed_at from {target} where id = %s", [rows[0]["id"]]) == [("renamed", s.now)]
    assert s.rows(f"select _deleted_at from {target} where id = %s", [rows[1]["id"]]) == [(s.now,)]
    assert s.rows(f"select status from {target}_fresh where id = %s", [rows[1]["id"]]) == [("deleted",)]
    s.sim.put_rows("segments", rows)
    later(s)
    s.refresh(target)
    assert s.rows(f"select id from {target} where _deleted_at is not null") == []


@pytest.mark.parametrize("rows_key", ["[]", "null"])
def test_an_empty_answer_deletes_nothing_but_by_force(s: Sync, rows_key: str) -> None:
    target = s.mirror("segments")
    s.refresh(target)
    before = s.ids(target)
    body = {"segments": [] if rows_key == "[]" else None}
    s.sim.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "body", "json": body}}])
    later(s)
    s.refresh(target)
    assert s.ids(target) == before
    assert s.rows("select status from cio.buckets") == [("suspect",)]
    s.db.execute(f"call cio.refresh_range('{target}', '-infinity', 'infinity', force => true)")
    assert s.ids(target) == set()
    assert s.ids(target, "true") == before


def test_all_at_once(s: Sync) -> None:
    for table in SNAPSHOTS:
        s.mirror(table)
    s.mirror("messages", more="start_time => now() - interval '3 days'")
    s.mirror("activities")
    s.db.execute("call cio.refresh_all()")
    assert {status for (status,) in s.rows("select status from cio.runs")} == {"done"}
    assert s.value("select count(*) from cio.mirrors where due = 0") == len(SNAPSHOTS) + 2
    s.sim.reset()
    s.db.execute("call cio.refresh_all()")
    assert s.requests() == []


def test_a_key_of_two_columns(s: Sync) -> None:
    target = s.mirror("campaign_actions")
    s.refresh(target)
    (key,) = s.rows(f"select campaign_id::text, id::text from {target} limit 1")
    assert s.value(f"select cio.forget('{target}', %s, %s)", list(key)) == 1


def test_the_requests_of_a_table_below_another(mirror_db: Sync) -> None:
    """One list for each parent is counted, and that of the parents."""
    s = mirror_db
    target = s.mirror("campaign_actions")
    s.refresh(target)
    asked = len(s.requests())
    assert asked >= 7
    assert s.rows("select requests from cio.runs") == [(asked,)]
    assert s.rows("select requests from cio.buckets") == [(asked,)]


@pytest.mark.parametrize("known_by", ["a mirror", "analyze"])
def test_parents_without_rows_cost_requests_too(mirror_db: Sync, known_by: str) -> None:
    s = mirror_db
    bare = [{**s.sim.data("campaigns")[0], "id": 900 + n} for n in range(3)]
    s.sim.put_rows("campaigns", bare)
    try:
        if known_by == "a mirror":
            s.refresh(s.mirror("campaigns"))
        else:
            s.db.execute("analyze customerio.campaigns")
        target = s.mirror("campaign_actions")
        s.sim.reset()
        s.refresh(target)
        asked = len(s.requests())
        assert sum("/campaigns/90" in path for path in s.requests()) == 3
        assert s.rows("select requests from cio.runs order by run_id desc limit 1") == [(asked,)]
        assert s.value(f"select requests from cio.estimate('{target}') where scope = 'first load'") == asked
    finally:
        for row in bare:
            s.sim.delete_row("campaigns", row["id"])


def test_one_unit_is_told_once(mirror_db: Sync) -> None:
    s = mirror_db
    s.refresh(s.mirror("campaigns"))
    assert [notice for notice in s.notices if " units, " in notice] == [
        "cio: analytics.campaigns: 1 of 1 units, 6 rows"
    ]
