"""ANALYZE: statistics from a few requests; estimates before and after it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, refused, rows, value

FEW = 60


@pytest.fixture
def fresh(unseen: Connection) -> Iterator[Connection]:
    """A schema of foreign tables without statistics, of a server that nothing is known of."""
    db = unseen
    db.execute("create schema fresh; import foreign schema customerio from server customerio into fresh")
    yield db
    db.execute("drop schema fresh cascade")


def node(db: Connection, query: str) -> dict[str, object]:
    ((plan,),) = rows(db, f"explain (analyze, format json, timing off) {query}")
    found: dict[str, object] = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return found


def ratio(db: Connection, query: str) -> float:
    """Expected over actual rows."""
    found = node(db, query)
    return max(float(str(found["Plan Rows"])), 1.0) / max(float(str(found["Actual Rows"])), 1.0)


@pytest.mark.parametrize("table", sorted(name for name in ENDPOINTS if not ENDPOINTS[name].by_page))
def test_every_table_can_be_analyzed(fresh: Connection, sim: Simulator, table: str) -> None:
    fresh.execute(f"analyze fresh.{table}")
    requests = len(asked(sim))
    actual = value(fresh, f"select count(*) from fresh.{table}")
    known = value(fresh, f"select reltuples from pg_class where oid = 'fresh.{table}'::regclass")
    assert 0 < requests <= FEW
    if table != "activities":  # its list is longer than what is read of it
        assert actual / 3 <= known <= max(actual, 1) * 3
    assert value(fresh, f"select count(*) from pg_stats where schemaname = 'fresh' and tablename = '{table}'") > 0


def test_analyze_says_nothing(fresh: Connection, sim: Simulator) -> None:
    """Nobody has asked for the rows that the API does not keep."""
    notices: list[object] = []
    fresh.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))
    fresh.execute("analyze fresh.messages")
    assert notices == []


def test_estimates_after_analyze_are_close(fresh: Connection, sim: Simulator) -> None:
    fresh.execute("analyze fresh.messages")
    for where in (
        "",
        "where created > now() - interval '30 days'",
        "where created > now() - interval '90 days' and type = 'email'",
        "where campaign_id = 3",
        "where subject like '%a%' and created > now() - interval '60 days'",
    ):
        assert 1 / 3 <= ratio(fresh, f"select id from fresh.messages {where}") <= 3, where


def test_expected_requests_follow_the_statistics(fresh: Connection, sim: Simulator) -> None:
    before = node(fresh, "select id from fresh.messages")["API Requests Estimated"]
    fresh.execute("analyze fresh.messages")
    after = node(fresh, "select id from fresh.messages")
    assert int(str(before)) > 50
    assert abs(int(str(after["API Requests Estimated"])) - int(str(after["API Requests Sent"]))) <= 2


def test_analyze_of_a_table_without_rows(fresh: Connection, sim: Simulator) -> None:
    fresh.execute("alter server customerio options (add anchor_date '2999-01-01')")
    try:
        fresh.execute("analyze fresh.messages")
    finally:
        fresh.execute("alter server customerio options (drop anchor_date)")
    assert value(fresh, "select reltuples from pg_class where oid = 'fresh.messages'::regclass") == 0


def test_a_fault_ends_analyze(fresh: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "action": {"kind": "status", "status": 403}}])
    with refused("42501"):
        fresh.execute("analyze fresh.campaigns")
    sim.reset()
    fresh.execute("analyze fresh.campaigns")
