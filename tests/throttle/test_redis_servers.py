"""One limit for two PostgreSQL servers, kept in a real Redis."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.ledger import busiest
from tests.conftest import SETTINGS
from tests.doors import make_cluster, set_up
from tests.native.backend import threads_now
from tests.sql.helpers import Connection, refused, rows, value
from tests.throttle.redis_server import PASSWORD, RedisServer
from tests.throttle.world import LONG, SHORT, Crowd, arrivals, share_of_429, steady_per_s, until
from tests.unit.http_servers import full_listener

SECONDS = 20.0
"""Of some 190 requests, one is half a per cent."""


def connect(cluster: Cluster) -> Connection:
    return psycopg.connect(cluster.socket_url(), autocommit=True)


def use_redis(cluster: Cluster, base_url: str, throttle_url: str, key: Secret) -> None:
    """Gives the cluster the foreign tables, with their limit in that Redis."""
    set_up(cluster.socket_url(), {"base_url": base_url, "throttle_url": throttle_url}, key)
    with connect(cluster) as connection:
        connection.execute(
            f"alter user mapping for current_user server customerio options (add throttle_password '{PASSWORD}')"
        )


@pytest.fixture
def servers(pg_config: Path, strict: Simulator, redis: RedisServer) -> Iterator[list[Cluster]]:
    settings = {**SETTINGS, "cio_fdw.python": sys.executable}
    bin_dir = installation(pg_config).bin_dir
    with make_cluster(bin_dir, settings=settings) as one, make_cluster(bin_dir, settings=settings) as other:
        for cluster in (one, other):
            use_redis(cluster, strict.url, redis.url, Secret(strict.key))
        yield [one, other]


def test_two_servers_share_the_limits(servers: list[Cluster], strict: Simulator) -> None:
    crowds: list[Crowd] = []
    try:
        for cluster in servers:
            crowd = Crowd()
            crowds.append(crowd)
            for statement in (LONG, LONG, LONG, SHORT):
                crowd.add(cluster.socket_url(), statement)
        time.sleep(SECONDS)
        times_s = arrivals(strict)
        assert busiest(times_s) <= 10
        assert strict.stats()["max_in_flight"] <= 3
        assert share_of_429(strict) < 0.01
        assert steady_per_s(times_s) >= 9.0
        for crowd in crowds:
            assert not crowd.errors
            assert max(crowd.took_s[3]) < 5.0
        with connect(servers[0]) as connection:
            ((used, in_flight, kept_in),) = rows(connection, "select used, in_flight, kept_in from customerio._limits")
            assert 0 <= in_flight <= 3
            assert 0 <= used <= 10
            assert kept_in == "redis"
    finally:
        for crowd, cluster in zip(crowds, servers):
            crowd.end(cluster.socket_url())


def test_a_429_of_one_server_pauses_the_other(servers: list[Cluster], strict: Simulator) -> None:
    action = {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}}
    with connect(servers[0]) as one, connect(servers[1]) as other:
        rows(other, SHORT)
        one.execute("alter server customerio options (add max_retries '0')")
        strict.faults([{"match": {"path": "/v1/"}, "times": 1, "action": action}])
        with refused("53400"):
            rows(one, SHORT)
        began_s = time.monotonic()
        rows(other, SHORT)
        assert 1.5 < time.monotonic() - began_s < 4.5


def test_queries_while_redis_is_down(servers: list[Cluster], strict: Simulator, redis: RedisServer) -> None:
    with connect(servers[0]) as one:
        rows(one, SHORT)
        redis.stop()
        strict.reset()
        with refused("08006") as caught:
            rows(one, SHORT)
        assert "the Redis of throttle_url does not answer" in str(caught.value)
        assert not arrivals(strict)
        one.execute("set statement_timeout = '300ms'")
        with refused("57014"):
            rows(one, SHORT)
        one.execute("set statement_timeout = 0")
        one.execute("alter server customerio options (add throttle_fallback 'local')")
        began_s = time.monotonic()
        for _ in range(3):
            rows(one, SHORT)
        assert time.monotonic() - began_s < 4.5
        assert value(one, "select kept_in from customerio._limits") == "server"


@pytest.mark.parametrize("how", ["stopped", "black hole"])
def test_cancels_of_queries_while_redis_is_silent(servers: list[Cluster], redis: RedisServer, how: str) -> None:
    with ExitStack() as stack, connect(servers[0]) as one, connect(servers[0]) as admin:
        pid = one.info.backend_pid
        rows(one, SHORT)
        until(lambda: threads_now(pid) == 1, 1.0)
        before = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        if how == "stopped":
            os.kill(redis.pid, signal.SIGSTOP)
            stack.callback(os.kill, redis.pid, signal.SIGCONT)
        else:
            port = stack.enter_context(full_listener())
            admin.execute(f"alter server customerio options (set throttle_url 'redis://127.0.0.1:{port}/0')")
        one.execute("set statement_timeout = '100ms'")
        for _ in range(20):
            began_s = time.monotonic()
            with refused("57014"):
                rows(one, SHORT)
            # The rest is for a busy machine.
            assert time.monotonic() - began_s < 0.1 + 0.1 + 1.0
            until(lambda: threads_now(pid) == 1, 0.2)
        # The kept connection to Redis was cut; that to the API may be kept.
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) <= before + 1
        stack.close()
        admin.execute(f"alter server customerio options (set throttle_url '{redis.url}')")
        one.execute("set statement_timeout = 0")
        assert len(rows(one, SHORT)) == 1
        assert value(one, "select in_flight from customerio._limits") == 0


def test_no_thread_stays_behind(servers: list[Cluster]) -> None:
    with connect(servers[0]) as one:
        rows(one, LONG)
        until(lambda: threads_now(one.info.backend_pid) == 1, 1.0)


def test_who_may_name_a_redis(servers: list[Cluster]) -> None:
    with connect(servers[0]) as one:
        one.execute("create role ordinary")
        one.execute("grant usage on foreign data wrapper cio_fdw to ordinary")
        one.execute("set role ordinary")
        with refused("HV024") as caught:
            one.execute("create server mine foreign data wrapper cio_fdw options (throttle_url 'redis://10.0.0.1:25')")
        assert "makes the server connect to a host of one's choice" in str(caught.value)


def everything(connection: Connection) -> str:
    found: list[Any] = rows(connection, "select * from pg_foreign_server")
    return repr(found)


def test_the_password_is_in_no_public_catalog(servers: list[Cluster]) -> None:
    with connect(servers[0]) as one:
        assert PASSWORD not in everything(one)
        with refused("HV024") as caught:
            one.execute("alter server customerio options (set throttle_url 'redis://:hunter2@h/0')")
        assert "hunter2" not in str(caught.value)
        assert "throttle_password" in str(caught.value)
