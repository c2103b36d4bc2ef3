"""One backend under measurement: its time, its processor time and its memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import psycopg

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one statement took: seconds by the clock, seconds of the backend's processor, and its result."""

    wall_s: float
    cpu_s: float
    result: list[tuple[Any, ...]]


class Backend:
    """A fresh connection whose process is observed through /proc."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(url, autocommit=True)
        self._proc = Path("/proc") / str(self._connection.info.backend_pid)

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._connection.close()

    def run(self, query: str) -> Cost:
        cpu_s, wall_s = self._cpu_s(), time.perf_counter()
        result = self._connection.execute(query).fetchall()
        return Cost(time.perf_counter() - wall_s, self._cpu_s() - cpu_s, result)

    def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def memory_mb(self, field: str = "VmRSS") -> float:
        """VmRSS: memory now; VmHWM: the most so far."""
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise LookupError(field)

    def _cpu_s(self) -> float:
        after_name = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_S
