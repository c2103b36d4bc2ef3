"""A server whose answers are kept for a while, with an empty cache at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, server_option

TTL_S = 86_400
"""The longest, so that bounds which move with now() stay the same until midnight UTC."""


@pytest.fixture
def cached(db: Connection, sim: Simulator) -> Iterator[Connection]:
    """A connection to the database; what any backend asks is kept for TTL_S."""
    db.execute("select cio_fdw_cache_clear()")
    with server_option(db, "cache_ttl", str(TTL_S)):
        yield db
    db.execute("select cio_fdw_cache_clear()")


@pytest.fixture
def state_dir(cluster: Cluster) -> Path:
    return cluster.data_dir / "cio_fdw"
