"""A server whose answers are kept for a while, with an empty cache at the start of each test.

cached        test   a connection to the database; what any backend asks is kept for TTL_S
clear_cache   test   removes what is kept: by the function, or where the door has none (Multicorn), with the files
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests import doors
from tests.sql.helpers import Connection, server_option, value

TTL_S = 86_400
"""The longest, so that bounds which move with now() stay the same until midnight UTC."""


ClearCache = Callable[[], None]


@pytest.fixture
def clear_cache(db: Connection, state_dir: Path) -> ClearCache:
    def clear() -> None:
        if not doors.is_multicorn():
            value(db, "select cio_fdw_cache_clear()")
            return
        for path in state_dir.glob("cache-*.db"):
            path.unlink()

    return clear


@pytest.fixture
def cached(db: Connection, sim: Simulator, clear_cache: ClearCache) -> Iterator[Connection]:
    clear_cache()
    with server_option(db, "cache_ttl", str(TTL_S)):
        yield db
    clear_cache()


@pytest.fixture
def state_dir(cluster: Cluster) -> Path:
    return cluster.data_dir / "cio_fdw"
