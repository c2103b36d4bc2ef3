"""Fixtures of the tests with mirrors: a database of its own for each test, and a simulator that tests may change.

sync_template   session   database with both extensions, the foreign tables and the tables by page
world           module    a simulator that only this module's tests change
mirror_db       test      a Sync: a new database, a connection, and the clock of cio
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.ddl import comment_commands
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.doors import set_up
from tests.sync.helpers import Sync

TEMPLATE = "cio_sync_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def sync_template(cluster: Cluster) -> str:
    with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
        connection.execute(f"create database {TEMPLATE}")
    address = cluster.socket_url(TEMPLATE)
    set_up(address, {"base_url": "http://127.0.0.1:9", "requests_per_second": "1000", "max_retries": "0"}, Secret("k"))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("create extension cio_sync")
        connection.execute(
            "import foreign schema customerio limit to (activities_by_page) from server customerio into customerio"
        )
        for command in comment_commands(ENDPOINTS["activities_by_page"], "customerio"):
            connection.execute(sql.SQL(command))
    return TEMPLATE


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with Simulator(messages=400, campaigns=6, rate=0, seed=11) as running:
        yield running


@pytest.fixture
def mirror_db(cluster: Cluster, sync_template: str, world: Simulator) -> Iterator[Sync]:
    name = f"sync_{next(_numbers)}"
    world.reset()
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute(f"create database {name} template {sync_template}")
        try:
            with Sync(cluster.socket_url(name), world) as sync:
                sync.point_at(world)
                yield sync
        finally:
            admin.execute(f"drop database {name} with (force)")
