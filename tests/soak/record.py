"""What a soak did, line by line in a file, and now and then a line for whoever watches.

record = Record(path, say=print, every_s=15)
record.note("checker 3", "kill -9 of 4711")      ->      12.4 checker 3: kill -9 of 4711
record.progress("412 checked, …")                at most one in `every_s`
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Callable

MAX_CHARS = 300


class Record:
    """Threads share it. Seconds count from its making."""

    def __init__(self, path: Path, say: Callable[[str], None], every_s: float) -> None:
        self.path = path
        self._say, self._every_s = say, every_s
        self._began_s = time.monotonic()
        self._next_s = every_s
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1)

    def close(self) -> None:
        with self._lock:
            self._file.close()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def note(self, who: str, what: str) -> None:
        """One line, however long and in how many lines the text is."""
        text = " ".join(what.split())
        shown = text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "…"
        with self._lock:
            self._file.write(f"{self.elapsed_s:9.2f} {who}: {shown}\n")

    def progress(self, what: str) -> None:
        if self.elapsed_s >= self._next_s:
            self._next_s += self._every_s
            self._say(f"{self.elapsed_s:5.0f} s: {what}")
            self.note("soak", what)
