"""Processes, seen from outside.

children(backend_pid) -> [4711]      what it has started; those that ended and were not waited for are among them
is_running(4711)      -> False       it has ended, whether somebody has waited for it or not
"""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    return [found for found in map(int, _numbers()) if _state_and_parent(found)[1] == str(pid)]


def is_running(pid: int) -> bool:
    return _state_and_parent(pid)[0] not in {"", "Z", "X"}


def _numbers() -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _state_and_parent(pid: int) -> tuple[str, str]:
    try:
        # The name, in parentheses, may hold spaces; state and parent follow it.
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    return state, parent
