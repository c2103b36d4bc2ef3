"""Parallel plans: the API is asked by the leader alone, once; workers read the local tables beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.hosting.conftest import CAMPAIGNS, Hosted
from tests.native.backend import scalar

EAGER = (
    "set parallel_setup_cost = 0",
    "set parallel_tuple_cost = 0",
    "set min_parallel_table_scan_size = 0",
    "set max_parallel_workers_per_gather = 2",
)
JOIN = "select count(*) from local l join customerio.campaigns c on c.id = l.campaign_id"


@pytest.fixture(scope="module")
def eager(hosted: Hosted) -> Iterator[psycopg.Connection[Any]]:
    cluster = hosted({"max_worker_processes": "8"})
    with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
        for statement in EAGER:
            db.execute(statement)
        db.execute("create table local as select n, n % 10 as campaign_id from generate_series(1, 100000) n")
        db.execute("analyze local")
        yield db


def test_a_join_with_a_table_that_workers_read(eager: psycopg.Connection[Any], world: Simulator) -> None:
    ids = [row[0] for row in eager.execute("select id from customerio.campaigns").fetchall()]
    plan = "\n".join(row[0] for row in eager.execute(f"explain {JOIN}").fetchall())
    assert "Parallel Seq Scan on local" in plan
    assert "Parallel Foreign Scan" not in plan
    world.reset()
    assert scalar(eager, JOIN) == sum(10_000 for one in ids if one < 10)
    assert [entry["path"] for entry in world.log()] == ["/v1/campaigns"]


def test_every_statement_in_a_worker_that_can_be(eager: psycopg.Connection[Any]) -> None:
    name = "debug_parallel_query" if eager.info.server_version >= 160000 else "force_parallel_mode"
    eager.execute(f"set {name} = on")
    try:
        assert scalar(eager, "select count(*) from customerio.campaigns") == CAMPAIGNS
        assert scalar(eager, "select max(id) from customerio.messages where campaign_id in (1, 2)") is not None
        assert scalar(eager, f"select ({JOIN}) > 0") is True
    finally:
        eager.execute(f"reset {name}")


def test_a_table_is_made_from_a_parallel_plan(eager: psycopg.Connection[Any]) -> None:
    eager.execute(f"create table joined as {JOIN.replace('count(*)', 'l.n, c.name')}")
    assert scalar(eager, "select count(*) from joined") == scalar(eager, JOIN)
