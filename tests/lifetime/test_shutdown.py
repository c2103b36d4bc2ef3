"""A server that is told to stop, with a session at every stage: it does, whatever the statements wait for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg
import pytest

from tests.lifetime.conftest import NOT_UNWOUND, Place
from tests.lifetime.stages import STAGES, Stage, alter, no_address
from tests.lifetime.test_endings import Running, begin, soon
from tests.sql.helpers import Connection, value

DOWN_S = 8.0
"""Tells a hang from none; without load it is a fraction of a second."""
MODES = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
LAST = ("planning", "import", "throttled")
"""Two that keep a processor busy, and one that is over after some seconds."""
CURSOR = ("begin", "declare open_one cursor for select * from customerio.messages", "fetch 3 from open_one")


class Sessions:
    """One at each stage. `idle` has a cursor open."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stack = ExitStack()
        self.running: dict[str, Running] = {}
        with ThreadPoolExecutor(4) as pool:
            made = pool.map(lambda _number: warm(place), range(len(STAGES) + 1))
            self.idle, *others = [self._stack.enter_context(quietly_closed(db)) for db in made]
        self.connections = dict(zip(STAGES, others))

    def start(self, stage: Stage, admin: Connection) -> None:
        db = self.connections[stage.name]
        url = self._stack.enter_context(stage.base_url())
        options = {**stage.options, **({"base_url": url} if url else {})}
        with replace(stage, base_url=no_address, options=options).held(self._place, admin, db) as statement:
            self.running[stage.name] = begin(self._place, stage, db, statement)

    def close(self) -> None:
        self._stack.close()

    def over(self) -> list[str]:
        return [name for name, running in self.running.items() if running.is_over]


def warm(place: Place) -> Connection:
    """The first statement of a session starts Python, which is not the subject."""
    db = place.connect()
    value(db, "select count(*) from customerio.campaigns")
    return db


@contextmanager
def quietly_closed(db: Connection) -> Iterator[Connection]:
    try:
        yield db
    finally:
        db.close()


@pytest.fixture
def sessions(place: Place) -> Iterator[Sessions]:
    place.sim.reset()
    all_of_them = Sessions(place)
    with place.connect() as admin:
        # All of them hold a turn at once.
        alter(admin, {"max_concurrency": ("add", "32")})
    try:
        with place.connect() as admin:
            for stage in sorted(STAGES.values(), key=lambda stage: stage.name == LAST):
                all_of_them.start(stage, admin)
            for statement in CURSOR:
                all_of_them.idle.execute(statement)
            over = {name: all_of_them.running[name].error for name in all_of_them.over()}
            assert over == {}
        yield all_of_them
    finally:
        all_of_them.close()
        if place.cluster.has_ended():
            place.cluster.restart()
        with place.connect() as admin:
            alter(admin, {"max_concurrency": ("drop", "")})
        place.sim.reset()


def stop_smartly(place: Place, sessions: Sessions) -> None:
    """The server goes on with the clients it has, until each of them has left."""
    with pytest.raises(psycopg.OperationalError, match="shutting down"):
        place.connect()
    assert not place.cluster.has_ended()
    assert sessions.over() == []
    for name, running in sessions.running.items():
        sessions.connections[name].cancel()
        running.join()
        assert running.error.sqlstate == "57014", name
    assert not place.cluster.has_ended()
    sessions.close()


@pytest.mark.parametrize("mode", MODES)
def test_stop(place: Place, sessions: Sessions, mode: str) -> None:
    logged = len(place.cluster.log_path.read_text(errors="replace"))
    os.kill(place.cluster.pid, MODES[mode])
    if mode == "smart":
        # The signal takes its time to arrive.
        time.sleep(0.3)
        stop_smartly(place, sessions)
    soon(place.cluster.has_ended, DOWN_S, "the server goes on")
    for name, running in sessions.running.items():
        running.join()
        assert isinstance(running.error, psycopg.Error), name
        if mode == "fast":
            assert running.error.sqlstate == "57P01", name
    if mode != "smart":
        with pytest.raises(psycopg.OperationalError):
            sessions.idle.execute("fetch 1 from open_one")
    soon(lambda: place.sim.stats()["in_flight"] == 0, 1.0, "a request is still under way")
    place.cluster.restart()
    log = place.cluster.log_path.read_text(errors="replace")[logged:]
    assert "terminated by signal" not in log
    assert NOT_UNWOUND not in log
    assert ("was interrupted" in log or "not properly shut down" in log) == (mode == "immediate")
    with place.connect() as db:
        assert value(db, "select count(*) from customerio.campaigns") == 6
