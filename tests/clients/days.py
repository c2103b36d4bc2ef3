"""Days within the API's six months, whenever the tests run, as dates in UTC.

DAY, NEXT, WEEK     52 days ago, the day after it, and the day a week after it: 2026-10-05, 2026-10-06, 2026-10-12
EARLY, LATE         169 and 25 days ago
PAST                created >= '<EARLY>Z' and created < '<LATE>Z'
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tests.sql.days import DATES, DAY, NEXT

__all__ = ["DAY", "EARLY", "LATE", "NEXT", "PAST", "WEEK", "midnight"]

EARLY, LATE = DATES["early"], DATES["late"]
PAST = f"created >= '{EARLY}Z' and created < '{LATE}Z'"


def midnight(day: str) -> datetime:
    """The beginning of that day in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc)


WEEK = (midnight(DAY) + timedelta(days=7)).date().isoformat()
