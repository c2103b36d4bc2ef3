"""Where a long measurement is, on stderr: what is done, and when the rest will be.

progress = Progress()
for step in progress.steps("refreshes", range(192)): …      refreshes: 40 of 192, about 0:03:10 left
progress.say("the first load took 30 s")                     [0:01:12] the first load took 30 s
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
EVERY_S = 10.0


def whole(seconds: float) -> timedelta:
    """To be printed: without fractions of a second."""
    return timedelta(seconds=round(seconds))


class Progress:
    """Lines with the time since it was made."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def say(self, text: str) -> None:
        sys.stderr.write(f"[{whole(self.elapsed_s)}] {text}\n")
        sys.stderr.flush()

    def steps(self, name: str, of: Sequence[T]) -> Iterator[T]:
        """The elements, with a line at the first, every ten seconds, and at the end."""
        began_s, said_s = self.elapsed_s, -EVERY_S
        for done, one in enumerate(of):
            if self.elapsed_s - said_s >= EVERY_S:
                said_s = self.elapsed_s
                left = f", about {whole((said_s - began_s) / done * (len(of) - done))} left" if done else ""
                self.say(f"{name}: {done} of {len(of)}{left}")
            yield one
        self.say(f"{name}: done in {whole(self.elapsed_s - began_s)}")
