"""What the tests of the native host share: a look at a backend from outside, and waiting for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

GONE_S = 5.0


class Vitals(NamedTuple):
    """What must not grow with the number of statements. `threads` counts the main one."""

    memory_kb: int
    threads: int


def vitals(db: Connection) -> Vitals:
    """Of the backend of `db`, once threads that have ended are gone from the process too."""
    deadline_s = time.monotonic() + 0.2
    while True:
        lines = Path(f"/proc/{db.info.backend_pid}/status").read_text().splitlines()
        fields = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines) if rest.split()}
        found = Vitals(int(fields["VmRSS"]), int(fields["Threads"]))
        if found.threads == 1 or time.monotonic() > deadline_s:
            return found
        time.sleep(0.005)


def threads_now(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def ended_after_s(pid: int) -> float:
    """Seconds until the process has ended."""
    began_s = time.monotonic()
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() - began_s < GONE_S, "the backend lingers"
        time.sleep(0.005)
    return time.monotonic() - began_s


def postmaster_start(db: Connection) -> Any:
    """Changes when a backend crashed and the server restarted itself."""
    return scalar(db, "select min(backend_start) from pg_stat_activity where backend_type = 'checkpointer'")


def scalar(db: Connection, query: str, arguments: Any = None) -> Any:
    row = db.execute(query, arguments).fetchone()
    assert row is not None
    return row[0]
