"""A refresh ends in each of four ways, at every unit and between units, in every mode: the next one goes on.

The unit that is ended hangs in its request, or has written its rows and waits to count them. Between two units the
procedure waits for a lock. Beside these, the API fails at every unit.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import make_cluster, set_up
from tests.sync.helpers import DAY, Sync, today

WAYS = ("cancel", "terminate", "kill", "immediate")
START = today() - 10 * DAY - timedelta(hours=1)
FIRST = START - 4 * DAY + timedelta(hours=1)
MIRRORS = {"messages": 4, "activities": 7, "campaigns": 1}
"""Each mode with the units of its first load."""
AGAIN = {"activities": 3}
"""It goes on: what was read before the end is not read again, but for the head of a feed and what joins it."""
PAGE = 100
MORE = {"messages": f"start_time => '{FIRST.isoformat()}'"}
PATIENCE_S = 60.0
CASES = [
    *((source, "reading", unit) for source, units in MIRRORS.items() for unit in range(1, units + 1)),
    *((source, "written", min(2, units)) for source, units in MIRRORS.items()),
    *((source, "between", unit) for source, units in MIRRORS.items() for unit in range(1, units)),
]
FAILURES = [{"kind": "status", "status": 503}, {"kind": "cut"}, {"kind": "bad_json"}]


@pytest.fixture(scope="module")
def own_sync(pg_config: Path, cluster: Cluster) -> Iterator[tuple[Cluster, Sync]]:
    """A server that may be killed, that has four days of messages to read."""
    settings = {**cluster.settings, "restart_after_crash": "on", "synchronous_commit": "on"}
    with (
        make_cluster(installation(pg_config).bin_dir, settings=settings) as running,
        Simulator(messages=600, campaigns=3, rate=0, seed=5) as sim,
    ):
        options = {"base_url": sim.url, "requests_per_second": "1000", "max_retries": "0"}
        set_up(running.socket_url(), options, Secret(sim.key))
        newest_first = sorted(sim.data("activities"), key=lambda row: (row["timestamp"], row["id"]), reverse=True)
        for row in newest_first[MIRRORS["activities"] * PAGE :]:
            sim.delete_row("activities", row["id"])
        with Sync(running.socket_url(), sim) as sync:
            sync.db.execute("create extension cio_sync")
            sync.db.execute("import foreign schema customerio limit to (activities_by_page) "
                            "from server customerio into customerio")  # fmt: skip
            yield running, sync


def wait_until(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


class Ended:
    """A refresh that was ended at one place."""

    def __init__(self, cluster: Cluster, s: Sync, target: str) -> None:
        self.cluster, self.s = cluster, s
        self.connection = s.connect()
        self.pid = self.connection.info.backend_pid
        self.error: Any = None
        self.locker: Any = None
        self.thread = threading.Thread(target=self._run, args=(f"call cio.refresh('{target}')",), daemon=True)

    def _run(self, call: str) -> None:
        try:
            self.connection.execute(call)
        except psycopg.Error as error:
            self.error = error

    def reading(self, unit: int) -> None:
        """Waits until the request of this unit hangs."""
        self.s.sim.faults([{"match": {"path": "/v1/", "nth": unit}, "times": None, "action": {"kind": "hang"}}])
        self.thread.start()
        wait_until(lambda: len(self.s.requests()) >= unit)

    def written(self, unit: int) -> None:
        """Waits until this unit has read and written its rows, and cannot write the row of its run, which is locked."""
        slow = {"match": {"path": "/v1/", "nth": unit}, "times": 1, "action": {"kind": "slow_headers", "seconds": 2}}
        self.s.sim.faults([slow])
        self.locker = self.s.connect()
        self.thread.start()
        wait_until(lambda: len(self.s.requests()) >= unit)
        self.locker.execute("begin")
        self.locker.execute("select from cio.run for update")
        wait_until(lambda: self.s.value("select count(*) from pg_locks where pid = %s and not granted", [self.pid]))

    def between(self, unit: int) -> None:
        """Waits until this unit is committed and the procedure cannot begin the next one, as all mirrors are locked."""
        slow = {"match": {"path": "/v1/", "nth": unit}, "times": 1, "action": {"kind": "slow_headers", "seconds": 1}}
        self.s.sim.faults([slow])
        self.locker = self.s.connect()
        self.locker.execute("begin")
        self.thread.start()
        wait_until(lambda: len(self.s.requests()) >= unit)
        self.locker.execute("lock table cio.mirror_def in access exclusive mode")
        wait_until(lambda: self.s.value("select count(*) from pg_locks where pid = %s and not granted", [self.pid]))

    def end(self, how: str) -> None:
        if how in ("cancel", "terminate"):
            self.s.db.execute(f"select pg_{how}_backend(%s)", [self.pid])
        elif how == "kill":
            os.kill(self.pid, signal.SIGKILL)
            # Until the server has noticed, which ends every connection, it takes new ones too.
            wait_until(self._is_gone)
        else:
            os.kill(self.cluster.pid, signal.SIGQUIT)
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        assert self.error is not None
        if self.locker is not None:
            self.locker.close()
        if how == "immediate":
            wait_until(self.cluster.has_ended)
            self.cluster.start()
        if how in ("kill", "immediate"):
            self._reconnect()

    def _is_gone(self) -> bool:
        try:
            self.s.db.execute("select 1")
        except psycopg.OperationalError:
            return True
        return False

    def _reconnect(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.s.db.close()
                self.s.db = self.s.connect()
                self.s.db.execute("select 1")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline_s
                time.sleep(0.05)


@pytest.mark.parametrize(("source", "place", "unit"), CASES, ids=[f"{s}-{p}-{u}" for s, p, u in CASES])
def test_every_unit_in_every_way(own_sync: tuple[Cluster, Sync], source: str, place: str, unit: int) -> None:
    cluster, s = own_sync
    target = f"analytics.{source}"
    complete = unit if place == "between" else unit - 1
    # Two ways at each place between units, so that all of them come at every other one.
    ways = WAYS[unit % 2 :: 2] if place == "between" else WAYS
    for how in ways:
        begin(s, source)
        ended = Ended(cluster, s, target)
        getattr(ended, place)(unit)
        ended.end(how)
        wait_until(lambda: s.rows("select status from cio.runs") == [("interrupted",)])
        # What was committed stays, and nothing of the unit that was ended.
        assert s.value("select units_done from cio.runs") == complete, how
        done = s.rows(f"select id from {target}")
        assert source != "activities" or len(done) == complete * PAGE
        s.sim.reset()
        s.refresh(target)
        ids = s.ids(target, "true")
        assert {row[0] for row in done} <= ids
        assert ids == expected(s, source), f"{how} {place} {unit}"
        assert s.rows("select * from cio.gaps") == []
        assert s.rows("select status from cio.runs order by run_id") == [("interrupted",), ("done",)]
        assert len(s.requests()) <= MIRRORS[source] - complete + AGAIN.get(source, 0), s.requests()


@pytest.mark.parametrize(("source", "units"), MIRRORS.items())
def test_the_api_fails_at_every_unit(own_sync: tuple[Cluster, Sync], source: str, units: int) -> None:
    _, s = own_sync
    target = f"analytics.{source}"
    for unit in range(1, units + 1):
        begin(s, source)
        s.sim.faults([{"match": {"path": "/v1/", "nth": unit}, "times": 1, "action": FAILURES[unit % len(FAILURES)]}])
        # Other buckets go on; pages follow each other.
        complete = units - 1 if source == "messages" else unit - 1
        with pytest.raises(psycopg.Error, match=rf"cio: 1 of {complete + 1} units of {target} failed"):
            s.refresh(target)
        assert s.rows("select status, units_done from cio.runs") == [("failed", complete)]
        before = s.ids(target, "true")
        assert source != "activities" or len(before) == complete * PAGE
        s.sim.reset()
        assert s.refresh(target)[3] == "idle"  # it waits before it tries again
        assert s.requests() == []
        s.at(START + timedelta(minutes=10))
        s.refresh(target)
        assert len(s.requests()) <= units - complete + AGAIN.get(source, 0), s.requests()
        ids = s.ids(target, "true")
        assert before | expected(s, source) <= ids <= expected(s, source, START + timedelta(minutes=10))
        assert s.rows("select * from cio.gaps") == s.rows("select * from cio.errors") == []


def begin(s: Sync, source: str) -> None:
    """A mirror of which nothing was read."""
    s.sim.faults([])
    s.db.execute("drop schema if exists analytics cascade; select cio._forget_dropped()")
    s.at(START)
    s.mirror(source, more=MORE.get(source, ""))
    s.sim.reset()


def expected(s: Sync, source: str, until: datetime = START) -> set[Any]:
    if source == "messages":
        return s.source_ids(FIRST, until)
    return {row["id"] for row in s.sim.data(source)}
