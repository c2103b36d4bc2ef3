"""A process that is killed by its descriptor: a number that another process has meanwhile is never hit."""

from __future__ import annotations

import os
import signal
import threading


class Victim:
    """Made while the process surely lives; `kill` says whether it still did."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._lock = threading.Lock()

    def kill(self) -> bool:
        with self._lock:
            if self._fd < 0:
                return False
            try:
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)
            except ProcessLookupError:
                return False
            return True

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1
