"""Random conditions on functions of `created`, aimed at clocks that change and months that end.

    chain(dice, change_s, anchor_s, zone)   "(m.created + interval '4321 hours') at time zone 'Europe/Berlin'"

Messages are dense around an anchor, and intervals move the anchor to where a clock changes.
"""

from __future__ import annotations

from datetime import datetime, timezone
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

HOUR_S = 3600
DAY_S = 24 * HOUR_S
ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "America/St_Johns",
    "Africa/Casablanca", "Pacific/Chatham", "Pacific/Apia", "Antarctica/Troll", "America/Scoresbysund",
)  # fmt: skip
"""Clocks that change by an hour, half an hour, two hours; at midnight; and zones whose offset changed."""
UNITS = ("minute", "hour", "day", "week", "month", "quarter", "year")
NUMBERS = ("epoch", "julian", "year", "isoyear", "decade")
OPERATORS = ("=", "<", "<=", ">", ">=")


class Expression(NamedTuple):
    text: str
    type: str


def changes(zone: str, first_s: int, last_s: int) -> list[int]:
    """When the clock of a zone changes, to the hour."""
    clock = ZoneInfo(zone)

    def offset(at_s: int) -> object:
        return datetime.fromtimestamp(at_s, timezone.utc).astimezone(clock).utcoffset()

    days = range(first_s - first_s % DAY_S, last_s, DAY_S)
    found = []
    for day_s in days:
        if offset(day_s) != offset(day_s + DAY_S):
            hours = (day_s + hour * HOUR_S for hour in range(24))
            found.append(next(at_s for at_s in hours if offset(at_s) != offset(at_s + HOUR_S)) + HOUR_S)
    return found


def messages(anchors_s: list[int]) -> list[int]:
    """Instants in unix seconds: dense at the anchors, sparse for days around them."""
    times = set()
    for anchor_s in anchors_s:
        times |= {anchor_s + minutes * 60 for minutes in range(-300, 301, 20)}
        times |= {anchor_s + hours * HOUR_S + 7 for hours in range(-24 * 5, 24 * 5, 3)}
    return sorted(times)


def chain(dice: Random, zone: str, anchor_s: int, change_s: int) -> Expression:
    """Up to five functions over m.created; the first of them often moves the anchor to the change."""
    now = Expression("m.created", "timestamptz")
    if dice.random() < 0.6:
        hours = (change_s - anchor_s) // HOUR_S + dice.choice((0, 0, 0, 1, -1, 24, -30, 48))
        days, rest = divmod(hours, 24)
        interval = dice.choice((f"{hours} hours", f"{days} days {rest} hours"))
        now = Expression(f"({now.text} + interval '{interval}')", "timestamptz")
    for _ in range(dice.randint(1, 4)):
        now = dice.choice(_STEPS[now.type])(dice, zone, now.text)
        if now.type not in _STEPS:
            break
    return now


def _zone(dice: Random, zone: str, text: str, type_: str) -> Expression:
    name = dice.choice((zone, zone, dice.choice(ZONES), "UTC"))
    return Expression(f"({text} at time zone '{name}')", type_)


def _interval(dice: Random, text: str, type_: str) -> Expression:
    interval = dice.choice(("1 month", "-1 month", "3 months 2 days", "1 day", "-2 days", "36 hours", "-90 minutes",
                            "1 year", "-11 months"))  # fmt: skip
    sign = dice.choice("+-")
    return Expression(f"({text} {sign} interval '{interval}')", type_)


def _trunc(dice: Random, text: str, type_: str) -> Expression:
    return Expression(f"date_trunc('{dice.choice(UNITS)}', {text})", type_)


def _bin(dice: Random, text: str, type_: str) -> Expression:
    stride = dice.choice(("15 minutes", "1 hour", "7 hours", "1 day", "60 hours", "7 days"))
    return Expression(f"date_bin('{stride}', {text}, '2001-01-01')", type_)


def _number(dice: Random, text: str, _type: str) -> Expression:
    unit = dice.choice(NUMBERS)
    return Expression(dice.choice((f"extract({unit} from {text})", f"floor(extract({unit} from {text}))")), "numeric")


_STEPS = {
    "timestamptz": (
        lambda dice, zone, text: _zone(dice, zone, text, "timestamp"),
        lambda dice, zone, text: _zone(dice, zone, text, "timestamp"),
        lambda dice, zone, text: _interval(dice, text, "timestamptz"),
        lambda dice, zone, text: _trunc(dice, text, "timestamptz"),
        lambda dice, zone, text: Expression(f"date_trunc('{dice.choice(UNITS)}', {text}, '{zone}')", "timestamptz"),
        lambda dice, zone, text: _bin(dice, text, "timestamptz"),
        lambda dice, zone, text: _number(dice, text, "timestamptz"),
        lambda dice, zone, text: Expression(f"{text}::date", "date"),
        lambda dice, zone, text: Expression(f"{text}::timestamp", "timestamp"),
    ),
    "timestamp": (
        lambda dice, zone, text: _zone(dice, zone, text, "timestamptz"),
        lambda dice, zone, text: _zone(dice, zone, text, "timestamptz"),
        lambda dice, zone, text: _interval(dice, text, "timestamp"),
        lambda dice, zone, text: _trunc(dice, text, "timestamp"),
        lambda dice, zone, text: _bin(dice, text, "timestamp"),
        lambda dice, zone, text: _number(dice, text, "timestamp"),
        lambda dice, zone, text: Expression(f"{text}::date", "date"),
        lambda dice, zone, text: Expression(f"{text}::timestamptz", "timestamptz"),
    ),
    "date": (
        lambda dice, zone, text: Expression(f"({text} + {dice.randint(-40, 40)})", "date"),
        lambda dice, zone, text: Expression(f"{text}::timestamp", "timestamp"),
        lambda dice, zone, text: Expression(f"{text}::timestamptz", "timestamptz"),
        lambda dice, zone, text: _interval(dice, text, "timestamp"),
        lambda dice, zone, text: Expression(f"({text} - date '2020-01-01')", "integer"),
    ),
}  # fmt: skip
