"""Servers with other settings than the suite's own, each set up against one simulator.

hosted   module   hosted({"shared_preload_libraries": "cio_fdw"}): a running cluster, set up, removed after the module
world    module   a simulator that only this module's tests change
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Optional

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import Installation, installation
from cio_fdw.simulator.client import Simulator
from tests.conftest import SETTINGS
from tests.doors import make_cluster, set_up

Hosted = Callable[[dict[str, str]], Cluster]
CAMPAIGNS = 6
KEY = "key-of-the-hosting-tests"


def without_library(server: Installation, name: str) -> Optional[str]:
    """Why the module `name` cannot be loaded into the server, None when it can."""
    if (server.pkglib_dir / f"{name}.so").is_file():
        return None
    return f"PostgreSQL {server.version} of {server.bin_dir} has no {name}"


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with Simulator(messages=300, campaigns=CAMPAIGNS, rate=0, seed=17, key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def hosted(pg_config: Path, world: Simulator) -> Iterator[Hosted]:
    with ExitStack() as stack:

        def start(settings: dict[str, str]) -> Cluster:
            wanted = {**SETTINGS, "cio_fdw.python": sys.executable, **settings}
            cluster = stack.enter_context(make_cluster(installation(pg_config).bin_dir, settings=wanted))
            set_up(cluster.socket_url(), {"base_url": world.url, "requests_per_second": "1000"}, Secret(world.key))
            with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
                db.execute("create extension cio_sync")
            return cluster

        yield start
