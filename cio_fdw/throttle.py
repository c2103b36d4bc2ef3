"""A turn before each request: at most N sends in any one second, at most M under way, per API key.

    with throttle.slot(stop.sleep) as waited_s:
        ...one request...

`LocalThrottle` counts the requests of one backend.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Callable, Optional, Protocol

from cio_fdw.options import Settings

Sleep = Callable[[float], None]
"""Sleeps the given seconds, or raises when the scan is over."""

WINDOW_S = 1.0 + 0.030
"""The API counts arrivals in one second, we count departures. The time under way varies from request to
request, so departures 1 s apart can arrive closer together. 30 ms covers the jitter of an open connection and
costs 3 % of the rate; connecting takes longer than that, so it happens before the turn is taken (fetch.py)."""

SLICE_S = 0.05
"""Longest sleep between two looks at the queue: those ahead may have given up."""

POLL_S = 0.01
"""Sleep of a waiter that waits for another request to end, which has no known time."""


class Throttle(Protocol):
    """The limits of one API key."""

    def slot(self, sleep: Sleep) -> AbstractContextManager[float]:
        """Waits for a turn, through `sleep` only; gives the seconds waited. Leaving ends the turn."""

    def pause(self, seconds: float) -> None:
        """Nobody of this key sends for `seconds` from now: after a 429."""


class LocalThrottle:
    """The limits of one API key within this backend. First come, first served."""

    def __init__(
        self, requests_per_second: int, max_concurrency: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = requests_per_second
        self._max_in_flight = max_concurrency
        self._clock = clock
        self._lock = threading.Lock()
        self._sent_s: deque[float] = deque(maxlen=requests_per_second)
        self._queue: deque[object] = deque()
        self._in_flight = 0
        self._paused_until_s = float("-inf")

    @contextmanager
    def slot(self, sleep: Sleep) -> Iterator[float]:
        waited_s = self._wait_turn(sleep)
        try:
            yield waited_s
        finally:
            with self._lock:
                self._in_flight -= 1

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._paused_until_s = max(self._paused_until_s, self._clock() + seconds)

    def _wait_turn(self, sleep: Sleep) -> float:
        """Seconds waited; the turn is then taken."""
        ticket = object()
        began_s = self._clock()
        with self._lock:
            self._queue.append(ticket)
        try:
            while True:
                delay_s = self._try_turn(ticket)
                if delay_s is None:
                    return self._clock() - began_s
                sleep(min(delay_s, SLICE_S))
        except BaseException:
            with self._lock:
                self._queue.remove(ticket)
            raise

    def _try_turn(self, ticket: object) -> Optional[float]:
        """None when the turn is taken, else the seconds before which it is no use to ask again."""
        with self._lock:
            now_s = self._clock()
            place = self._queue.index(ticket)
            due_s = max(self._paused_until_s, self._window_free_s(place))
            if due_s > now_s:
                return due_s - now_s
            if place or self._in_flight >= self._max_in_flight:
                return POLL_S
            self._queue.popleft()
            self._sent_s.append(now_s)
            self._in_flight += 1
            return None

    def _window_free_s(self, place: int) -> float:
        """Earliest time at which the waiter with `place` others ahead can send without an (N+1)th in its window."""
        oldest = min(len(self._sent_s) - self._rate + place, len(self._sent_s) - 1)
        return self._sent_s[oldest] + WINDOW_S if oldest >= 0 else float("-inf")


_throttles: dict[tuple[str, str, int, int], LocalThrottle] = {}
_throttles_lock = threading.Lock()


def throttle_for(settings: Settings) -> Throttle:
    """The throttle shared by every scan of this backend with the same API root, key and limits."""
    fingerprint = settings.key.fingerprint() if settings.key else ""
    name = (settings.base_url, fingerprint, settings.requests_per_second, settings.max_concurrency)
    with _throttles_lock:
        if name not in _throttles:
            _throttles[name] = LocalThrottle(settings.requests_per_second, settings.max_concurrency)
        return _throttles[name]
