"""Fixtures of the integration tests: a real server with the extension in it, and the simulated API.

    cluster      session   a running Cluster, of $CIO_TEST_PG_CONFIG or else the embedded PostgreSQL
    simulator    session   3000 messages, 12 campaigns, no rate limit, a fixed seed
    database     session   address of a database that is set up against the simulator
    sim          test      the simulator, with its log and faults cleared
    db           test      a new connection to the database, in autocommit
    requests_of  test      with requests_of() as seen: …; seen == ["GET /v1/campaigns"]

A host that cannot be built fails the tests; it does not skip them. With --door multicorn all of this is the second
door: a PostgreSQL that has Multicorn2, whose Python imports this package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest

from cio_fdw import densities, sizes, state
from cio_fdw.secret import Secret
from cio_fdw.server.build import build_and_install, is_writable
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.server.errors import ServerError
from cio_fdw.server.postgres import embedded_pg_config, installation
from cio_fdw.server.up import build_dir_for
from cio_fdw.simulator.client import Simulator
from tests import doors
from tests.multicorn import door
from tests.multicorn.differences import choose_tests

collect_ignore = [] if os.environ.get("CIO_SOAK_S") else ["soak"]
"""`make soak` runs it: how long it takes is its point."""


pytest_plugins = ["tests.sync.fixtures"]
"""Mirrors: the tests of cio_sync and those of the users' tools have them."""

DATABASE = "cio_test"
SETTINGS = {**THROW_AWAY, "timezone": "UTC", "max_connections": "60", "log_line_prefix": "%t [%p] %a "}
RequestsOf = Callable[[], AbstractContextManager[list[str]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--door", choices=doors.NAMES, default=doors.NAMES[0], help="the wrapper under test")
    parser.addoption("--cancels", type=int, default=200, help="how often the second door is cancelled")


def pytest_configure(config: pytest.Config) -> None:
    doors.choose(config.getoption("--door"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if doors.is_multicorn():
        choose_tests(config, items)


@pytest.fixture(scope="session")
def is_multicorn() -> bool:
    """Whether the second door is under test."""
    return doors.is_multicorn()


@pytest.fixture(scope="session")
def pg_config() -> Path:
    """pg_config of the server under test, which has the extensions of this checkout: cio_sync is for both doors."""
    path = Path(os.environ.get("CIO_TEST_PG_CONFIG") or embedded_pg_config())
    if doors.is_multicorn() and not door.is_installed(path):
        pytest.skip(f"Multicorn2 is not installed in the PostgreSQL of {path}")
    python = Path(sys.executable)
    server = installation(path)
    try:
        build_and_install(path, python, build_dir_for(python, path))
    except ServerError as error:
        if (server.library.is_file() or doors.is_multicorn()) and not is_writable(server):
            sys.stderr.write(f"\ncio_fdw: testing the extension that is installed: {error}\n")
            return path
        pytest.fail(f"the host could not be built: {error}", pytrace=False)
    return path


@pytest.fixture(scope="session")
def cluster(pg_config: Path) -> Iterator[Cluster]:
    if doors.is_multicorn():
        with door.cluster(pg_config, SETTINGS) as running:
            yield running
        return
    # Whatever interpreter an installed extension names, the one under test is this one.
    settings = {**SETTINGS, "cio_fdw.python": sys.executable}
    with Cluster(installation(pg_config).bin_dir, settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(messages=3000, campaigns=12, rate=0, seed=7) as running:
        yield running


@pytest.fixture(scope="session")
def database(cluster: Cluster, simulator: Simulator) -> str:
    with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
        connection.execute(f"create database {DATABASE}")
    address = cluster.socket_url(DATABASE)
    doors.set_up(address, {"base_url": simulator.url, "requests_per_second": "1000"}, Secret(simulator.key))
    return address


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    simulator.reset()
    return simulator


@pytest.fixture
def db(database: str, cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """A session of a server that has learned nothing of tables yet: plans do not depend on the tests before."""
    for name in (sizes.FILE_NAME, densities.FILE_NAME):
        (cluster.data_dir / state.DEFAULT_NAME / name).unlink(missing_ok=True)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def requests_of(sim: Simulator) -> RequestsOf:
    @contextmanager
    def recording() -> Iterator[list[str]]:
        seen: list[str] = []
        start = len(sim.log())
        yield seen
        for entry in sim.log()[start:]:
            query = f"?{entry['query']}" if entry["query"] else ""
            seen.append(f"{entry['method']} {entry['path']}{query}")

    return recording


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the end of the server's log to the report of a test that failed."""
    report = yield
    running = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(running, Cluster):
        report.sections.append(("PostgreSQL log", running.log_tail(30)))
    return report
