"""Days for the conditions of test_recognition, within the API's six months or near them whenever the tests run.

    dated("created::date = '{berlin}'")   "created::date = '2026-10-25'"

{berlin} and {new_york} are the last days on which the clocks there changed, {week}, {month} and {next_month} the
beginnings of the week, the month and the next month of {berlin}. {day}, {early}, {late} and {recent} are so many days
ago that messages lie around them, {day_s} and {next_s} the beginnings of {day} and the day after in unix seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tests.native.shapes_world import DAY_S, changes

AGES = {"early": 117, "day": 52, "late": 25, "recent": 2}
"""Days ago."""
LAST_YEAR = 294275
"""Times end one year later."""


def dates(now: datetime) -> dict[str, str]:
    """What the names stand for."""
    berlin, new_york = (_last_change(zone, now) for zone in ("Europe/Berlin", "America/New_York"))
    day = _midnight(now - timedelta(days=AGES["day"]))
    next_month = berlin.replace(day=1) + timedelta(days=31)
    days = {
        "berlin": berlin,
        "new_york": new_york,
        "week": berlin - timedelta(days=berlin.weekday()),
        "month": berlin.replace(day=1),
        "next_month": next_month.replace(day=1),
        **{name: now - timedelta(days=age) for name, age in AGES.items()},
    }
    numbers = {
        "day_s": int(day.timestamp()),
        "next_s": int(day.timestamp()) + DAY_S,
        "year": berlin.year,
        "month_number": berlin.month,
        "last_years": LAST_YEAR - now.year,
    }
    return {
        **{name: at.date().isoformat() for name, at in days.items()},
        **{name: str(number) for name, number in numbers.items()},
    }


def dated(text: str, now: datetime) -> str:
    """The text with days in the place of their names."""
    return text.format(**dates(now))


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _last_change(zone: str, now: datetime) -> datetime:
    now_s = int(now.timestamp())
    return _midnight(datetime.fromtimestamp(changes(zone, now_s - 366 * DAY_S, now_s)[-1], timezone.utc))
