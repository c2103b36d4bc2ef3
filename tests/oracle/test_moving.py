"""Scans of data that change while they are paged: no row that was there before is missed or comes twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.doors import set_up
from tests.oracle.conftest import ORDERS, PAGE_SIZES, forget_old_messages

LATENCY_MS = 15.0
CONDITIONS = (
    "true",
    "created > now() - interval '60 days'",
    "created >= now() - interval '120 days' and type in ('email', 'push')",
    "created::date >= current_date - 20",
    "campaign_id in (1, 2, 3)",
)
Db = psycopg.Connection[Any]


@contextmanager
def moving_world(cluster: Cluster, order: str) -> Iterator[tuple[Db, Simulator]]:
    """A database of its own with small pages on a slow simulator."""
    name = f"moving_{order}"
    with Simulator(messages=900, campaigns=9, rate=0, seed=5, order=order) as sim:
        forget_old_messages(sim)
        sim.set_latency(LATENCY_MS)
        with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
            admin.execute(f"create database {name}")
        set_up(cluster.socket_url(name), {"base_url": sim.url, "requests_per_second": "1000"}, Secret(sim.key))
        with psycopg.connect(cluster.socket_url(name), autocommit=True) as db:
            for table, size in PAGE_SIZES.items():
                db.execute(f"alter foreign table customerio.{table} options (add page_size '{min(size, 25)}')")
            yield db, sim
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def moving(cluster: Cluster) -> Iterator[tuple[Db, Simulator]]:
    with moving_world(cluster, "newest") as world:
        yield world


@contextmanager
def meanwhile(change: Callable[[], None]) -> Iterator[Counter[str]]:
    """Runs `change` over and over beside the block; counts how often, or raises what it raised."""
    done: Counter[str] = Counter()
    end = threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        try:
            while not end.is_set():
                change()
                done["changes"] += 1
                time.sleep(0.002)
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        end.set()
        thread.join(30)
    assert not errors


def ids(db: Db, query: str) -> Counter[str]:
    return Counter(key for (key,) in db.execute(query).fetchall())


@pytest.mark.parametrize("order", ORDERS)
def test_messages_come_and_change(cluster: Cluster, order: str) -> None:
    with moving_world(cluster, order) as (db, sim):
        for where in CONDITIONS:
            check_moving_messages(db, sim, where)


def check_moving_messages(db: Db, sim: Simulator, where: str) -> None:
    query = f"select id from customerio.messages where {where}"
    before = ids(db, query)
    assert len(before) > 20
    names = [row["id"] for row in sim.data("messages")]
    dice = random.Random(1)

    def change() -> None:
        sim.add_messages(count=2)
        sim.touch(dice.choice(names), opened=int(time.time()))

    with meanwhile(change) as done:
        found = ids(db, query)
    assert done["changes"] >= 3
    assert [key for key, count in found.items() if count > 1] == []
    assert set(before) <= set(found)
    # What came on top was added meanwhile.
    assert set(found) <= {row["id"] for row in sim.data("messages")}
    assert not (set(found) - set(before)) & set(names)


def test_activities_push_the_others_down(moving: tuple[Db, Simulator]) -> None:
    """The feed is newest first, so that each new one moves a row to the next page."""
    db, sim = moving
    query = "select id from customerio.activities"
    before = ids(db, query)
    pattern = sim.data("activities")[-1]
    number = iter(range(100_000))

    def change() -> None:
        sim.put_rows("activities", [{**pattern, "id": f"new-{next(number)}", "timestamp": int(time.time())}])

    with meanwhile(change) as done:
        found = ids(db, query)
    assert done["changes"] >= 3
    assert max(found.values()) == 1
    assert set(before) <= set(found)
    assert all(key.startswith("new-") for key in set(found) - set(before))


@pytest.mark.parametrize(
    ("child", "parent", "column"),
    [
        ("campaign_actions", "campaigns", "campaign_id"),
        ("broadcast_actions", "broadcasts", "broadcast_id"),
        ("segment_membership", "segments", "segment_id"),
    ],
)
def test_a_parent_vanishes_between_the_list_and_its_children(
    moving: tuple[Db, Simulator], child: str, parent: str, column: str
) -> None:
    db, sim = moving
    query = f"select {column}::text from customerio.{child}"
    before = ids(db, query)
    doomed = sorted(before, key=int)[-1]
    # The lists come slowly enough for a parent to go after it was read and before it is asked.
    sim.reset()
    path = f"/v1/{parent}"
    sim.faults([{"match": {"path": rf"^{path}/"}, "times": 3, "action": {"kind": "slow_headers", "seconds": 0.4}}])
    deleted = threading.Event()

    def change() -> None:
        if not deleted.is_set() and any(entry["path"] == path for entry in sim.log()):
            sim.delete_row(parent, doomed)
            deleted.set()

    with meanwhile(change):
        found = ids(db, query)
    assert deleted.is_set()
    statuses = [entry["status"] for entry in sim.log() if entry["path"].startswith(f"{path}/{doomed}/")]
    assert statuses in ([404], [200])
    assert {key: count for key, count in found.items() if key != doomed} == {
        key: count for key, count in before.items() if key != doomed
    }
    assert found[doomed] == (0 if statuses == [404] else before[doomed])
    assert statuses == [404]
