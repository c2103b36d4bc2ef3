"""Scans in virtual time: the real scheduling, over lanes that only reckon when each answer would come.

An answer takes LATENCY_S from its turn; the API gives RATE turns in any second. Nothing sleeps, so that what is said of
seconds is exact on any machine.
"""

from __future__ import annotations

import heapq
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit

import pytest

import cio_fdw.scan
from cio_fdw.catalog import ENDPOINTS
from cio_fdw.densities import Densities
from cio_fdw.lanes import Done, Stop
from cio_fdw.options import resolve
from cio_fdw.plan import plan
from cio_fdw.quals import Qual
from cio_fdw.ranges import US
from cio_fdw.scan import Tools, scan
from cio_fdw.stats import Stats
from tests.unit.scan_world import NOW_S

LATENCY_S, RATE, PAGE_ROWS = 0.25, 10, 100
REACH_S = 179 * 86_400


Latency = Callable[[], float]


class Outcome(NamedTuple):
    """`requests` sent, virtual `seconds`, the `ids` that came, in their order, and what was asked for."""

    requests: int
    seconds: float
    ids: list[str]
    targets: list[str]


class _Awake(Stop):
    """A job's wait for a moment is not reckoned: it is over at once."""

    def sleep(self, seconds: float) -> None:
        self.check()


class _Lanes:
    """Stands in for `cio_fdw.lanes.Lanes`: a job is done at once, and handed out when its time has come."""

    wake_fd = -1

    def __init__(self, clock: _Clock, latency: Latency) -> None:
        self._clock = clock
        self._latency = latency
        self._queue: list[tuple[float, int, Done[Any]]] = []
        self.turns: list[float] = []
        self.in_flight = 0

    def submit(self, tag: Any, job: Callable[[Any], Any]) -> None:
        turn_s = max(self._clock.now_s, self.turns[-RATE] + 1.0 if len(self.turns) >= RATE else 0.0)
        self.turns.append(turn_s)
        heapq.heappush(self._queue, (turn_s + self._latency(), len(self.turns), Done(tag, job(_Awake()), None)))
        self.in_flight += 1

    def next_s(self) -> float:
        return self._queue[0][0]

    def collect(self) -> list[Done[Any]]:
        done = []
        while self._queue and self._queue[0][0] <= self._clock.now_s:
            done.append(heapq.heappop(self._queue)[2])
        self.in_flight -= len(done)
        return done

    def stop(self) -> None:
        self._queue.clear()


class _Clock:
    """Also the host: waiting moves it to the next answer."""

    def __init__(self, latency: Latency) -> None:
        self.now_s = 0.0
        self.lanes = _Lanes(self, latency)

    def wait(self, seconds: float, fd: int = -1) -> bool:
        self.now_s = max(self.now_s, self.lanes.next_s())
        return True

    def notice(self, text: str) -> None:
        raise AssertionError(text)


class _Api:
    """GET /v1/messages, newest first; the id of a message is its place in the list of times."""

    def __init__(self, created_s: Sequence[int]) -> None:
        self._created_s = sorted(created_s)
        self.targets: list[str] = []

    def fetch(self, stop: Any, where: Any, target: str, decode: Callable[[bytes], Any], *, since_s: float = 0.0) -> Any:
        self.targets.append(target)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        low = bisect_left(self._created_s, int(asked["start_ts"]))
        high = bisect_right(self._created_s, int(asked.get("end_ts", 10**12)))
        begin = high - 1 - int(asked.get("start", 0))
        end = max(begin - PAGE_ROWS, low - 1)
        rows = [{"id": str(i), "created": self._created_s[i]} for i in range(begin, end, -1)]
        return decode(json.dumps({"messages": rows, "next": str(high - 1 - end) if end >= low else ""}).encode())


def scanned(
    created_s: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    width: int = 3,
    latency: Latency = lambda: LATENCY_S,
    is_cached: bool = False,
    densities: Optional[Densities] = None,
    now_s: int = NOW_S,
) -> Outcome:
    """A scan of all messages in reach, at `now_s`."""
    clock, api = _Clock(latency), _Api(created_s)
    monkeypatch.setattr(cio_fdw.scan, "Lanes", lambda size: clock.lanes)
    monkeypatch.setattr(cio_fdw.scan, "SMALL_BYTES", 0)  # the pages stand for larger ones
    made = plan(
        ENDPOINTS["messages"],
        [Qual("created", ">=", (now_s - REACH_S) * US)],
        resolve({"page_size": str(PAGE_ROWS)}),
        now_s=now_s,
        endpoints=ENDPOINTS,
    )
    tools = Tools(clock, api, Stats(), ("id",), width, clock=lambda: now_s, is_cached=is_cached, densities=densities)  # type: ignore[arg-type]
    ids = [id_ for batch in scan(made, tools) for (id_,) in batch]
    return Outcome(len(clock.lanes.turns), clock.now_s, ids, api.targets)
