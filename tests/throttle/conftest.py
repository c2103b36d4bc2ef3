"""A simulator as strict as the API, and a server whose backends share its key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.conftest import SETTINGS
from tests.doors import make_cluster, set_up
from tests.throttle.redis_server import RedisServer, program

LATENCY_MS = 80
KEY = "key-of-the-throttle-tests"


@pytest.fixture(scope="session")
def strict_simulator() -> Iterator[Simulator]:
    with Simulator(messages=300, campaigns=40, rate=10, latency_ms=LATENCY_MS, key=KEY, seed=3) as running:
        yield running


@pytest.fixture
def strict(strict_simulator: Simulator) -> Simulator:
    strict_simulator.set_rate(10)
    strict_simulator.set_latency(LATENCY_MS)
    strict_simulator.reset()
    return strict_simulator


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    if program() is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def crashing_cluster(pg_config: Path) -> Iterator[Cluster]:
    """A server of its own, for tests that kill its processes; what is set up before outlives that."""
    settings = {**SETTINGS, "synchronous_commit": "on", "cio_fdw.python": sys.executable}
    with make_cluster(installation(pg_config).bin_dir, settings=settings) as running:
        yield running


@pytest.fixture
def crashing(crashing_cluster: Cluster, strict: Simulator) -> str:
    set_up(crashing_cluster.socket_url(), {"base_url": strict.url}, Secret(strict.key))
    return crashing_cluster.socket_url()
