"""A server that is told to stop while a statement is under way: it does, whatever the statement waits for."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.lifetime.conftest import Place
from tests.lifetime.stages import STAGES, Stage
from tests.lifetime.test_endings import begin, soon
from tests.sql.helpers import value

DOWN_S = 4.0
"""Tells a hang from none; without load it is a tenth of a second."""
CASES = [
    *((stage, signal.SIGINT) for stage in STAGES.values()),
    *((STAGES[name], signal.SIGQUIT) for name in ("host name", "headers", "between rows")),
    (STAGES["headers"], signal.SIGTERM),
]


class Admin:
    """A connection for each statement: none of them survives the server."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def execute(self, statement: str) -> None:
        with self._place.connect() as db:
            db.execute(statement)


@pytest.mark.parametrize(
    ("stage", "number"), CASES, ids=[f"{number.name}-{stage.name.replace(' ', '-')}" for stage, number in CASES]
)
def test_stop(place: Place, stage: Stage, number: signal.Signals) -> None:
    """SIGINT is a fast shutdown, SIGQUIT an immediate one, SIGTERM a smart one: that waits for the clients."""
    admin: Any = Admin(place)
    place.sim.reset()
    logged = len(place.cluster.log_tail(1_000_000))
    db = place.connect()
    value(db, "select count(*) from customerio.campaigns")
    with stage.held(place, admin, db) as statement:
        running = begin(place, stage, db, statement)
        process_id = place.cluster.pid
        try:
            signal_s = time.monotonic()
            os.kill(process_id, number)
            if number == signal.SIGTERM:
                time.sleep(0.3)
                assert not place.cluster.has_ended()
                assert not running.is_over
                db.cancel()
                running.join()
                assert running.error.sqlstate == "57014"
                db.close()
            soon(place.cluster.has_ended, DOWN_S, "the server goes on")
            assert time.monotonic() - signal_s < DOWN_S
            running.join()
        finally:
            place.cluster.stop()
            place.cluster.start()
    if number == signal.SIGINT:
        assert running.error.sqlstate == "57P01"
    log = place.cluster.log_tail(1_000_000)[logged:]
    assert "terminated by signal" not in log
    assert ("was interrupted" in log or "not properly shut down" in log) == (number == signal.SIGQUIT)
    soon(lambda: place.sim.stats()["in_flight"] == 0, 1.0, "a request is still under way")
    db.close()
