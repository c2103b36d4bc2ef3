"""Fixtures of the second door's tests. Where PostgreSQL has no Multicorn, those that need it skip, and say so.

cluster      session   a running server with Multicorn
database     session   the address of a database that is set up with it
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.simulator.client import Simulator
from tests.multicorn import door, fake

fake.install()

SETTINGS = {**THROW_AWAY, "timezone": "UTC", "max_connections": "60", "cio_fdw.python": sys.executable}
"""Of the native door too, for the tests of both in one server."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with door.cluster(door.under_test(), SETTINGS) as running:
        yield running


@pytest.fixture(scope="session")
def database(cluster: Cluster, simulator: Simulator) -> str:
    with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
        connection.execute("create database second_door")
    address = cluster.socket_url("second_door")
    door.set_up(address, {"base_url": simulator.url, "requests_per_second": "1000"}, Secret(simulator.key))
    return address
