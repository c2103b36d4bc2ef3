"""The two sides that the oracle compares: foreign tables on a small simulator, and copies of its rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests import doors
from tests.doors import set_up
from tests.multicorn.differences import OWN_ERRORS
from tests.oracle.judge import FOREIGN, SHARED, TRUTH, Judge
from tests.oracle.known import known_of
from tests.oracle.sources import TABLES
from tests.oracle.writer import Known

DAY_S = 86_400
MESSAGES = 900
PAGE_SIZES = {"messages": 100, "newsletters": 20, "segment_membership": 40, "activities": 50}
ORDERS = ("newest", "oldest", "shuffled")


@dataclass(frozen=True)
class Sides:
    """A database with both sides. `now_s`: about which times of no row lie."""

    order: str
    address: str
    sim: Simulator
    known: Known
    now_s: int

    @contextmanager
    def judge(self) -> Iterator[Judge]:
        with psycopg.connect(self.address, autocommit=True) as db:
            db.execute("set statement_timeout = '60s'")
            yield Judge(db, self.sim, known_errors=OWN_ERRORS if doors.is_multicorn() else ())


@contextmanager
def sides_of(cluster: Cluster, order: str) -> Iterator[Sides]:
    """Both sides, with a simulator that answers messages in that order."""
    with Simulator(messages=MESSAGES, campaigns=9, rate=0, seed=11, order=order) as sim:
        forget_old_messages(sim)
        name = f"oracle_{order}"
        with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
            admin.execute(f"create database {name}")
        address = cluster.socket_url(name)
        set_up(address, {"base_url": sim.url, "requests_per_second": "1000"}, Secret(sim.key))
        with psycopg.connect(address, autocommit=True) as db:
            make_sides(db, sim)
            known = known_of(db, TRUTH)
        yield Sides(order, address, sim, known, int(time.time()))


@pytest.fixture(scope="session", params=ORDERS)
def sides(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Sides]:
    with sides_of(cluster, request.param) as made:
        yield made


def forget_old_messages(sim: Simulator) -> None:
    """Without those that time could move out of the API's reach in the middle of a run."""
    since_s = time.time() - 170 * DAY_S
    for table in ("messages", "message_drafts", "activities"):
        column = ENDPOINTS[table].time_column
        for row in sim.data(table):
            if row[column] < since_s:
                sim.delete_row(table, *(row[name] for name in ENDPOINTS[table].key))


def make_sides(db: psycopg.Connection[Any], sim: Simulator) -> None:
    db.execute(f"create schema {FOREIGN}; create schema {TRUTH}; create schema {SHARED}")
    names = ", ".join(TABLES)
    db.execute(f"import foreign schema customerio limit to ({names}) from server customerio into {FOREIGN}")
    for table, size in PAGE_SIZES.items():
        db.execute(f"alter foreign table {FOREIGN}.{table} options (add page_size '{size}')")
    for table in TABLES:
        db.execute(f"create table {TRUTH}.{table} as select * from {FOREIGN}.{table}")
        copied = db.execute(f"select count(*) from {TRUTH}.{table}").fetchone()
        assert copied == (count_of(sim, table),), table
    # Small values for sub-selects: numbers and texts that are ids, times among those of the rows.
    db.execute(f"""
        create table {SHARED}.bits as
        select n, case n when 0 then null else n::text end as t,
               now() - n * interval '31 hours' as at, (now() - n * interval '31 hours')::date as d
        from generate_series(0, 9) n""")
    db.execute("analyze")


def count_of(sim: Simulator, table: str) -> int:
    return len(sim.data_by_parent(table)) if ENDPOINTS[table].parent else len(sim.data(table))
