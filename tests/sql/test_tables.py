"""Each table shows what the API holds: every row, every column."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Column
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, rows, value


def expected(column: Column, record: dict[str, Any]) -> Any:
    """The value that a record has for a column, worked out independently of the package's converters."""
    if column.name == "raw":
        return record
    found: Any = record
    for key in column.key_path:
        found = found.get(key) if isinstance(found, dict) else None
    if found is None and column.fallback:
        found = record
        for key in column.fallback.split("."):
            found = found.get(key) if isinstance(found, dict) else None
    if found is None or (column.zero_is_null and found == 0):
        return None
    return datetime.fromtimestamp(found, timezone.utc) if column.type == "timestamptz" else found


def assert_same(db: Connection, table: str, records: list[dict[str, Any]]) -> None:
    """`records`: as the API shows them, with the parent's id where they lack it."""
    endpoint = ENDPOINTS[table]
    columns = endpoint.all_columns
    names = ", ".join(f'"{column.name}"' for column in columns)
    keys = [column for column in columns if column.name in endpoint.key]
    by_key = {tuple(expected(column, record) for column in keys): record for record in records}
    assert len(by_key) == len(records)
    found = rows(db, f"select {names} from customerio.{table}")
    positions = [columns.index(column) for column in keys]
    assert sorted(tuple(row[i] for i in positions) for row in found) == sorted(by_key)
    for row in found:
        record = by_key[tuple(row[i] for i in positions)]
        for column, shown in zip(columns, row):
            wanted = expected(column, record)
            if column.name == "raw" and endpoint.parent and endpoint.parent.column not in shown:
                wanted = {name: value for name, value in wanted.items() if name != endpoint.parent.column}
            assert shown == wanted, f"{table}.{column.name} of {record}"


def kept(sim: Simulator, table: str = "messages") -> list[dict[str, Any]]:
    """Messages of the last six months: older ones the API does not give."""
    since = datetime.now(timezone.utc).timestamp() - 184 * 86400
    return [row for row in sim.data(table) if row["created"] >= since]


def records_of(sim: Simulator, table: str) -> list[dict[str, Any]]:
    endpoint = ENDPOINTS[table]
    if endpoint.window:
        return kept(sim, table)
    if endpoint.parent:
        column = endpoint.parent.column
        return [{column: parent, **row} for parent, row in sim.data_by_parent(table)]
    return sim.data(table)


def names(sim: Simulator) -> dict[int, str]:
    return {row["id"]: row["name"] for row in sim.data("campaigns")}


@pytest.mark.parametrize("table", sorted(name for name, endpoint in ENDPOINTS.items() if not endpoint.by_page))
def test_every_row_and_column(db: Connection, sim: Simulator, table: str) -> None:
    records = records_of(sim, table)
    assert len(records) > 0
    assert_same(db, table, records)


def test_the_data_needs_several_pages(sim: Simulator) -> None:
    assert len(kept(sim)) > 2000
    pairs = sim.data_by_parent("campaign_actions")
    assert max(sum(parent == one for parent, _ in pairs) for one, _ in pairs) > 10


def test_metric_columns_agree_with_the_metrics_object(db: Connection) -> None:
    disagreeing = """
        select count(*) from customerio.messages
        where opened is distinct from to_timestamp((metrics->>'opened')::bigint)
           or human_clicked is distinct from to_timestamp((metrics->>'human_clicked')::bigint)"""
    assert value(db, "select count(opened) from customerio.messages") > 100
    assert value(db, disagreeing) == 0


def test_only_some_columns_in_another_order(db: Connection, sim: Simulator) -> None:
    record = sim.data("campaigns")[0]
    found = rows(db, "select updated, name, id from customerio.campaigns where id = %s", [record["id"]])
    assert [row[1:] for row in found] == [(record["name"], record["id"])]


def test_no_columns_at_all(db: Connection, sim: Simulator) -> None:
    assert value(db, "select count(*) from customerio.campaigns") == len(sim.data("campaigns"))
    assert rows(db, "select from customerio.campaigns limit 2") == [(), ()]


def test_whole_rows(db: Connection, sim: Simulator) -> None:
    found = rows(db, "select to_jsonb(c) from customerio.campaigns c")
    assert sorted(row[0]["name"] for row in found) == sorted(row["name"] for row in sim.data("campaigns"))
    assert all(row[0]["raw"]["id"] == row[0]["id"] for row in found)


def test_a_table_with_a_subset_of_the_columns_under_another_name(db: Connection, sim: Simulator) -> None:
    db.execute(
        "create foreign table pg_temp.mine (name text, id bigint) server customerio options (endpoint 'campaigns')"
    )
    assert dict(rows(db, "select id, name from pg_temp.mine")) == names(sim)


def test_a_dropped_column_leaves_the_others_in_place(db: Connection, sim: Simulator) -> None:
    columns = "name text, type text, id bigint"
    db.execute(f"create foreign table pg_temp.t ({columns}) server customerio options (endpoint 'campaigns')")
    db.execute("alter foreign table pg_temp.t drop column type")
    assert dict(rows(db, "select id, name from pg_temp.t")) == names(sim)


def test_joins_aggregates_and_ctes_agree_with_the_data(db: Connection, sim: Simulator) -> None:
    counts: dict[Optional[int], int] = {}
    for row in kept(sim):
        counts[row["campaign_id"]] = counts.get(row["campaign_id"], 0) + 1
    query = """
        with m as (select campaign_id, count(*) n from customerio.messages group by 1)
        select c.id, m.n from customerio.campaigns c join m on m.campaign_id = c.id"""
    assert dict(rows(db, query)) == {id_: n for id_, n in counts.items() if id_ is not None}


def test_materialized_view_and_concurrent_refresh(db: Connection, sim: Simulator) -> None:
    db.execute("create materialized view public.by_day as select created::date as day, count(*) as sent "
               "from customerio.messages where created < '2027-01-01' group by 1")  # fmt: skip
    try:
        before = dict(rows(db, "select day, sent from public.by_day"))
        assert sum(before.values()) == len(kept(sim))
        db.execute("create unique index on public.by_day (day)")
        day = max(before)
        noon = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        added = sim.add_messages({"created": int(noon.timestamp()) + 1})
        try:
            db.execute("refresh materialized view concurrently public.by_day")
            assert dict(rows(db, "select day, sent from public.by_day")) == {**before, day: before[day] + 1}
        finally:
            sim.delete(*(row["id"] for row in added))
    finally:
        db.execute("drop materialized view public.by_day")
