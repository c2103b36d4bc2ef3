"""Many backends against a strict simulator: what the tests of the limit share."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable

import psycopg

from cio_fdw.simulator.client import Simulator

LONG = "select count(*) from customerio.campaign_actions"
"""One request for the list, one for each of many campaigns, three at a time."""
SHORT = "select id from customerio.campaigns limit 1"
"""One request."""


@dataclass
class Crowd:
    """Backends that run statements until told to stop. `took_s`: by backend, how long each statement took."""

    took_s: list[list[float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def add(self, address: str, statement: str) -> None:
        number = len(self.took_s)
        self.took_s.append([])
        connection = psycopg.connect(address, autocommit=True)
        self.pids.append(connection.info.backend_pid)
        thread = threading.Thread(target=self._run, args=(number, connection, statement))
        self._threads.append(thread)
        thread.start()

    def _run(self, number: int, connection: psycopg.Connection[Any], statement: str) -> None:
        with connection:
            while not self._stop.is_set():
                began_s = time.monotonic()
                try:
                    connection.execute(statement).fetchall()
                except psycopg.Error as error:
                    if not self._stop.is_set():
                        self.errors.append(str(error))
                    return
                self.took_s[number].append(time.monotonic() - began_s)

    def end(self, address: str) -> None:
        """Ends them all, in the middle of what they do."""
        self._stop.set()
        with psycopg.connect(address, autocommit=True) as connection:
            for pid in self.pids:
                connection.execute("select pg_terminate_backend(%s)", [pid])
        for thread in self._threads:
            thread.join(20)


def arrivals(sim: Simulator) -> list[float]:
    return [entry["t"] for entry in sim.log()]


def steady_per_s(times_s: list[float], per_window: int = 10) -> float:
    """Requests per second once the first window is full: how long each next full window took, on average."""
    spans_s = [later - sooner for sooner, later in zip(times_s, times_s[per_window:])]
    return per_window / (sum(spans_s) / len(spans_s))


def share_of_429(sim: Simulator) -> float:
    statuses = Counter(entry["status"] for entry in sim.log())
    return statuses[429] / sum(statuses.values())


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


__all__ = ["LONG", "SHORT", "Crowd", "arrivals", "share_of_429", "steady_per_s", "until"]
