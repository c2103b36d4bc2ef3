"""Many backends, each cancelled and terminated at random moments: nothing crashes, and each error is PostgreSQL's own.

`make storm` has 200 backends (CIO_STORM_BACKENDS).
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import THROW_AWAY
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import make_cluster, set_up
from tests.native.backend import Connection, postmaster_start, scalar
from tests.native.test_storm import STATEMENTS

BACKENDS = int(os.environ.get("CIO_STORM_BACKENDS", "12"))
STATEMENTS_EACH = 12
TERMINATED = 0.1
"""Share of the strikes that end the session."""
LATE_S = 20.0
"""Longest a struck statement may go on while hundreds share the machine: tells a hang from none."""
ENDINGS = {"57014", "57P01"}
GONE = "gone"


@pytest.fixture
def crowded(pg_config: Path, sim: Simulator) -> Iterator[str]:
    """The address of a server with room for all."""
    settings = {**THROW_AWAY, "cio_fdw.python": sys.executable, "max_connections": str(BACKENDS + 20)}
    with make_cluster(installation(pg_config).bin_dir, settings=settings) as cluster:
        options = {"base_url": sim.url, "requests_per_second": "1000", "max_concurrency": "20"}
        set_up(cluster.socket_url(), options, Secret(sim.key))
        yield cluster.socket_url()
        assert "terminated by signal" not in cluster.log_tail(100_000)


class Crowd:
    """Sessions that run statements, and what became of those. `struck_s`: when a backend was struck last."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.outcomes: Counter[str] = Counter()
        self.late_s: list[float] = []
        self.struck_s: dict[int, float] = {}
        self.pids: dict[int, int] = {}
        self._threads = [threading.Thread(target=self._session, args=(n,), daemon=True) for n in range(BACKENDS)]
        for thread in self._threads:
            thread.start()

    def is_busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _session(self, number: int) -> None:
        rng = random.Random(number)
        db = self._connected(number)
        for _ in range(STATEMENTS_EACH):
            began_s = time.monotonic()
            state = self._outcome(db, rng.choice(STATEMENTS))
            self.outcomes[state] += 1
            struck_s = self.struck_s.get(db.info.backend_pid, 0.0)
            if state in ENDINGS and struck_s > began_s:
                self.late_s.append(time.monotonic() - struck_s)
            if db.closed:
                db = self._connected(number)
        del self.pids[number]
        db.close()

    def _connected(self, number: int) -> Connection:
        db: Connection = psycopg.connect(self.address, autocommit=True)
        self.pids[number] = db.info.backend_pid
        return db

    def _outcome(self, db: Connection, statement: str) -> str:
        try:
            db.execute(statement)
        except psycopg.Error as error:
            # A session that was ended between two statements tells the next one no more than this.
            return error.sqlstate or (GONE if db.closed else f"{type(error).__name__}: {error}")
        return "done"


def test_random_cancels_of_many_backends(
    crowded: str, sim: Simulator, record_property: Callable[[str, object], None]
) -> None:
    drip = {"kind": "drip", "bytes_per_s": 3000}
    sim.faults(
        [
            {"match": {"path": "/campaigns/2/actions"}, "times": None, "action": {"kind": "hang"}},
            {"match": {"path": "/messages", "param": {"campaign_id": "3"}}, "times": None, "action": drip},
        ]
    )
    rng = random.Random(5)
    with psycopg.connect(crowded, autocommit=True) as admin:
        start = postmaster_start(admin)
        crowd = Crowd(crowded)
        while crowd.is_busy():
            for pid in rng.sample(list(crowd.pids.values()), len(crowd.pids) // 4 or len(crowd.pids)):
                strike = "pg_terminate_backend" if rng.random() < TERMINATED else "pg_cancel_backend"
                crowd.struck_s[pid] = time.monotonic()
                admin.execute(f"select {strike}(%s)", [pid])
            time.sleep(rng.uniform(0.0, 0.2))
        late_s = sorted(crowd.late_s)
        record_property("outcomes", dict(crowd.outcomes))
        record_property("late_s", [late_s[int(len(late_s) * part)] for part in (0.5, 0.9, 0.99)] + late_s[-1:])
        assert set(crowd.outcomes) <= ENDINGS | {"done", GONE}
        assert sum(crowd.outcomes.values()) == BACKENDS * STATEMENTS_EACH
        assert set(crowd.outcomes) >= ENDINGS
        assert late_s[-1] < LATE_S
        assert postmaster_start(admin) == start, "a backend crashed"
        sim.faults([])
        assert scalar(admin, "select count(*) from customerio.campaigns") == 12
