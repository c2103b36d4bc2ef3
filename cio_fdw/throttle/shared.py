"""The limits of one API key over every backend of the PostgreSQL server, kept in a file of the state directory.

    throttle = SharedThrottle(state_directory(None), "0123456789abcdef", Limits(10, 3))
    with throttle.slot(stop.sleep) as turn: …turn.holds()…; …send…; turn.left(); …receive…

Requests under way are locks of the kernel, so they end with their process. The queue and the recent turns are a
record in the file (`record`), changed under a lock that is held for microseconds and never during a wait.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Callable, NamedTuple, Optional

from cio_fdw.errors import StateError
from cio_fdw.journal import FILE_NAME as JOURNAL
from cio_fdw.state import Sleep, StateDirectory
from cio_fdw.statefile import state_file
from cio_fdw.throttle.boot import boot_id
from cio_fdw.throttle.protocol import Turn, Usage
from cio_fdw.throttle.record import SIZE_BYTES, pack, unpack
from cio_fdw.throttle.turns import FRESH_S, LATE_S, Limits, Place, Turns

MAX_SLOTS = 32
"""The most that max_concurrency allows."""
FILE_PREFIX = "turns-"
RECENT_S = 60.0
"""A request may be under way for this long before the journal tells of it."""
_USUAL_BYTES = 16384
"""Reading all that two thousand waiting requests would fill costs more than the rest of a turn."""
_NO_ROOM_S = 0.25
_LEAVE_TRIES = 20
_LEAVE_LOOK_S = 0.0005


class SharedThrottle:
    """One server's limits for one key. `key` is the key's fingerprint."""

    def __init__(
        self, directory: StateDirectory, key: str, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._file = state_file(directory, FILE_PREFIX + key, SIZE_BYTES)
        self._limits = limits
        self._clock = clock

    @contextmanager
    def slot(self, sleep: Sleep) -> Iterator[Turn]:
        """Waits for a turn, through `sleep` only; leaving ends the turn. Raises StateError."""
        began_s = self._clock()
        taken = self._wait_turn(sleep)
        try:
            yield Turn(taken.at_s - began_s, partial(self._holds, taken, sleep), partial(self._left, taken, sleep))
        finally:
            self._file.free_slot(taken.slot)

    def pause(self, seconds: float, sleep: Sleep) -> None:
        """No backend sends with this key for `seconds` from now."""
        with self._turns(sleep) as turns:
            turns.pause(self._clock(), seconds)

    def usage(self, sleep: Sleep) -> Usage:
        """What is in use now, by every backend of the server."""
        with self._file.locked(sleep):
            now_s = self._clock()
            turns = self._known() or Turns()
            in_flight = self._file.slots_taken(MAX_SLOTS)
        used = sum(1 for sent_s in turns.sent_s if sent_s > now_s - 1.0)
        waiting = sum(1 for place in turns.places if not place.is_late(now_s))
        return Usage(used, in_flight, waiting, max(0.0, turns.paused_until_s - now_s), "server")

    def _holds(self, taken: _Taken, sleep: Sleep) -> bool:
        # Again after each look, as the process may stand still at any time.
        while self._clock() - taken.at_s > FRESH_S:
            with self._turns(sleep) as turns:
                now_s = self._clock()
                if not turns.renew(taken.at_s, now_s):
                    return False
            taken.at_s = now_s
        return True

    def _left(self, taken: _Taken, sleep: Sleep) -> None:
        now_s = self._clock()
        if now_s - taken.at_s > LATE_S:
            with self._turns(sleep) as turns:
                turns.left_late(taken.at_s, now_s)

    def _wait_turn(self, sleep: Sleep) -> _Taken:
        place: Optional[Place] = None
        try:
            while True:
                look = self._look(place, sleep)
                place = look.place
                if look.taken:
                    return look.taken
                sleep(look.delay_s)
        except BaseException:
            if place:
                self._leave(place)
            raise

    def _look(self, place: Optional[Place], sleep: Sleep) -> _Look:
        taken: Optional[_Taken] = None
        try:
            with self._turns(sleep) as turns:
                now_s = self._clock()
                place = place or turns.join(os.getpid(), now_s)
                if place is None:
                    return _Look(None, None, _NO_ROOM_S)
                delay_s = turns.ask(place, now_s, lambda: self._file.slots_taken(MAX_SLOTS), self._limits)
                slot = self._file.take_slot(MAX_SLOTS) if delay_s == 0.0 else None
                taken = None if slot is None else _Taken(slot, now_s)
            return _Look(place, taken, delay_s)
        except BaseException:
            # The turn could not be written down.
            if taken:
                self._file.free_slot(taken.slot)
            raise

    def _leave(self, place: Place) -> None:
        """Leaves the queue if that can be done soon. A place left in it is passed over before long."""
        tries = 0

        def sleep_briefly(_seconds: float) -> None:
            nonlocal tries
            tries += 1
            if tries > _LEAVE_TRIES:
                raise _GaveUpError
            time.sleep(_LEAVE_LOOK_S)

        with suppress(_GaveUpError, StateError), self._turns(sleep_briefly) as turns:
            turns.leave(place)

    @contextmanager
    def _turns(self, sleep: Sleep) -> Iterator[Turns]:
        """The state of the key, written back at the end. Other processes wait meanwhile: no wait in here."""
        with self._file.locked(sleep):
            turns = self._known() or self._new_turns()
            yield turns
            self._file.write(pack(turns, boot_id()))

    def _known(self) -> Optional[Turns]:
        now_s = self._clock()
        return unpack(self._file.read(_USUAL_BYTES), boot_id(), now_s) or unpack(
            self._file.read(SIZE_BYTES), boot_id(), now_s
        )

    def _new_turns(self) -> Turns:
        """A state in place of one that is not there, or is no state: of a new file, of another boot, or garbled."""
        turns = Turns(next_ticket=time.time_ns())
        is_new = not any(self._file.read(64)) and not self._file.is_successor
        # A file that is new may be in place of one that was removed, which only others had open.
        if not is_new or self._directory.was_written(JOURNAL, RECENT_S):
            # What left in the last second is not known: suppose that all turns were taken just now.
            turns.sent_s = [self._clock()] * self._limits.requests_per_second
        return turns


@dataclass
class _Taken:
    """A turn that is counted at `at_s`, with the slot that it holds."""

    slot: int
    at_s: float


class _Look(NamedTuple):
    """A look at the queue: the turn, or None and the seconds until the next look."""

    place: Optional[Place]
    taken: Optional[_Taken]
    delay_s: float


class _GaveUpError(Exception):
    """The lock was not to be had soon."""
