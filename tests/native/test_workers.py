"""Statements of background workers of other extensions, which may exit in the handler of a signal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, ended_after_s, postmaster_start, scalar
from tests.preload import preloadable

SOURCE = Path(__file__).with_name("worker.c")
CAMPAIGNS = "create table of_worker as select id from customerio.campaigns"
SOON_S = 3.0


@pytest.fixture(scope="module")
def library(pg_config: Path) -> Iterator[str]:
    try:
        with preloadable(SOURCE, f"-I{installation(pg_config).include_dir}") as path:
            yield path
    except LookupError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def launcher(database: str, library: str) -> Iterator[Connection]:
    """A session that can launch workers, and that a crash would end."""
    with psycopg.connect(database, autocommit=True) as connection:
        start = postmaster_start(connection)
        connection.execute(
            f"create function pg_temp.launch(text, text) returns int language c strict as '{library}', 'launch'"
        )
        connection.execute("drop table if exists of_worker")
        yield connection
        assert postmaster_start(connection) == start
        connection.execute("drop table if exists of_worker")


def launch(launcher: Connection, library: str) -> int:
    pid = scalar(launcher, "select pg_temp.launch(%s, %s)", [library, CAMPAIGNS])
    assert isinstance(pid, int)
    return pid


def test_a_worker_reads(launcher: Connection, library: str, sim: Simulator) -> None:
    ended_after_s(launch(launcher, library))
    assert scalar(launcher, "select count(*) from of_worker") == len(sim.data("campaigns"))


@pytest.mark.parametrize("_", range(3))
def test_a_worker_that_waits_exits_on_the_spot(launcher: Connection, library: str, sim: Simulator, _: int) -> None:
    sim.faults([{"match": {"path": "campaigns"}, "times": None, "action": {"kind": "hang"}}])
    pid = launch(launcher, library)
    deadline_s = time.monotonic() + 10
    while not sim.log():
        assert time.monotonic() < deadline_s, "no request arrived"
        time.sleep(0.01)
    os.kill(pid, signal.SIGTERM)
    assert ended_after_s(pid) < SOON_S
    sim.reset()
    assert scalar(launcher, "select count(*) from customerio.campaigns") == len(sim.data("campaigns"))
