"""What fetching needs of a throttle, whoever keeps the count."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Callable, Protocol

from cio_fdw.state import Sleep


@dataclass(frozen=True)
class Turn:
    """Leave to send one request, now.

    `holds`: to be called last before it is sent. The process may have stood still since the turn was taken (SIGSTOP, a
    machine under load): the turn is then moved to now, or it is over, and False says that another must be taken.
    `left`: to be called once it is sent, so that a late one is counted when it left.
    """

    waited_s: float
    holds: Callable[[], bool]
    left: Callable[[], None]


@dataclass(frozen=True)
class Usage:
    """How much of a limit is in use now. `paused_s`: seconds that a pause lasts from now; 0 without one."""

    used: int
    in_flight: int
    waiting: int
    paused_s: float
    kept_in: str


class Throttle(Protocol):
    """The limits of one API key. Errors: StateError, SharedLimitError, and what `sleep` raises; never OSError."""

    def slot(self, sleep: Sleep) -> AbstractContextManager[Turn]:
        """Waits for a turn, through `sleep` only. Leaving ends the turn."""

    def pause(self, seconds: float, sleep: Sleep) -> None:
        """Nobody of this key sends for `seconds` from now: after a 429."""

    def usage(self, sleep: Sleep) -> Usage:
        """What is in use now, by everybody who shares the limits."""
