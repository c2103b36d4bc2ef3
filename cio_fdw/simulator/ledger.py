"""What arrived: a log of requests with the figures that tests ask for, and the strict rate limit."""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any, Optional

LOG_LENGTH = 200_000
WINDOW_S = 1.0
LATEST_S = 60.0
"""A request is told of at most so long after it came."""


@dataclass
class Entry:
    """One request. `t` is the monotonic second of its arrival; status and ms are None while it is unanswered."""

    t: float
    epoch_s: float
    method: str
    path: str
    query: str
    connection: int
    status: Optional[int] = None
    ms: Optional[float] = None


class Ledger:
    """The log since the last reset (its latest 200,000 entries), and how many requests are in flight."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=LOG_LENGTH)
        self._in_flight = 0
        self._most_in_flight = 0

    def arrive(self, came_s: float, method: str, path: str, query: str, connection: int) -> Entry:
        """`came_s` is the monotonic second at which it reached the machine."""
        entry = Entry(came_s, time.time() - (time.monotonic() - came_s), method, path, query, connection)
        self._entries.append(entry)
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        return entry

    def leave(self, entry: Entry, status: Optional[int]) -> None:
        """Closes an entry; `status` is None when nothing was answered."""
        entry.status = status
        entry.ms = round((time.monotonic() - entry.t) * 1000, 3)
        self._in_flight -= 1

    def reset(self) -> None:
        self._entries.clear()
        self._most_in_flight = self._in_flight

    def entries(self) -> list[dict[str, Any]]:
        """In the order of arrival, which those of several connections are not told of in."""
        return [asdict(entry) for entry in sorted(self._entries, key=attrgetter("t"))]

    def stats(self) -> dict[str, int]:
        """Figures over the log; `max_per_s` counts every arrival, `max_accepted_per_s` leaves the 429s out."""
        entries = list(self._entries)
        return {
            "requests": len(entries),
            "max_per_s": busiest(entry.t for entry in entries),
            "max_accepted_per_s": busiest(entry.t for entry in entries if entry.status != 429),
            "in_flight": self._in_flight,
            "max_in_flight": self._most_in_flight,
            "connections": len({entry.connection for entry in entries}),
            "rate_limited": sum(entry.status == 429 for entry in entries),
        }


def busiest(times_s: Iterable[float], window_s: float = WINDOW_S) -> int:
    """The most of the times that lie in any one window of so many seconds, [t, t + window_s)."""
    window: deque[float] = deque()
    most = 0
    for at_s in sorted(times_s):
        window.append(at_s)
        while window[0] <= at_s - window_s:
            window.popleft()
        most = max(most, len(window))
    return most


class SlidingLimit:
    """At most `per_s` requests in any one second; refused ones do not count. 0 is no limit."""

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self._accepted: list[float] = []

    def accepts(self, came_s: float) -> bool:
        """Whether a request that came at the monotonic second `came_s` is let in; counts it if so.

        Requests of several connections may be told of in another order than they came in.
        """
        if self.per_s <= 0:
            return True
        del self._accepted[: bisect.bisect_left(self._accepted, came_s - LATEST_S)]
        near = self._accepted[
            bisect.bisect_right(self._accepted, came_s - WINDOW_S) : bisect.bisect_left(
                self._accepted, came_s + WINDOW_S
            )
        ]
        bisect.insort(near, came_s)
        if busiest(near) > self.per_s:
            return False
        bisect.insort(self._accepted, came_s)
        return True

    def reset(self) -> None:
        self._accepted.clear()
