"""auto_explain and pg_stat_statements beside cio_fdw: they show the requests and the statements, never the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.database import set_up
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.hosting.conftest import CAMPAIGNS, Hosted, without_library
from tests.native.backend import scalar

MODULES = ("auto_explain", "pg_stat_statements")
NAMED = "select name from customerio.campaigns where id = {}"
TEXTS = "select query, calls from pg_stat_statements where query ilike %s order by query"


@pytest.fixture(scope="module")
def observed(hosted: Hosted, pg_config: Path) -> Cluster:
    for module in MODULES:
        if reason := without_library(installation(pg_config), module):
            pytest.skip(reason)
    cluster = hosted({
        "shared_preload_libraries": ",".join(MODULES),
        "auto_explain.log_min_duration": "0", "auto_explain.log_analyze": "on", "auto_explain.log_verbose": "on",
        "auto_explain.log_nested_statements": "on", "auto_explain.log_buffers": "on", "compute_query_id": "on",
        "pg_stat_statements.track": "all",
    })  # fmt: skip
    with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
        db.execute("create extension pg_stat_statements")
    return cluster


@pytest.fixture
def session(observed: Cluster) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(observed.socket_url(), autocommit=True) as db:
        db.execute("select pg_stat_statements_reset()")
        yield db


def test_auto_explain_logs_the_requests(observed: Cluster, session: psycopg.Connection[Any], world: Simulator) -> None:
    before = len(observed.log_path.read_text())
    assert scalar(session, "select count(*) from customerio.campaigns") == CAMPAIGNS
    session.execute("do $$ begin perform id from customerio.segments; end $$")
    log = observed.log_path.read_text()[before:]
    assert "Query Text: select count(*) from customerio.campaigns" in log
    assert "API Request: GET /v1/campaigns" in log
    assert "API Request: GET /v1/segments" in log
    assert log.count("API Requests Sent: 1") == 2
    assert world.key not in observed.log_path.read_text()


def test_auto_explain_of_a_statement_that_fails_or_is_cancelled(
    observed: Cluster, session: psycopg.Connection[Any], world: Simulator
) -> None:
    world.faults([{"match": {"path": "/campaigns"}, "times": None, "action": {"kind": "hang"}}])
    session.execute("set statement_timeout = '300ms'")
    for _ in range(20):
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.execute("select * from customerio.campaigns")
    world.reset()
    session.execute("set statement_timeout = 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("select 1 / (id - id) from customerio.campaigns")
    assert scalar(session, "select count(*) from customerio.campaigns") == CAMPAIGNS
    assert world.key not in observed.log_path.read_text()


def test_pg_stat_statements_counts_one_statement_whatever_its_literals(session: psycopg.Connection[Any]) -> None:
    for number in (1, 2, 3):
        session.execute(NAMED.format(number))
    found = session.execute(TEXTS, ["select name from customerio.campaigns%"]).fetchall()
    assert found == [(NAMED.format("$1"), 3)]


def test_set_up_leaves_no_key_in_the_statistics(
    observed: Cluster, session: psycopg.Connection[Any], world: Simulator
) -> None:
    set_up(observed.socket_url(), {"base_url": world.url}, Secret(world.key))
    scalar(session, "select count(*) from customerio.campaigns")
    texts = [row[0] for row in session.execute(TEXTS, ["%"]).fetchall()]
    assert any("customerio.campaigns" in text for text in texts)
    assert not any(world.key in text for text in texts)


def test_what_the_page_advises_keeps_a_key_out_of_the_statistics(session: psycopg.Connection[Any]) -> None:
    create = "create user mapping for public server customerio options (app_api_key 'typed-by-hand')"
    session.execute(create)
    session.execute("drop user mapping for public server customerio")
    assert session.execute(TEXTS, ["%typed-by-hand%"]).fetchall() == [(create, 1)]
    session.execute("select pg_stat_statements_reset()")
    session.execute("set pg_stat_statements.track_utility = off")
    session.execute(create)
    session.execute("drop user mapping for public server customerio")
    assert session.execute(TEXTS, ["%typed-by-hand%"]).fetchall() == []
