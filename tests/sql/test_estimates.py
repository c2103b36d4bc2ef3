"""Rows and requests that the planner expects of the headline queries: within 10 times, after ANALYZE within 3 times.

While nothing is known, a workspace of usual size is assumed; a statement that reads a table whole tells its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, server_option, value

HEADLINES = {
    "everything": "messages",
    "a day": "messages where created > now() - interval '1 day'",
    "30 days": "messages where created > now() - interval '30 days'",
    "30 days of one type": "messages where created > now() - interval '30 days' and type = 'email'",
    "a campaign": "messages where campaign_id = 3",
    "90 days of a campaign": "messages where campaign_id = 3 and created > now() - interval '90 days'",
    "a week by date": "messages where created::date >= current_date - 7",
    "one message": "messages where id = (select id from one)",
    "campaigns": "campaigns",
    "one campaign": "campaigns where id = 3",
    "newsletters": "newsletters",
    "all actions": "campaign_actions",
    "actions of a campaign": "campaign_actions where campaign_id = 3",
    "actions of three": "campaign_actions where campaign_id in (1, 2, 3)",
    "all members": "segment_membership",
    "members of a segment": "segment_membership where segment_id = 2",
    "activities": "activities",
}
TABLES = ("messages", "campaigns", "newsletters", "campaign_actions", "segment_membership", "activities", "segments")


@pytest.fixture(scope="module")
def usual() -> Iterator[Simulator]:
    """A workspace of about a hundred messages a day."""
    with Simulator(messages=20_000, campaigns=40, rate=0, seed=7) as running:
        yield running


@pytest.fixture
def one(unseen: Connection, sim: Simulator) -> Iterator[Connection]:
    """The same, with a local table of one message's id."""
    unseen.execute(f"create table public.one as select '{sim.data('messages')[-1]['id']}'::text as id")
    yield unseen
    unseen.execute("drop table public.one")


def scan_of(plan: dict[str, Any]) -> dict[str, Any]:
    """The scan of the API: the outermost node that has its properties."""
    if "API Request" in plan:
        return plan
    return next(found for found in (scan_of(child) for child in plan.get("Plans", ())) if found)


def ratios(db: Connection, tail: str) -> tuple[float, float]:
    """Expected over actual: rows, and requests."""
    plan = value(db, f"explain (analyze, format json, timing off) select id_of from (select *, 1 id_of from {tail}) t")
    node = scan_of(plan[0]["Plan"])
    rows = max(node["Plan Rows"], 1) / max(node["Actual Rows"], 1)
    return rows, node["API Requests Estimated"] / max(node["API Requests Sent"], 1)


def is_within(factor: float, ratio: float) -> bool:
    return 1 / factor <= ratio <= factor


@pytest.mark.parametrize("tail", HEADLINES.values(), ids=HEADLINES)
def test_of_a_workspace_of_usual_size(one: Connection, usual: Simulator, tail: str) -> None:
    """Nothing is known: neither statistics nor sizes."""
    usual.reset()
    with server_option(one, "base_url", usual.url):
        one.execute(f"update one set id = '{usual.data('messages')[-1]['id']}'")
        found = ratios(one, tail)
    assert is_within(10, found[0]), found
    assert is_within(10, found[1]), found


def test_after_the_first_scan(one: Connection) -> None:
    """A small workspace, of which each table was read once."""
    before = ratios(one, "messages")
    assert before[0] > 10, "the workspace is small enough to tell"
    for table in TABLES:
        value(one, f"select count(*) from {table}")
    found = {name: ratios(one, tail) for name, tail in HEADLINES.items()}
    assert {name: pair for name, pair in found.items() if not (is_within(10, pair[0]) and is_within(10, pair[1]))} == {}


def test_after_analyze(one: Connection) -> None:
    one.execute(f"analyze {', '.join(TABLES)}")
    found = {name: ratios(one, tail) for name, tail in HEADLINES.items()}
    assert {name: pair for name, pair in found.items() if not (is_within(3, pair[0]) and is_within(3, pair[1]))} == {}


def test_what_was_read_in_part_tells_nothing(one: Connection, database: str) -> None:
    def expected() -> float:
        plan = value(one, "explain (format json) select id from messages")
        return float(plan[0]["Plan"]["Plan Rows"])

    at_first = expected()
    for statement in (
        "select id from messages limit 5",
        "select count(*) from messages where campaign_id = 3",
        "select count(*) from messages where created > now() - interval '2 hours'",
        "select id from messages where id = (select id from one)",
    ):
        one.execute(statement)
    assert expected() == at_first
    one.execute("select count(*) from messages where created > now() - interval '20 days' and subject like 'x%'")
    assert expected() < at_first / 10
    with psycopg.connect(database) as other:
        other.execute("set search_path = unseen")
        assert value(other, "explain (format json) select id from messages")[0]["Plan"]["Plan Rows"] < at_first / 10


def test_a_state_directory_that_cannot_be_used(unseen: Connection, cluster: Cluster) -> None:
    """Planning goes on without sizes."""
    with server_option(unseen, "state_dir", str(cluster.private_dir / "not" / "there")):
        assert value(unseen, "explain (format json) select id from messages")[0]["Plan"]["Plan Rows"] > 1000
