"""Ten typical joins: which side is asked for by the other's values, and how many requests that takes.

Each has a twin that must be planned the other way: asking value by value would be more requests there, or fewer.
The planner knows nothing of the tables but what a workspace of usual size has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, value

WHOLE = 12
"""Requests that reading every message of this workspace takes at most."""


class Join(NamedTuple):
    """`one_by_one`: the tables that are asked for with values of the other side; `requests`: most that are sent."""

    query: str
    one_by_one: set[str]
    requests: int
    analyzed: tuple[str, ...] = ()
    """Tables of which there are statistics."""


JOINS = {
    # A campaign's messages of six months are two windows.
    "messages of one campaign": Join(
        "messages m join campaigns c on c.id = m.campaign_id where c.name = '{campaign}'", {"messages"}, 1 + 2
    ),
    "messages of all campaigns": Join(
        "messages m join campaigns c on c.id = m.campaign_id", set(), 1 + WHOLE
    ),
    "actions of filtered campaigns": Join(
        "campaign_actions a join campaigns c on c.id = a.campaign_id where c.name = '{campaign}'",
        {"campaign_actions"}, 1 + 2,
    ),
    "actions of all campaigns": Join(
        "campaign_actions a join campaigns c on c.id = a.campaign_id", set(), 1 + 12 + 12
    ),
    "members of one segment": Join(
        "segment_membership m join segments s on s.id = m.segment_id where s.name = '{segment}'",
        {"segment_membership"}, 1 + 2,
    ),
    "members of all segments": Join(
        "segment_membership m join segments s on s.id = m.segment_id", set(), 1 + 15 + 15
    ),
    "messages of one newsletter": Join(
        "newsletters n join messages m on m.newsletter_id = n.id where n.name = '{newsletter}'", {"messages"}, 2 + 3
    ),
    "messages of all newsletters": Join(
        "newsletters n join messages m on m.newsletter_id = n.id", set(), 2 + WHOLE
    ),
    "a local list of messages": Join("few join messages m on m.id = few.message_id", {"messages"}, 3 * 2),
    "a long local list of messages": Join("many join messages m on m.id = many.message_id", set(), WHOLE),
    "actions of a local list of campaigns": Join(
        "few join campaign_actions a on a.campaign_id = few.id", {"campaign_actions"}, 3 * 2
    ),
    # The list of campaigns is one request.
    "a local list of campaigns": Join("few join campaigns c on c.id = few.id", set(), 1),
    "lateral": Join(
        "few, lateral (select id from messages m where m.campaign_id = few.id order by created desc limit 3) m",
        {"messages"}, 3 * 3,
    ),
    "lateral of a short list": Join(
        "few, lateral (select name from campaigns c where c.id = few.id) c", set(), 1
    ),
    "semi join": Join("messages where campaign_id in (select id from few)", {"messages"}, 3 * 3),
    "semi join with a long list": Join("messages where id in (select message_id from many)", set(), WHOLE),
    "anti join": Join(
        "few where not exists (select from messages m where m.id = few.message_id)", {"messages"}, 3 * 2
    ),
    "anti join with a long list": Join(
        "many where not exists (select from messages m where m.id = many.message_id)", set(), WHOLE
    ),
    # PostgreSQL gives a grouped subquery no values of a join; a constant it does.
    "aggregated subquery": Join(
        "campaigns c join (select campaign_id, count(*) from messages group by 1) m on m.campaign_id = c.id "
        "where c.name = '{campaign}'", set(), 1 + WHOLE,
    ),
    "aggregated subquery of a constant": Join(
        "campaigns c join (select campaign_id, count(*) from messages group by 1) m on m.campaign_id = c.id "
        "where c.id = 3", set(), 1 + 3,
    ),
    "three": Join(
        "campaigns c join campaign_actions a on a.campaign_id = c.id "
        "join messages m on m.campaign_id = c.id and m.action_id = a.id where c.name = '{campaign}'",
        {"campaign_actions", "messages"}, 1 + 2 + 3, ("campaigns", "campaign_actions"),
    ),
    "three of all": Join(
        "campaigns c join campaign_actions a on a.campaign_id = c.id "
        "join messages m on m.campaign_id = c.id and m.action_id = a.id", set(), 1 + 24 + WHOLE,
    ),
    "three with a local list": Join(
        "few join campaigns c on c.id = few.id join messages m on m.campaign_id = c.id", {"messages"}, 1 + 3 * 3,
    ),
}  # fmt: skip


@pytest.fixture
def lists(unseen: Connection, sim: Simulator) -> Iterator[Connection]:
    """`few`: three campaigns and three messages; `many`: 500 of them."""
    messages = [row["id"] for row in sim.data("messages")[-500:]]
    for name, count in (("few", 3), ("many", 500)):
        unseen.execute(f"create table public.{name} (id bigint, message_id text)")
        unseen.execute(
            f"insert into {name} select row_number() over (), m from unnest(%s::text[]) m", [messages[:count]]
        )
        unseen.execute(f"analyze {name}")
    yield unseen
    unseen.execute("drop table public.few, public.many")


def text(join: Join, sim: Simulator) -> str:
    names = {
        what: str(sim.data(f"{what}s")[2]["name"]).replace("'", "''") for what in ("campaign", "segment", "newsletter")
    }
    return f"select count(*) from {join.query.format(**names)}"


def analyze(db: Connection, sim: Simulator, join: Join) -> None:
    for table in join.analyzed:
        db.execute(f"analyze {table}")
    sim.reset()


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if plan["Node Type"] == "Foreign Scan":
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans(child)


def is_open(request: str) -> bool:
    """Whether it waits for a value: GET /v1/campaigns/?/actions, GET /v1/messages?campaign_id=?&…"""
    return "/?" in request or "=?" in request


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_the_plan(lists: Connection, sim: Simulator, join: Join) -> None:
    analyze(lists, sim, join)
    plan = value(lists, f"explain (format json) {text(join, sim)}")[0]["Plan"]
    by_values = {node["Relation Name"] for node in scans(plan) if any(is_open(one) for one in node["API Request"])}
    assert asked(sim) == []
    assert by_values == join.one_by_one


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_the_requests(lists: Connection, sim: Simulator, join: Join) -> None:
    statement = text(join, sim)
    analyze(lists, sim, join)
    found = value(lists, statement)
    assert 0 < len(asked(sim)) <= join.requests, asked(sim)
    # The same rows when nothing is asked for one by one.
    lists.execute("set enable_nestloop = off; set enable_memoize = off")
    assert value(lists, statement) == found
