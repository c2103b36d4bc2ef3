"""Hundreds of statements ended at random moments in one backend: it stays whole and does not grow.

`make storm` ends ten thousand (CIO_STORM_CANCELS).
"""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Callable

import psycopg

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar, vitals

STATEMENTS = (
    "select count(*) from customerio.messages where campaign_id = 3",
    "select count(*) from customerio.messages",
    "select count(*) from customerio.campaign_actions",
    "select count(*) from customerio.campaign_actions where campaign_id in (1, 2, 3, 4, 5)",
    "select count(*) from customerio.messages a join customerio.messages b using (id)",
    "explain analyze select * from customerio.campaign_actions",
    "do $$ begin perform count(*) from customerio.messages; exception when query_canceled then raise; end $$",
    "do $$ declare r record; begin for r in select * from customerio.messages loop null; end loop; end $$",
)
WARM_UP = 100
ROUNDS = int(os.environ.get("CIO_STORM_CANCELS", "300")) - WARM_UP
MAX_GROWTH_KB = 8 * 1024
IDLE_CONNECTIONS = 3
"""Connections to the API that a backend keeps: max_concurrency."""


def set_timeout(db: Connection, ms: int) -> None:
    while True:
        # One millisecond may end even this statement.
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            db.execute(f"set statement_timeout = {ms}")
            return


def strike(db: Connection, rng: random.Random) -> bool:
    """Whether a random statement was ended by its timeout; any other error fails the test."""
    set_timeout(db, rng.randint(1, 60))
    try:
        if rng.random() < 0.3:
            # Aborts a transaction that has a cursor with requests under way.
            with db.transaction(), db.cursor(name="c") as cursor:
                cursor.execute("select * from customerio.campaign_actions")
                cursor.fetchmany(30)
                db.execute("select pg_sleep(1)")
        else:
            db.execute(rng.choice(STATEMENTS))
    except psycopg.errors.QueryCanceled as error:
        return error.diag.message_primary == "canceling statement due to statement timeout"
    return False


def descriptors(db: Connection) -> int:
    return len(list(Path(f"/proc/{db.info.backend_pid}/fd").iterdir()))


def test_random_timeouts(db: Connection, sim: Simulator, record_property: Callable[[str, object], None]) -> None:
    actions = {"path": "/campaigns/2/actions"}
    drip = {"kind": "drip", "bytes_per_s": 3000}
    sim.faults(
        [
            {"match": actions, "times": None, "action": {"kind": "hang"}},
            {"match": {"path": "/messages", "param": {"campaign_id": "3"}}, "times": None, "action": drip},
        ]
    )
    campaigns = scalar(db, "select count(*) from customerio.campaigns")
    rng = random.Random(5)
    cancelled = sum(strike(db, rng) for _ in range(WARM_UP))
    before, fds = vitals(db), descriptors(db)
    cancelled += sum(strike(db, rng) for _ in range(ROUNDS))
    after = vitals(db)
    set_timeout(db, 0)
    assert cancelled > (WARM_UP + ROUNDS) / 2
    record_property("vitals", f"{cancelled} ended; {before}, {fds} descriptors; then {after}, {descriptors(db)}")
    assert after.threads == 1
    assert abs(descriptors(db) - fds) <= IDLE_CONNECTIONS
    assert after.memory_kb - before.memory_kb < MAX_GROWTH_KB
    assert scalar(db, "select count(*) from customerio.campaigns") == campaigns
