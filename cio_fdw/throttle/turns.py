"""Who may send when: the queue and the count of one API key, as plain data with the time as an argument.

    turns = Turns()
    place = turns.join(flow=pid, now_s=now_s)
    turns.ask(place, now_s, lambda: 2, Limits(10, 3))  -> 0.0: go, or the seconds until the next look

At most `requests_per_second` turns in any window, at most `max_concurrency` at once. Backends ("flows") take turns:
each place gets the number of the round in which its flow is due, so that a backend with one request waits for one
request of each other backend, not for all that they have queued (start-time fair queueing).

A place holds the time of its next look. One that has not looked by then belongs to a thread that has died or stands
still; it is passed over, and queued again at its old round should it come back.
"""

from __future__ import annotations

import bisect
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Callable, NamedTuple, Optional

WINDOW_S = 1.0 + 0.030
"""The API counts arrivals in one second, we count departures. The time under way varies from request to
request, so departures 1 s apart can arrive closer together. 30 ms covers the jitter of an open connection and
costs 3 % of the rate; connecting takes longer than that, so it happens before the turn is taken (fetch.py)."""

LATE_S = 0.005
"""A request that leaves later than this after its turn was taken is counted from when it left."""

FRESH_S = 0.030
"""A turn that was taken longer ago is looked at again before its request leaves. Less than that the
30 ms of the window cover."""

NEAR_S = 0.002
"""After the look of the one ahead, while a turn is free and those ahead are about to take theirs; times the place."""
BUSY_S = 0.010
"""Between looks while all slots are taken, whose end nobody knows; times the place in the queue."""
SLICE_S = 0.050
"""Longest time between looks of the one at the head, whose due time a pause may move; times the place."""
LONGEST_LOOK_S = 1.0
GRACE_S = 0.3
"""How late a look may be before its place is passed over. A loaded machine wakes threads late, too."""
MAX_PAUSE_S = 3 * 3600.0
"""No pause lasts longer; the longest `timeout` gives it (fetch.py)."""
MAX_PLACES = 2000
"""Places in the queue; further ones look for room."""


class Limits(NamedTuple):
    """The limits of one server, which its own requests keep, counted over the requests of all."""

    requests_per_second: int
    max_concurrency: int


class Place(NamedTuple):
    """A place in the queue, in the order of service: by round, then by arrival."""

    round: int
    ticket: int
    flow: int
    look_s: float = 0.0

    @property
    def order(self) -> tuple[int, int]:
        return self.round, self.ticket

    def is_late(self, now_s: float) -> bool:
        """Whether it should have looked long ago: nobody is behind it any more."""
        return self.look_s < now_s - GRACE_S


