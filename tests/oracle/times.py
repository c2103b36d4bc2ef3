"""Times in SQL: values of three types in many spellings, and expressions over a time column.

time_value(writer, seconds, "timestamptz") -> "now() - interval '2.5 seconds'"
time_expression(writer, "m.created", seconds) -> ("date_trunc('week', m.created, 'Europe/Berlin')", a maker of values)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Callable

from tests.oracle.writer import Writer, quoted

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Pacific/Chatham", "Pacific/Kiritimati", "Etc/GMT+12", "Africa/Casablanca", "America/Santiago", "Asia/Kolkata",
)  # fmt: skip
UNITS = ("day", "hour", "week", "month", "minute", "second", "quarter", "year", "milliseconds", "decade")
MICROSECONDS = (0, 1, 500_000, 999_999, -1)
SHIFTS_S = (0, 1, -1, 2, 60, -3600, 86_400, -86_400, 7 * 86_400)
AGES = ("0 seconds", "1 second", "2.5 seconds", "3 seconds", "10 minutes", "1 day", "36 hours", "1 week", "1 month",
        "100 days", "-1 day")  # fmt: skip
ODD = {
    "timestamptz": (
        "'infinity'::timestamptz", "'-infinity'::timestamptz", "'epoch'::timestamptz", "null::timestamptz",
        "'4713-01-01 BC'::timestamptz", "'294276-12-31 23:59:59.999999+00'::timestamptz", "'today'::timestamptz",
    ),
    "timestamp": (
        "'infinity'::timestamp", "'-infinity'::timestamp", "null::timestamp",
        "'294276-12-31 23:59:59.999999'::timestamp", "'4713-01-01 BC'::timestamp", "'yesterday'::timestamp",
    ),
    "date": (
        "'infinity'::date", "'-infinity'::date", "null::date", "'5874897-12-31'::date", "'4713-01-01 BC'::date",
        "'today'::date", "'yesterday'::date",
    ),
}  # fmt: skip
Make = Callable[[bool], str]
"""A maker of values; its argument asks for one whose type shows without its surroundings."""


def instant(writer: Writer, seconds: Sequence[int]) -> datetime:
    """A time of the data or near it, or some midnight."""
    dice = writer.dice
    if not seconds or dice.one_in(5):
        midnight = writer.now_s - writer.now_s % 86_400 - 86_400 * dice.number(0, 190)
        at_s = midnight + 1800 * dice.number(0, 3)
    else:
        at_s = dice.pick(seconds) + dice.pick(SHIFTS_S)
    return datetime.fromtimestamp(at_s, timezone.utc) + timedelta(microseconds=dice.pick(MICROSECONDS))


def time_value(writer: Writer, seconds: Sequence[int], type_: str, typed: bool) -> str:
    """A value of the type, or a parameter."""
    return writer.value(type_, lambda: _literal(writer, seconds, type_, typed))


def any_time(writer: Writer, seconds: Sequence[int], typed: bool) -> str:
    """A value of any of the types that compare with a timestamptz."""
    return time_value(writer, seconds, writer.dice.pick(("timestamptz", "timestamptz", "timestamp", "date")), typed)


def _literal(writer: Writer, seconds: Sequence[int], type_: str, typed: bool) -> str:
    kind = writer.dice.number(0, 9)
    if kind == 9:
        return writer.dice.pick(ODD[type_])
    if kind >= 7:
        return _relative(writer, type_)
    if kind == 6 and not writer.plain:
        column = {"timestamptz": "at", "timestamp": "at::timestamp", "date": "d"}[type_]
        return f"(select {writer.dice.pick(('max', 'min'))}({column}) from bits where n > {writer.dice.number(0, 4)})"
    return _absolute(writer, instant(writer, seconds), type_, typed)


def _relative(writer: Writer, type_: str) -> str:
    dice = writer.dice
    age = quoted(dice.pick(AGES))
    if type_ == "date":
        days = dice.number(0, 190)
        return dice.pick((f"current_date - {days}", f"(now() - interval {age})::date", "current_date"))
    if type_ == "timestamp":
        zone = quoted(dice.pick(ZONES))
        return dice.pick((f"localtimestamp - interval {age}", f"(now() - interval {age}) at time zone {zone}"))
    unit = quoted(dice.pick(UNITS))
    return dice.pick((f"now() - interval {age}", f"date_trunc({unit}, now() - interval {age})", "current_timestamp"))


def _absolute(writer: Writer, at: datetime, type_: str, typed: bool) -> str:
    dice = writer.dice
    if type_ == "date":
        text = quoted(at.date().isoformat())
        return dice.pick((f"{text}::date", f"date {text}")) if typed or dice.one_in(2) else text
    if type_ == "timestamp":
        text = quoted(at.replace(tzinfo=None).isoformat(sep=" "))
        return dice.pick((f"{text}::timestamp", f"timestamp {text}"))
    local = at.astimezone(timezone(timedelta(minutes=dice.pick((0, 0, 330, -210)))))
    text = quoted(local.isoformat(sep=dice.pick(" T")))
    if not typed and dice.one_in(2):
        return text
    seconds = f"to_timestamp({at.timestamp():.6f})"
    zone = quoted(dice.pick(ZONES))
    naive = quoted(at.replace(tzinfo=None).isoformat(sep=" "))
    return dice.pick((f"{text}::timestamptz", seconds, f"timestamp {naive} at time zone {zone}"))


def time_expression(writer: Writer, column: str, seconds: Sequence[int]) -> tuple[str, Make]:
    """An expression over a timestamptz column, with a maker of values to compare it with."""
    dice = writer.dice
    zone, unit = quoted(dice.pick(ZONES)), quoted(dice.pick(UNITS))

    def of(type_: str) -> Make:
        return lambda typed: time_value(writer, seconds, type_, typed)

    def epoch(typed: bool) -> str:
        return writer.value("numeric", lambda: _epoch(writer, seconds, typed))

    def small(_typed: bool) -> str:
        return str(dice.number(0, 31))

    def day(_typed: bool) -> str:
        return quoted(instant(writer, seconds).date().isoformat())

    def any_of(typed: bool) -> str:
        return any_time(writer, seconds, typed)

    shapes: tuple[tuple[str, Make], ...] = (
        (column, any_of),
        (f"{column}::date", of("date")),
        (f"date_trunc({unit}, {column})", any_of),
        (f"extract(epoch from {column})", epoch),
        (f"date_trunc({unit}, {column}, {zone})", any_of),
        (f"{column} at time zone {zone}", of("timestamp")),
        (f"({column} at time zone {zone})::date", of("date")),
        (f"date_trunc({unit}, {column} at time zone {zone})", of("timestamp")),
        (f"date_trunc({unit}, {column})::date", of("date")),
        (f"date_part('epoch', {column})", epoch),
        (f"extract(epoch from {column})::bigint", epoch),
        (f"floor(extract(epoch from {column}) / 86400) * 86400", epoch),
        (f"date({column})", of("date")),
        (f"{column}::timestamp", of("timestamp")),
        (f"{column} + interval '1 month'", of("timestamptz")),
        (f"extract({dice.pick(('day', 'hour', 'dow', 'month'))} from {column})", small),
        (f"to_char({column}, 'YYYY-MM-DD')", day),
        (f"date_bin('15 minutes', {column}, timestamptz '2001-01-01')", of("timestamptz")),
        (f"coalesce({column}, '2026-01-01'::timestamptz)", of("timestamptz")),
        (f"cast({column} as date) + 1", of("date")),
        (f"greatest({column}, now() - interval '50 days')", of("timestamptz")),
    )
    return dice.pick((*shapes[:1] * 6, *shapes[1:7] * 2, *shapes))


def _epoch(writer: Writer, seconds: Sequence[int], typed: bool) -> str:
    dice = writer.dice
    number = f"{instant(writer, seconds).timestamp():.6f}"
    whole = number.partition(".")[0]
    ways = (whole, number, f"{whole}::float8", f"{number}::numeric", "extract(epoch from now() - interval '9 days')")
    return dice.pick((*ways, "0", "-1", "null::numeric", "'infinity'::float8", "1e300", whole + "000"))
