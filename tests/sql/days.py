"""Days within the API's six months, whenever the tests run.

    dated("created >= '{day}' and created < '{next}'")   "created >= '2026-10-05' and created < '2026-10-06'"

{day} is 52 days ago and {next} the day after it; {before} is a week before. {weeks} and {weeks_end} are seven weeks
apart, {early} and {late} lie far on both sides, all within the six months; {past} and {gone} lie before them. {next_s}
is the beginning of {next} in unix seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tests.sql.helpers import epoch

AGES = {
    "day": 52,
    "next": 51,
    "before": 59,
    "weeks": 86,
    "weeks_end": 37,
    "early": 169,
    "late": 25,
    "past": 270,
    "gone": 360,
}
"""Days ago."""

_NOW = datetime.now(timezone.utc)
DATES = {name: (_NOW - timedelta(days=age)).date().isoformat() for name, age in AGES.items()}
DAY, NEXT = DATES["day"], DATES["next"]
NEXT_S = epoch(NEXT)


def dated(text: str) -> str:
    """The text with days in the place of their names."""
    for name, day in {**DATES, "next_s": str(NEXT_S)}.items():
        text = text.replace(f"{{{name}}}", day)
    return text


ONE_DAY = dated("created >= '{day} 00:00+00' and created < '{next} 00:00+00'")
DAY_BOUNDS = (str(epoch(DAY)), str(NEXT_S))
DAY_PARAMS = {"start_ts": DAY_BOUNDS[0], "end_ts": DAY_BOUNDS[1], "limit": "1000"}
"""What ONE_DAY is for the API."""
