"""Connections of a backend to the API: kept from statement to statement, no more than are used at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from cio_fdw.transport import MAX_IDLE_S
from tests.native.backend import Connection, scalar
from tests.sql.helpers import server_option

CAMPAIGNS = "select count(*) from customerio.campaigns"
WIDE = "select count(*) from customerio.campaign_actions"
LATENCY_MS = 30


@pytest.fixture
def fresh(database: str, sim: Simulator) -> Iterator[Connection]:
    """A backend that has asked nothing yet."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def connections(sim: Simulator) -> list[int]:
    """The connection of each request, in the order of arrival."""
    return [entry["connection"] for entry in sim.log()]


def sockets(db: Connection, port: int) -> int:
    """How many sockets the backend has open to this port."""
    inodes = set()
    for fd in Path(f"/proc/{db.info.backend_pid}/fd").iterdir():
        try:
            inodes.add(str(fd.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    lines = Path(f"/proc/{db.info.backend_pid}/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(f"socket:[{field[9]}]" in inodes for field in fields if field[2].endswith(f":{port:04X}"))


def port_of(sim: Simulator) -> int:
    return int(sim.url.rpartition(":")[2])


def test_one_connection_for_many_statements(fresh: Connection, sim: Simulator) -> None:
    for _ in range(20):
        assert scalar(fresh, CAMPAIGNS) == len(sim.data("campaigns"))
    assert len(connections(sim)) == 20
    assert len(set(connections(sim))) == 1


def test_as_many_as_are_used_at_once(fresh: Connection, sim: Simulator) -> None:
    sim.set_latency(LATENCY_MS)
    try:
        for _ in range(3):
            assert scalar(fresh, WIDE) > 0
    finally:
        sim.set_latency(0)
    assert len(connections(sim)) >= 3 * 12
    assert len(set(connections(sim))) == sim.stats()["max_in_flight"] == 3
    assert sockets(fresh, port_of(sim)) == 3


def test_another_backend_has_its_own(fresh: Connection, database: str, sim: Simulator) -> None:
    scalar(fresh, CAMPAIGNS)
    with psycopg.connect(database) as other:
        scalar(other, CAMPAIGNS)
    assert len(set(connections(sim))) == 2


def test_an_error_does_not_cost_the_connection(fresh: Connection, sim: Simulator) -> None:
    """A 404 is an answer like others; a cancelled request is not, and takes its connection with it."""
    scalar(fresh, CAMPAIGNS)
    assert scalar(fresh, "select count(*) from customerio.campaign_actions where campaign_id = 987654") == 0
    scalar(fresh, CAMPAIGNS)
    assert len(set(connections(sim))) == 1
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": 1, "action": {"kind": "hang"}}])
    fresh.execute("set statement_timeout = '200ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        scalar(fresh, CAMPAIGNS)
    fresh.execute("reset statement_timeout")
    scalar(fresh, CAMPAIGNS)
    assert len(set(connections(sim))) == 2
    assert sockets(fresh, port_of(sim)) == 1


def test_none_is_left_when_the_backend_ends(database: str, sim: Simulator) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        scalar(connection, CAMPAIGNS)
        pid = connection.info.backend_pid
        assert sockets(connection, port_of(sim)) == 1
    deadline_s = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_answers_come_packed(fresh: Connection, sim: Simulator) -> None:
    """Against an API that packs what it may: the rows are the same, on one connection."""
    same = "select md5(string_agg(id || name || type, '' order by id)) from customerio.campaigns"
    expected = scalar(fresh, same)
    with Simulator(messages=3000, campaigns=12, rate=0, seed=7, gzip=True) as packing:
        with server_option(fresh, "base_url", packing.url):
            assert scalar(fresh, same) == expected
            assert scalar(fresh, same) == expected
        assert len(set(connections(packing))) == 1


def test_idle_ones_are_ended_while_the_client_is_silent(database: str, sim: Simulator) -> None:
    """No statement comes; one backend had an error meanwhile, of which PostgreSQL stops all timers; one is waiting."""
    port, expected = port_of(sim), len(sim.data("campaigns"))
    with contextlib.ExitStack() as stack:
        quiet, failed, waiting = (stack.enter_context(psycopg.connect(database, autocommit=True)) for _ in range(3))
        for backend in (quiet, failed, waiting):
            scalar(backend, CAMPAIGNS)
        sim.faults([{"times": 1, "action": {"kind": "slow_headers", "seconds": MAX_IDLE_S + 1}}])
        answers = stack.enter_context(ThreadPoolExecutor(1)).submit(scalar, waiting, CAMPAIGNS)
        failed.execute("begin")
        with pytest.raises(psycopg.errors.DivisionByZero):
            failed.execute("select 1/0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            failed.execute("select 1")
        time.sleep(MAX_IDLE_S / 2)
        assert [sockets(backend, port) for backend in (quiet, failed)] == [1, 1]
        failed.execute("rollback")
        failed.execute("select 1")
        time.sleep(MAX_IDLE_S / 2 + 0.5)
        assert [sockets(backend, port) for backend in (quiet, failed)] == [0, 0]
        assert answers.result() == expected
        assert sockets(waiting, port) == 1
        for backend in (quiet, failed):
            assert scalar(backend, CAMPAIGNS) == expected
            assert sockets(backend, port) == 1
    assert len(sim.log()) == 6
    assert len(set(connections(sim))) == 5
