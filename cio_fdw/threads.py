"""Threads that are known to run, even where memory is short.

    thread = started(work, "cio-lane")       a daemon thread that runs work()

`threading.Thread.start` waits until the new thread says that it runs. One that finds no memory for its first call
ends without a word, and the wait would have no end, with PostgreSQL's signals blocked.
Errors: MemoryError, NoThreadError.
"""

from __future__ import annotations

import threading
from typing import Callable, Optional

from cio_fdw.errors import NoThreadError

BEGIN_S = 5.0
"""Longest wait for a thread's first sign of life, which takes microseconds, on a busy machine a few milliseconds."""


class _Sign(threading.Event):
    def wait(self, timeout: Optional[float] = None) -> bool:
        return super().wait(BEGIN_S if timeout is None else timeout)


class _Thread(threading.Thread):
    def __init__(self, run: Callable[[], None], name: str) -> None:
        super().__init__(target=run, name=name, daemon=True)
        self._started: threading.Event = _Sign()

    @property
    def began(self) -> bool:
        return self._started.is_set()


def started(run: Callable[[], None], name: str) -> threading.Thread:
    """A thread that has begun."""
    thread = _Thread(run, name)
    try:
        thread.start()
    except RuntimeError:
        raise NoThreadError(
            "the system gives the server no further thread",
            hint="Check free memory, ulimit -u of the server's user, and the pids limit of its control group.",
        ) from None
    if not thread.began:
        raise MemoryError("a thread did not begin")
    return thread
