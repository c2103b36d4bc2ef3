"""EXPLAIN tells what will be asked, EXPLAIN ANALYZE what was; never a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.days import DAY_BOUNDS, ONE_DAY, dated
from tests.sql.helpers import Connection, asked, plan_lines, rows

QUERY = f"select id from customerio.messages where campaign_id = 7 and {ONE_DAY}"
TARGET = f"GET /v1/messages?campaign_id=7&start_ts={DAY_BOUNDS[0]}&end_ts={DAY_BOUNDS[1]}&limit=1000"


def scan_nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    own = [node] if node["Node Type"] == "Foreign Scan" else []
    return own + [found for child in node.get("Plans", []) for found in scan_nodes(child)]


def explain_json(db: Connection, query: str, options: str) -> dict[str, Any]:
    (row,) = rows(db, f"explain (format json{options}) {query}")
    (node,) = scan_nodes(row[0][0]["Plan"])
    return node


def test_plain_explain(db: Connection, sim: Simulator) -> None:
    lines = plan_lines(db, QUERY)
    assert f"API Request: {TARGET}" in lines
    assert "API Windows: 1" in lines
    assert asked(sim) == []


def test_explain_analyze_counts_what_happened(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": 1, "action": {"kind": "status", "status": 503}}])
    node = explain_json(db, QUERY, ", analyze")
    assert node["API Request"] == [TARGET]
    assert node["API Requests Sent"] == 2 == len(asked(sim))
    assert node["API Retries"] == 1
    assert node["API Rate Limited"] == 0
    assert node["API Rows"] == node["Actual Rows"]
    assert node["API Bytes"] > 0


def test_explain_analyze_tells_of_429s_and_waits(db: Connection, sim: Simulator) -> None:
    limited = {"kind": "status", "status": 429, "headers": {"Retry-After": "0.3"}}
    sim.faults([
        {"match": {"path": "/v1/messages"}, "times": 1, "action": limited},
        {"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "slow_headers", "seconds": 0.2}},
    ])  # fmt: skip
    node = explain_json(db, QUERY, ", analyze")
    assert (node["API Requests Sent"], node["API Retries"], node["API Rate Limited"]) == (2, 1, 1)
    assert node["API Throttled"] >= 0.3
    assert node["API Time"] >= 0.2


def test_rescans_are_added_up(db: Connection, sim: Simulator) -> None:
    query = """select * from (values (1), (2), (3)) l(id),
        lateral (select count(*) from customerio.campaign_actions where campaign_id = l.id offset 0) a"""
    assert explain_json(db, query, ", analyze")["API Requests Sent"] == len(asked(sim)) >= 3


def test_unknown_parameters_are_question_marks(db: Connection) -> None:
    lines = plan_lines(
        db,
        "select id from customerio.messages where created > (select now() - interval '1 day') "
        "and campaign_id = (select max(g) from generate_series(1, 7) g)",
    )
    assert any("campaign_id=?&start_ts=?&" in line for line in lines), lines


def test_parents_are_named(db: Connection) -> None:
    lines = plan_lines(db, "select id from customerio.campaign_actions")
    assert "API Request: GET /v1/campaigns" in lines
    assert "API Request: GET /v1/campaigns/{campaign_id}/actions for each row of campaigns" in lines
    lines = plan_lines(db, "select id from customerio.campaign_actions where campaign_id in (7, 8)")
    assert "API Request: GET /v1/campaigns/7/actions" in lines
    assert "API Parents: 2" in lines


def test_contradiction(db: Connection) -> None:
    assert "API Request: none, as no row can match" in plan_lines(db, dated(f"{QUERY} and created < '{{before}}'"))


@pytest.mark.parametrize("options", ["verbose", "analyze, verbose", "analyze, format xml", "verbose, format yaml"])
def test_the_key_is_nowhere(db: Connection, sim: Simulator, options: str) -> None:
    shown = json.dumps([str(row[0]) for row in rows(db, f"explain ({options}) {QUERY}")])
    assert "v1/messages" in shown
    assert sim.key not in shown


def test_fewer_requests_cost_less(unseen: Connection) -> None:
    def cost(query: str) -> float:
        return float(explain_json(unseen, query.replace("customerio.", "unseen."), "")["Total Cost"])

    everything = cost("select id from customerio.messages")
    assert cost(QUERY) < cost("select id from customerio.messages where campaign_id = 7") < everything
    one = cost("select id from customerio.campaign_actions where campaign_id = 7")
    assert one < cost("select id from customerio.campaign_actions where campaign_id in (7, 8)")
    assert one < cost("select id from customerio.campaign_actions") / 10
