"""Redis while it answers, else the limit of this PostgreSQL server alone (option throttle_fallback 'local')."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Callable

from cio_fdw.errors import SharedLimitError
from cio_fdw.state import Sleep
from cio_fdw.throttle.protocol import Throttle, Turn, Usage

AWAY_S = 10.0
"""How long Redis is not asked again after it did not answer."""


class FallbackThrottle:
    """Two throttles of one key. The same object must serve all scans of a backend, as it remembers the failure."""

    def __init__(self, first: Throttle, second: Throttle, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = first
        self._second = second
        self._clock = clock
        self._away_until_s = float("-inf")

    @contextmanager
    def slot(self, sleep: Sleep) -> Iterator[Turn]:
        with ExitStack() as stack:
            try:
                turn = stack.enter_context(self._present().slot(sleep))
            except SharedLimitError:
                self._note_failure()
                turn = stack.enter_context(self._second.slot(sleep))
            yield turn

    def pause(self, seconds: float, sleep: Sleep) -> None:
        # Both, as Redis may go or come back during the pause.
        self._second.pause(seconds, sleep)
        try:
            self._present().pause(seconds, sleep)
        except SharedLimitError:
            self._note_failure()

    def usage(self, sleep: Sleep) -> Usage:
        try:
            return self._present().usage(sleep)
        except SharedLimitError:
            self._note_failure()
            return self._second.usage(sleep)

    def _present(self) -> Throttle:
        return self._second if self._clock() < self._away_until_s else self._first

    def _note_failure(self) -> None:
        self._away_until_s = self._clock() + AWAY_S
