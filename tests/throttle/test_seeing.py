"""`_requests` and `_limits`: what every backend can see of what the server sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, plan_lines, refused, rows, value
from tests.throttle.world import LONG, Crowd, until


@pytest.fixture
def own(crashing: str) -> Iterator[Connection]:
    with psycopg.connect(crashing, autocommit=True) as connection:
        yield connection


def latest(db: Connection, columns: str = "path", where: str = "true") -> list[tuple[Any, ...]]:
    return rows(db, f"select {columns} from customerio._requests where {where} order by at")


def test_requests_of_all_backends(own: Connection, crashing: str, strict: Simulator) -> None:
    with psycopg.connect(crashing, autocommit=True) as other:
        rows(other, "select id from customerio.newsletters where id = 1")
        pid = other.info.backend_pid
    rows(own, "select id from customerio.segments")
    strict.reset()
    found = latest(own, "pid, table_name, method, path, status, attempt, error")
    assert [row[:3] for row in found] == [(pid, "newsletters", "GET"), (own.info.backend_pid, "segments", "GET")]
    assert found[0][3] == "/v1/newsletters/1"
    assert found[1][3:] == ("/v1/segments", 200, 1, None)
    ((age_s, ms, throttled_ms, size_bytes, n_rows),) = latest(
        own, "extract(epoch from now() - at), ms, throttled_ms, bytes, rows", "table_name = 'segments'"
    )
    assert 0 <= age_s < 10
    assert 80 <= ms < 2000
    assert 0 <= throttled_ms < 2000
    assert size_bytes > 10
    assert n_rows == value(own, "select count(*) from customerio.segments")
    # Seeing costs no request.
    assert len(strict.log()) == 1


def test_an_aborted_query_is_in_it_too(own: Connection, strict: Simulator) -> None:
    strict.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "status", "status": 403}}])
    own.execute("begin")
    with refused("42501"):
        rows(own, "select id from customerio.segments")
    own.execute("rollback")
    strict.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "hang"}}])
    own.execute("set statement_timeout = '300ms'")
    with refused("57014"):
        rows(own, "select id from customerio.segments")
    own.execute("set statement_timeout = 0")
    assert latest(own, "status, error") == [(403, "42501"), (None, "57014")]


def test_persons_and_keys_are_not_shown(own: Connection, crashing_cluster: Cluster, strict: Simulator) -> None:
    rows(own, "select * from customerio.activities where customer_id = 'person-7'")
    (path,) = latest(own)[-1]
    assert "customer_id=…" in path
    key = Secret(strict.key)
    assert {row[0] for row in latest(own, "key")} == {key.fingerprint()}
    for file in (crashing_cluster.data_dir / "cio_fdw").iterdir():
        assert strict.key.encode() not in file.read_bytes()
        assert b"person-7" not in file.read_bytes()


def test_limits(own: Connection, crashing: str, strict: Simulator) -> None:
    columns = "key, requests_per_second, max_concurrency, used, in_flight, waiting, paused_until, kept_in"
    key = Secret(strict.key).fingerprint()
    assert rows(own, f"select {columns} from customerio._limits") == [(key, 10, 3, 0, 0, 0, None, "server")]
    strict.set_latency(1500)
    crowd = Crowd()
    try:
        for _ in range(3):
            crowd.add(crashing, LONG)
        until(lambda: len(strict.log()) >= 6)
        ((used, in_flight, waiting),) = rows(own, "select used, in_flight, waiting from customerio._limits")
        assert 1 <= used <= 10
        assert in_flight == 3
        assert 1 <= waiting <= 6
    finally:
        crowd.end(crashing)
    until(lambda: rows(own, "select in_flight, waiting from customerio._limits") == [(0, 0)])


def test_a_pause_is_seen(own: Connection, strict: Simulator) -> None:
    strict.faults([
        {
            "match": {"path": "/v1/"},
            "times": None,
            "action": {"kind": "status", "status": 429, "headers": {"Retry-After": "60"}},
        }
    ])  # fmt: skip
    own.execute("set statement_timeout = '2s'")
    with refused("57014"):
        rows(own, "select id from customerio.segments")
    seconds = value(own, "select extract(epoch from paused_until - now())::float8 from customerio._limits")
    assert 55 < seconds < 60


def test_who_sees_what(own: Connection, crashing: str, strict: Simulator) -> None:
    rows(own, "select id from customerio.campaigns limit 1")
    own.execute("create role analyst login")
    own.execute(
        "grant usage on schema customerio to analyst; grant select on all tables in schema customerio to analyst"
    )
    own.execute("create user mapping for analyst server customerio options (app_api_key 'another-key')")
    with psycopg.connect(crashing, user="analyst", autocommit=True) as analyst:
        assert latest(analyst) == []
        assert rows(analyst, "select key from customerio._limits") == [(Secret("another-key").fingerprint(),)]
        with refused("42501"):
            analyst.execute("alter foreign table customerio._requests options (add all_keys 'true')")
    own.execute("alter table customerio._requests owner to analyst")
    own.execute("grant usage on foreign server customerio to analyst")
    with psycopg.connect(crashing, user="analyst", autocommit=True) as analyst, refused("HV024"):
        analyst.execute("alter foreign table customerio._requests options (add all_keys 'true')")
    own.execute("alter foreign table customerio._requests options (add all_keys 'true')")
    own.execute("alter foreign table customerio._limits options (add all_keys 'true')")
    with psycopg.connect(crashing, user="analyst", autocommit=True) as analyst:
        assert len(latest(analyst)) == 1
        assert len(rows(analyst, "select key from customerio._limits")) == 2
    own.execute("drop user mapping for analyst server customerio")
    with psycopg.connect(crashing, user="analyst", autocommit=True) as analyst, refused("28000"):
        latest(analyst)


def test_explain_and_wrong_columns(own: Connection) -> None:
    lines = plan_lines(own, "select * from customerio._requests")
    assert "API Request: none, answered from the state directory" in lines
    assert "API Request: none, answered from the state directory" in plan_lines(
        own, "select * from customerio._limits", "(analyze)"
    )
    own.execute("alter foreign table customerio._requests add column colour text")
    with refused("HV005"):
        latest(own)


def test_rescans_joins_and_counts(own: Connection) -> None:
    rows(own, "select id from customerio.campaigns limit 1")
    assert value(own, "select count(*) from customerio._requests") == 1
    joined = "select count(*) from (values (1), (2)) v, lateral (select * from customerio._requests offset 0) r"
    assert value(own, joined) == 2
    assert value(own, "select count(*) from customerio._requests r join customerio._limits l using (key)") == 1
