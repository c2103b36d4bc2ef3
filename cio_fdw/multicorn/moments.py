"""Moments as PostgreSQL shows them to Multicorn: text in the session's DateStyle and TimeZone.

    Clock("SQL, DMY", "Europe/Berlin").span("05/10/2026 02:00:00 CEST") -> Span(1791158400000000, 1791158400000000)
    Clock("ISO, MDY", "UTC").span(date(2026, 10, 5))                    -> the midnight of that day

A span holds the moment that is meant, in microseconds since 1970-01-01 UTC. It has a width where one cannot
know: an hour that comes twice, a timestamp whose fraction Multicorn cut off. None means: do not push.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any, NamedTuple, Optional
from zoneinfo import ZoneInfo

US = 1_000_000
HOUR_US = 3600 * US
PG_EPOCH_US = 946_684_800 * US
"""PostgreSQL counts from 2000-01-01: its zero, which Multicorn shows for a parameter without a value."""
MISREAD_DATE_US = 10 * US
"""Multicorn reads the days of a computed date as microseconds, which puts every date of this age here."""
UTC_NAMES = frozenset(
    ("UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal", "Etc/GMT0")
)
_TIME = r"(?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,6}))?"
_ZONE = r" ?(?P<zone>[+-]\d\d(?::\d\d){0,2}|[A-Za-z]+)"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FORMS = {
    "ISO": rf"(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d) {_TIME}{_ZONE}",
    "German": rf"(?P<d>\d\d)\.(?P<m>\d\d)\.(?P<y>\d{{4}}) {_TIME}{_ZONE}",
    "SQL MDY": rf"(?P<m>\d\d)/(?P<d>\d\d)/(?P<y>\d{{4}}) {_TIME}{_ZONE}",
    "SQL DMY": rf"(?P<d>\d\d)/(?P<m>\d\d)/(?P<y>\d{{4}}) {_TIME}{_ZONE}",
    "Postgres MDY": rf"[A-Z][a-z]{{2}} (?P<m>[A-Z][a-z]{{2}}) (?P<d>\d\d) {_TIME} (?P<y>\d{{4}}){_ZONE}",
    "Postgres DMY": rf"[A-Z][a-z]{{2}} (?P<d>\d\d) (?P<m>[A-Z][a-z]{{2}}) {_TIME} (?P<y>\d{{4}}){_ZONE}",
}


class Span(NamedTuple):
    """The moment lies between these, both included; ±math.inf for PostgreSQL's infinities."""

    low_us: float
    high_us: float


class Clock:
    """How one session writes moments: its DateStyle ("ISO, MDY") and TimeZone ("Europe/Berlin")."""

    def __init__(self, date_style: str, time_zone: str) -> None:
        style, _, order = date_style.partition(", ")
        dmy = "DMY" if order == "DMY" else "MDY"
        self._form = re.compile(_FORMS.get(style) or _FORMS.get(f"{style} {dmy}") or _FORMS["ISO"], re.ASCII)
        self._is_utc = time_zone in UTC_NAMES
        self._zone = timezone.utc if self._is_utc else _zone(time_zone)

    def span(self, value: Any) -> Optional[Span]:
        """`value`: text of a timestamptz, a naive datetime, or a date."""
        if isinstance(value, datetime):
            return self._of_wall(value, cut_off_us=US - 1)
        if isinstance(value, date):
            return self._of_wall(datetime(value.year, value.month, value.day), cut_off_us=0)  # noqa: DTZ001 - a wall clock
        return self._of_text(value) if isinstance(value, str) else None

    def _of_wall(self, wall: datetime, cut_off_us: int) -> Optional[Span]:
        """Both readings of a wall clock, which differ when it was set back or forward."""
        if self._zone is None:
            return None
        readings = [_utc_us(wall.replace(fold=fold), self._zone) for fold in (0, 1)]
        return Span(min(readings), max(readings) + cut_off_us)

    def _of_text(self, text: str) -> Optional[Span]:
        if text in ("infinity", "-infinity"):
            return Span(float(text), float(text))
        match = self._form.fullmatch(text)
        if match is None:
            return None
        wall = _wall(match)
        readings = self._readings(wall, match["zone"]) if wall else []
        if wall is None or not readings:
            return None
        span = Span(min(readings), max(readings))
        return None if abs(span.low_us - PG_EPOCH_US) <= MISREAD_DATE_US else self._with_misreading(span, wall)

    def _readings(self, wall: datetime, zone: str) -> list[int]:
        """The moments that a wall clock with this offset or abbreviation can mean."""
        offset = _offset(zone)
        if offset is not None:
            return [_utc_us(wall, timezone(offset))]
        if self._zone is None:
            return []
        folds = [wall.replace(fold=fold, tzinfo=self._zone) for fold in (0, 1)]
        # The same letters stand for several zones (IST): only what the session's own zone calls so is meant.
        return [_utc_us(wall.replace(fold=fold.fold), self._zone) for fold in folds if fold.tzname() == zone]

    def _with_misreading(self, span: Span, wall: datetime) -> Span:
        """The span, and where the moment is if Multicorn misread it.

        It takes the value of now()::timestamp, a wall clock, for a moment in UTC. One cannot tell the two apart.
        """
        if self._is_utc:
            return span
        offset_us = _utc_us(wall, timezone.utc) - span.low_us
        low_us, high_us = span.low_us - offset_us - HOUR_US, span.high_us - offset_us + HOUR_US
        return Span(min(span.low_us, low_us), max(span.high_us, high_us))


@cache
def clock(date_style: str, time_zone: str) -> Clock:
    return Clock(date_style, time_zone)


def _zone(name: str) -> Optional[tzinfo]:
    """The time zone, None when the machine's database lacks it or it is one of PostgreSQL's own making."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _wall(match: re.Match[str]) -> Optional[datetime]:
    month = match["m"]
    if month.isalpha() and month not in _MONTHS:
        return None
    number = _MONTHS.index(month) + 1 if month.isalpha() else int(month)
    hour, minute, second = (int(part) for part in match["time"].split(":"))
    fraction_us = int((match["fraction"] or "0").ljust(6, "0"))
    try:
        return datetime(int(match["y"]), number, int(match["d"]), hour, minute, second, fraction_us)  # noqa: DTZ001
    except ValueError:
        return None


def _offset(zone: str) -> Optional[timedelta]:
    if zone[0] not in "+-":
        return None
    hours, minutes, seconds = ([int(part) for part in zone[1:].split(":")] + [0, 0])[:3]
    size = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return size if zone[0] == "+" else -size


def _utc_us(wall: datetime, zone: tzinfo) -> int:
    """Microseconds since 1970 of a wall clock in `zone`."""
    offset = wall.replace(tzinfo=zone).utcoffset() or timedelta(0)
    since = wall - datetime(1970, 1, 1) - offset  # noqa: DTZ001 - both are wall clocks
    return (since.days * 86400 + since.seconds) * US + since.microseconds


def is_zero(value: Any) -> bool:
    """Whether `value` may be PostgreSQL's zero, which stands where EXPLAIN has no value for a parameter."""
    if isinstance(value, date):
        return (value.year, value.month, value.day) == (2000, 1, 1)
    return isinstance(value, str) and ("2000" in value or "1999" in value)
