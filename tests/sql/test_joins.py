"""Joins ask for what the other side names, when that is fewer requests; and not when it is more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, rows, value


@pytest.fixture
def picked(unseen: Connection, sim: Simulator) -> Iterator[str]:
    """A local table of three messages, analyzed; the planner takes the workspace for one of usual size."""
    db = unseen
    ids = [row["id"] for row in sim.data("messages")[-3:]]
    db.execute("create table picked as select unnest(%s::text[]) as id", [ids])
    db.execute("analyze picked")
    yield "picked"
    db.execute("drop table picked")


def paths(sim: Simulator) -> list[str]:
    return [target.partition("?")[0] for target in asked(sim)]


def test_children_of_the_matching_parents_only(db: Connection, sim: Simulator) -> None:
    names = [row["id"] for row in sim.data("campaigns") if row["name"].startswith("W")]
    joined = """from customerio.campaign_actions a join customerio.campaigns c on c.id = a.campaign_id
                where c.name like 'W%'"""
    count = value(db, f"select count(*) {joined}")
    assert count == sum(row["campaign_id"] in names for row in sim.data("campaign_actions"))
    assert 0 < len(names) < len(sim.data("campaigns"))
    assert set(paths(sim)) == {"/v1/campaigns", *(f"/v1/campaigns/{id_}/actions" for id_ in names)}


def test_children_of_all_parents_are_read_at_once(db: Connection, sim: Simulator) -> None:
    """A join with every parent gains nothing from asking one by one; the list of parents is read once for both."""
    db.execute("set enable_nestloop = off")
    joined = "from customerio.campaign_actions a join customerio.campaigns c on c.id = a.campaign_id"
    assert value(db, f"select count(*) {joined}") == len(sim.data("campaign_actions"))
    db.execute("reset enable_nestloop")
    assert paths(sim).count("/v1/campaigns") == 1


def test_a_few_messages_by_a_local_list(db: Connection, sim: Simulator, picked: str) -> None:
    assert value(db, "select count(*) from picked join customerio.messages m using (id)") == 3
    assert sum(path.startswith("/v1/messages/") for path in paths(sim)) == 3
    assert len(paths(sim)) == 6


def test_a_left_join_keeps_what_is_not_there(db: Connection, sim: Simulator, picked: str) -> None:
    db.execute("insert into picked values ('nope')")
    found = rows(db, "select p.id, m.id from picked p left join customerio.messages m on m.id = p.id order by 1")
    assert sum(right is None for _, right in found) == 1
    assert len(found) == 4
    assert len(paths(sim)) == 7


def test_semi_and_anti_joins(db: Connection, sim: Simulator, picked: str) -> None:
    assert value(db, "select count(*) from customerio.messages where id in (select id from picked)") == 3
    assert len(paths(sim)) == 6
    sim.reset()
    missing = "select count(*) from picked p where not exists (select from customerio.messages m where m.id = p.id)"
    assert value(db, missing) == 0


def test_a_long_list_is_not_asked_for_one_by_one(db: Connection, sim: Simulator) -> None:
    db.execute("create table long as select id from customerio.messages")
    db.execute("analyze long")
    sim.reset()
    try:
        expected = value(db, "select count(*) from long")
        assert value(db, "select count(*) from long join customerio.messages m using (id)") == expected
        assert not any(path.startswith("/v1/messages/") for path in paths(sim))
    finally:
        db.execute("drop table long")


def test_activities_of_a_few_people(db: Connection, sim: Simulator) -> None:
    people = sorted({row["customer_id"] for row in sim.data("activities") if row["customer_id"]})[:2]
    db.execute("create table people as select unnest(%s::text[]) as customer_id", [people])
    db.execute("analyze people")
    try:
        count = value(db, "select count(*) from people join customerio.activities a using (customer_id)")
        assert count == sum(row["customer_id"] in people for row in sim.data("activities"))
        assert sorted(asked(sim)) == [f"/v1/activities?customer_id={p}&id_type=id&limit=100" for p in people]
    finally:
        db.execute("drop table people")


def test_equal_outer_values_are_asked_for_once(db: Connection, sim: Simulator) -> None:
    db.execute("create table twice as select 1::bigint as id from generate_series(1, 50)")
    db.execute("analyze twice")
    try:
        actions = sum(row["campaign_id"] == 1 for row in sim.data("campaign_actions"))
        query = "select count(*) from twice join customerio.campaign_actions a on a.campaign_id = twice.id"
        assert value(db, query) == 50 * actions
        assert paths(sim).count("/v1/campaigns") == 0
        assert len(paths(sim)) <= 2
    finally:
        db.execute("drop table twice")


def test_lateral(db: Connection, sim: Simulator) -> None:
    query = """select c.id, a.n from (select id from customerio.campaigns where id in (1, 2)) c,
               lateral (select count(*) as n from customerio.campaign_actions a where a.campaign_id = c.id) a"""
    actions = [row["campaign_id"] for row in sim.data("campaign_actions")]
    assert sorted(rows(db, query)) == [(id_, actions.count(id_)) for id_ in (1, 2)]
    assert set(paths(sim)) == {"/v1/campaigns", "/v1/campaigns/1/actions", "/v1/campaigns/2/actions"}


def test_explain_of_a_parameterized_scan(db: Connection, sim: Simulator, picked: str) -> None:
    lines = [row[0] for row in rows(db, "explain select m.id from picked join customerio.messages m using (id)")]
    assert any("GET /v1/messages/?" in line for line in lines)
    assert asked(sim) == []
