"""A small mirror in window mode, and what its refreshes asked and wrote."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.sync.helpers import DAY, Sync, today

HOUR = timedelta(hours=1)
MESSAGES = {"path": "/v1/messages"}
EMPTY = {"match": MESSAGES, "times": None, "action": {"kind": "body", "json": {"messages": [], "next": ""}}}
START = today() - 60 * DAY
"""The clock of most tests begins here, so that it can move on and stay in the past."""


def small(s: Sync, days: int = 10, more: str = "") -> str:
    """A mirror that begins `days` before the clock."""
    since = (START - days * DAY).isoformat()
    return s.mirror(more=f"start_time => '{since}'{', ' if more else ''}{more}")


def starts(s: Sync) -> list[int]:
    """The start_ts of each request, in order."""
    found = []
    for target in s.requests():
        query = dict(pair.split("=") for pair in target.partition("?")[2].split("&"))
        found.append(int(query["start_ts"]))
    return found


def row_counts(s: Sync) -> Any:
    return s.rows("""select rows_seen, rows_inserted, rows_updated, rows_deleted, rows_withheld
                     from cio.runs order by run_id desc limit 1""")[0]  # fmt: skip
