"""A Redis that speaks TLS (throttle_url 'rediss://…'): it must prove who it is, and a handshake can be given up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from cio_fdw.errors import SharedLimitError
from cio_fdw.lanes import Stop, Stopped
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from cio_fdw.throttle.remote import Redis, RedisThrottle
from cio_fdw.throttle.turns import Limits
from tests.certificates import Make, Own, certificates
from tests.conftest import SETTINGS
from tests.doors import make_cluster
from tests.native.backend import threads_now
from tests.sql.helpers import refused, rows, value
from tests.throttle.redis_server import PASSWORD, RedisServer, program
from tests.throttle.test_redis import KEY, redis_threads
from tests.throttle.test_redis_servers import connect, use_redis
from tests.throttle.world import SHORT, until
from tests.unit.http_servers import Kit, Server

NOT_ANSWERED = "the Redis of throttle_url does not answer: "


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    if program() is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    try:
        with certificates() as make:
            yield make
    except LookupError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def own(make: Make) -> Own:
    return make("localhost")


@pytest.fixture
def tls_redis(tmp_path: Path, own: Own) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, tls=own) as running:
        yield running


@pytest.fixture
def silent() -> Iterator[Server]:
    """It takes connections and never says a word."""
    with Kit() as kit:
        server = kit.server(lambda _conn, _number: server.over.wait(60) and None)
        yield server


def trust(monkeypatch: pytest.MonkeyPatch, own: Own) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(own.certificate))


def throttle_at(url: str) -> RedisThrottle:
    return RedisThrottle(Redis(url, Secret(PASSWORD), ()), KEY, Limits(10, 3), 60)


def failure(url: str) -> str:
    """What the error of a question says behind the place."""
    with pytest.raises(SharedLimitError) as caught:
        throttle_at(url).usage(time.sleep)
    assert PASSWORD not in repr(caught.value) + str(caught.value.hint)
    assert caught.value.message.startswith(NOT_ANSWERED)
    return caught.value.message.removeprefix(NOT_ANSWERED).partition(", ")[2]


def test_a_turn(tls_redis: RedisServer, own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(monkeypatch, own)
    throttle = throttle_at(tls_redis.url)
    for _ in range(3):
        with throttle.slot(time.sleep) as turn:
            assert turn.holds()
            assert throttle.usage(time.sleep).in_flight == 1
    assert throttle.usage(time.sleep).used == 3
    until(lambda: redis_threads() == 0, 1.0)


def test_an_unknown_authority(tls_redis: RedisServer, make: Make, own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(monkeypatch, make("localhost"))
    why = failure(tls_redis.url)
    assert why.startswith("ConnectionError: TLS certificate refused: self")
    trust(monkeypatch, own)
    assert throttle_at(tls_redis.url).usage(time.sleep).in_flight == 0


def test_a_certificate_of_another_host(tls_redis: RedisServer, own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(monkeypatch, own)
    why = failure(tls_redis.url.replace("localhost", "127.0.0.1"))
    assert why.startswith("ConnectionError: TLS certificate refused: IP address mismatch")


def test_a_redis_without_tls(redis: RedisServer, own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(monkeypatch, own)
    # It waits for the rest of what is no command.
    assert failure(f"rediss://localhost:{redis.port}/0") == "TimeoutError"


def test_plain_words_to_a_redis_with_tls(tls_redis: RedisServer) -> None:
    assert failure(f"redis://localhost:{tls_redis.port}/0").startswith("ConnectionError")


def test_a_name_that_is_none() -> None:
    assert failure("rediss://redis.invalid/0") == "ConnectionError: host name lookup: no address was found"


def test_a_handshake_that_hangs(silent: Server) -> None:
    url = f"rediss://127.0.0.1:{silent.port}/0"
    assert failure(url) == "TimeoutError"
    for _ in range(20):
        stop, struck_s = Stop(), time.monotonic() + 0.05
        threading.Timer(0.05, stop.trip).start()
        with pytest.raises(Stopped), throttle_at(url).slot(stop.sleep):
            pytest.fail("the turn was given")
        assert time.monotonic() - struck_s < 0.5
        until(lambda: redis_threads() == 0, 0.2)
    assert silent.connections >= 21


@contextmanager
def server_with(pg_config: Path, certificate: Path, strict: Simulator, url: str) -> Iterator[Cluster]:
    """A PostgreSQL server that trusts that certificate, and keeps its limit there."""
    settings = {**SETTINGS, "cio_fdw.python": sys.executable}
    environment = {"SSL_CERT_FILE": str(certificate)}
    with make_cluster(installation(pg_config).bin_dir, settings=settings, env=environment) as cluster:
        use_redis(cluster, strict.url, url, Secret(strict.key))
        yield cluster


def test_queries(pg_config: Path, tls_redis: RedisServer, own: Own, strict: Simulator, silent: Server) -> None:
    with server_with(pg_config, own.certificate, strict, tls_redis.url) as cluster, connect(cluster) as one:
        assert len(rows(one, SHORT)) == 1
        assert value(one, "select kept_in from customerio._limits") == "redis"
        pid = one.info.backend_pid
        until(lambda: threads_now(pid) == 1, 1.0)
        with connect(cluster) as admin:
            admin.execute(f"alter server customerio options (set throttle_url 'rediss://127.0.0.1:{silent.port}/0')")
        one.execute("set statement_timeout = '200ms'")
        for _ in range(5):
            began_s = time.monotonic()
            with refused("57014"):
                rows(one, SHORT)
            # The rest is for a busy machine.
            assert time.monotonic() - began_s < 0.2 + 0.1 + 1.0
            until(lambda: threads_now(pid) == 1, 0.2)
        assert silent.connections >= 5


def test_queries_with_an_unknown_authority(
    pg_config: Path, tls_redis: RedisServer, make: Make, strict: Simulator
) -> None:
    other = make("localhost").certificate
    with server_with(pg_config, other, strict, tls_redis.url) as cluster, connect(cluster) as one:
        strict.reset()
        with pytest.raises(psycopg.Error) as caught:
            rows(one, SHORT)
        assert caught.value.sqlstate == "08006"
        assert "ConnectionError: TLS certificate refused: self" in str(caught.value)
        assert strict.log() == []
