"""A server of its own, whose resolver is slow for one name, and what ends a statement.

place    module    the running server and the simulator
admin    test      a session that strikes others, and that a crash would end
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import make_cluster, set_up
from tests.native.backend import postmaster_start
from tests.preload import preloadable
from tests.sql.helpers import Connection

RESOLVER = Path(__file__).with_name("resolver.c")
SETTINGS = {
    **THROW_AWAY, "cio_fdw.python": sys.executable, "max_connections": "100", "log_min_messages": "debug1",
}  # fmt: skip
NOT_UNWOUND = "cio_fdw: the session ends within Python"
"""What the host logs (debug1) of a session whose end jumped over Python's frames."""


@dataclass
class Place:
    bin_dir: Path
    cluster: Cluster
    sim: Simulator
    address: str

    def connect(self) -> Connection:
        return psycopg.connect(self.address, autocommit=True)


@contextmanager
def place_of(bin_dir: Path, resolver_path: str) -> Iterator[Place]:
    """The programs of PostgreSQL in `bin_dir`, running."""
    environment = {"LD_PRELOAD": resolver_path}
    with (
        Simulator(messages=1500, campaigns=6, rate=0, seed=5) as sim,
        make_cluster(bin_dir, settings=SETTINGS, env=environment) as cluster,
    ):
        address = cluster.socket_url()
        set_up(address, {"base_url": sim.url, "requests_per_second": "1000", "max_retries": "9"}, Secret(sim.key))
        yield Place(bin_dir, cluster, sim, address)


@pytest.fixture(scope="module")
def slow_resolver() -> Iterator[str]:
    try:
        with preloadable(RESOLVER) as path:
            yield path
    except LookupError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def place(pg_config: Path, slow_resolver: str) -> Iterator[Place]:
    with place_of(installation(pg_config).bin_dir, slow_resolver) as running:
        yield running


@pytest.fixture
def admin(place: Place) -> Iterator[Connection]:
    place.sim.reset()
    with place.connect() as db:
        start = postmaster_start(db)
        yield db
        assert postmaster_start(db) == start, "a backend crashed"
    assert NOT_UNWOUND not in place.cluster.log_path.read_text(errors="replace")
    place.sim.reset()
