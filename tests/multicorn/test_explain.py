"""EXPLAIN through the second door: the requests are shown, and no parameter ends the server."""

from __future__ import annotations

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.days import DAY_BOUNDS, ONE_DAY, dated
from tests.sql.helpers import Connection, asked, plan_lines, rows, value


def test_explain(db: Connection, sim: Simulator) -> None:
    lines = plan_lines(db, f"select id from customerio.messages where {ONE_DAY} and campaign_id = 7")
    start, end = DAY_BOUNDS
    assert f"API Request: GET /v1/messages?campaign_id=7&start_ts={start}&end_ts={end}&limit=1000" in lines
    assert "API Windows: 1" in lines
    assert asked(sim) == []


def test_explain_analyze_counts_what_happened(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": 1, "action": {"kind": "status", "status": 503}}])
    lines = plan_lines(db, f"select id from customerio.messages where {ONE_DAY}", "(analyze, timing off)")
    count = value(db, f"select count(*) from customerio.messages where {ONE_DAY}")
    assert "API Requests Sent: 2" in lines
    assert "API Retries: 1" in lines
    assert f"API Rows: {count}" in lines
    assert not any("Sent" in line for line in plan_lines(db, f"select id from customerio.messages where {ONE_DAY}"))


def test_explain_analyze_adds_rescans_up(db: Connection, sim: Simulator) -> None:
    query = """select * from (values (1), (2), (3)) l(id),
        lateral (select count(*) from customerio.campaign_actions where campaign_id = l.id offset 0) a"""
    (line,) = (line for line in plan_lines(db, query, "(analyze)") if "Requests Sent" in line)
    assert line == f"API Requests Sent: {len(asked(sim))}"


@pytest.mark.parametrize(
    "query",
    [
        "select * from customerio.messages where created > (select now() - interval '1 day')",
        "select * from customerio.messages where campaign_id = (select 7) and type = (select 'email')",
        dated("select * from customerio.messages where created = (select date '{day}')"),
        "select * from customerio.messages where created < (select localtimestamp)",
        "select * from customerio.campaigns where active = (select true)",
        "select * from (values ('x')) l(id) join customerio.messages m using (id)",
        "select * from (values (1::bigint)) l(id), lateral (select * from customerio.campaign_actions "
        "where campaign_id = l.id offset 0) a",
    ],
)
def test_explain_survives_parameters(db: Connection, query: str) -> None:
    assert any("API Request: " in line for line in plan_lines(db, query))
    assert any("API Request: " in line for line in plan_lines(db, query, "(verbose, costs off)"))
    for style in ("json", "xml", "yaml"):
        rows(db, f"explain (format {style}) {query}")


def test_auto_explain_survives_parameters(db: Connection, sim: Simulator) -> None:
    db.execute("load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on")
    assert value(db, "select count(*) from (values ('x')) l(id) join customerio.messages m using (id)") == 0
    assert value(db, "select 1") == 1
