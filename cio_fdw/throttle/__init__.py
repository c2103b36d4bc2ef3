"""A turn before each request: at most N sends in any one second, at most M under way, per API key.

throttle = throttle_for(settings)
with throttle.slot(stop.sleep) as waited_s:
    ...one request...

turns     who may send when: plain data and arithmetic
record    its bytes in a file
shared    the limit of all backends of this PostgreSQL server
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from cio_fdw.options import Settings
from cio_fdw.state import Sleep, state_directory
from cio_fdw.throttle.shared import SharedThrottle
from cio_fdw.throttle.turns import Limits

__all__ = ["Sleep", "Throttle", "throttle_for"]


class Throttle(Protocol):
    """The limits of one API key. Errors: StateError, SharedLimitError, and what `sleep` raises; never OSError."""

    def slot(self, sleep: Sleep) -> AbstractContextManager[float]:
        """Waits for a turn, through `sleep` only; gives the seconds waited. Leaving ends the turn."""

    def pause(self, seconds: float, sleep: Sleep) -> None:
        """Nobody of this key sends for `seconds` from now: after a 429."""


def throttle_for(settings: Settings) -> Throttle:
    """The limits of the key of `settings`, which it shares with every backend of the server."""
    key = settings.key.fingerprint() if settings.key else ""
    limits = Limits(settings.requests_per_second, settings.max_concurrency)
    return SharedThrottle(state_directory(settings.state_dir), key, limits)