@dataclass
class Turns:
    """The state of one key. `sent_s`: ascending times of the turns taken in the last window."""

    sent_s: list[float] = field(default_factory=list)
    paused_until_s: float = float("-inf")
    round: int = 0
    next_ticket: int = 1
    next_round: dict[int, int] = field(default_factory=dict)
    """By flow: the earliest round of its next place, while that is ahead of the next one."""
    places: list[Place] = field(default_factory=list)

    def join(self, flow: int, now_s: float) -> Optional[Place]:
        """A new place at the end of its flow; None when the queue is full."""
        self._drop_late(now_s)
        if len(self.places) >= MAX_PLACES:
            return None
        # Not the present round: fresh backends, one after the other, would pass those who wait for the next one.
        due = max(self.round + 1, self.next_round.get(flow, 0))
        place = Place(due, self.next_ticket, flow, now_s + LONGEST_LOOK_S)
        self.next_ticket += 1
        self.next_round[flow] = due + 1
        bisect.insort(self.places, place)
        return place

    def leave(self, place: Place) -> None:
        """Gives the place up; what the flow asks next does not pay for it."""
        self._remove(place)
        rounds = [other.round for other in self.places if other.flow == place.flow]
        self.next_round[place.flow] = max(rounds) + 1 if rounds else min(place.round, self.round + 1)

    def ask(self, place: Place, now_s: float, in_flight: Callable[[], int], limits: Limits) -> float:
        """0.0 when the turn is taken, else the seconds until this place should look again.

        `in_flight` counts the requests under way, and is asked only when nothing else stands in the way.
        """
        self.forget_old(now_s)
        self._drop_late(now_s, but=place)
        index = self._index(place)
        due_s = max(self.paused_until_s, self._window_free_s(index, limits.requests_per_second))
        if due_s > now_s:
            delay_s = min(due_s - now_s, SLICE_S * (index + 1))
        elif in_flight() >= limits.max_concurrency:
            # Those deep in the queue wait for the window in any case; looks cost more the longer the queue is.
            delay_s = (BUSY_S if index < limits.requests_per_second else SLICE_S) * (index + 1)
        elif index:
            delay_s = self._after_those_ahead_s(index, now_s)
        else:
            self._take(place, now_s)
            return 0.0
        delay_s = min(delay_s, LONGEST_LOOK_S)
        self.places[index] = place._replace(look_s=now_s + delay_s)
        return delay_s

    def left_late(self, taken_s: float, now_s: float) -> None:
        """Counts the turn that was taken at `taken_s` as one of `now_s`, when its request really left."""
        with suppress(ValueError):  # forgotten already: it was taken more than a window ago
            self.sent_s.remove(taken_s)
        bisect.insort(self.sent_s, now_s)

    def renew(self, taken_s: float, now_s: float) -> bool:
        """Moves the turn that was taken at `taken_s` to now, before its request leaves; False when it is over.

        While it is of the last window, moving it gives nobody more: it was counted until now, and is from now on.
        """
        self.forget_old(now_s)
        if taken_s not in self.sent_s or self.paused_until_s > now_s:
            return False
        self.sent_s.remove(taken_s)
        bisect.insort(self.sent_s, now_s)
        return True

    def pause(self, now_s: float, seconds: float) -> None:
        """Nobody sends for `seconds`; never shortens a pause."""
        self.paused_until_s = max(self.paused_until_s, now_s + min(seconds, MAX_PAUSE_S))

    def forget_old(self, now_s: float) -> None:
        """Drops what no longer matters at `now_s`."""
        old = bisect.bisect_right(self.sent_s, now_s - WINDOW_S)
        del self.sent_s[:old]
        if self.next_round:
            self.next_round = {flow: due for flow, due in self.next_round.items() if due > self.round + 1}

    def _after_those_ahead_s(self, index: int, now_s: float) -> float:
        """Until the one ahead has looked. One at the head that is late waits for the lock: others leave it to him."""
        due_s = self.places[index - 1].look_s - now_s
        late_s = max(0.0, now_s - self.places[0].look_s)
        return min(max(due_s, 0.0) + NEAR_S * (index + 1) + late_s, SLICE_S * (index + 1))

    def _take(self, place: Place, now_s: float) -> None:
        del self.places[0]
        self.round = max(self.round, place.round)
        self.sent_s.append(now_s)

    def _index(self, place: Place) -> int:
        """Where `place` stands; it is put back when it was passed over."""
        index = bisect.bisect_left(self.places, Place(place.round, place.ticket, flow=-1))
        if index == len(self.places) or self.places[index].order != place.order:
            self.places.insert(index, place)
        return index

    def _remove(self, place: Place) -> None:
        self.places = [other for other in self.places if other.order != place.order]

    def _drop_late(self, now_s: float, but: Optional[Place] = None) -> None:
        if any(other.is_late(now_s) for other in self.places):
            kept = but.order if but else None
            self.places = [other for other in self.places if other.order == kept or not other.is_late(now_s)]

    def _window_free_s(self, ahead: int, rate: int) -> float:
        """Earliest time at which one with `ahead` others ahead can send without an (N+1)th in its window."""
        oldest = min(len(self.sent_s) - rate + ahead, len(self.sent_s) - 1)
        return self.sent_s[oldest] + WINDOW_S if oldest >= 0 else float("-inf")
