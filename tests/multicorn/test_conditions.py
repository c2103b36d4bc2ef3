"""Multicorn's quals: what is taken over, and what is not trusted."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from cio_fdw.multicorn.conditions import Translator
from cio_fdw.multicorn.moments import Clock
from cio_fdw.quals import UNKNOWN, condition
from tests.multicorn.fake import Qual


def wall(*parts: int) -> datetime:
    """What Multicorn makes of a timestamp: a datetime without a zone."""
    return datetime(*parts)  # type: ignore[arg-type,misc]  # noqa: DTZ001


TYPES = {
    "campaign_id": "bigint", "type": "text", "created": "timestamptz", "forgotten": "bool", "score": "float8",
    "raw": "jsonb", "tags": "text[]",
}  # fmt: skip
DAY_US = 1_791_158_400_000_000
"""2026-10-05"""
DAY = "2026-10-05 00:00:00+00"
ANY, ALL = True, False


def translated(qual: Qual, *, explained: bool = False, zone: str = "UTC") -> list[tuple[str, str, Any]]:
    found = Translator(TYPES, Clock("ISO, MDY", zone), explained=explained).conditions([qual])
    for triple in found:
        condition(*triple)
    return found


@pytest.mark.parametrize(
    ("qual", "expected"),
    [
        (Qual("campaign_id", "=", 7), [("campaign_id", "=", 7)]),
        (Qual("campaign_id", "=", "3000000000"), [("campaign_id", "=", 3000000000)]),
        (Qual("campaign_id", ">=", "-7"), [("campaign_id", ">=", -7)]),
        (Qual("type", "=", "email"), [("type", "=", "email")]),
        (Qual("type", "=", "?"), [("type", "=", "?")]),
        (Qual("forgotten", "=", "t"), [("forgotten", "=", True)]),
        (Qual("forgotten", "=", "f"), [("forgotten", "=", False)]),
        (Qual("campaign_id", ("=", ANY), [7, 8, None]), [("campaign_id", "in", (7, 8, None))]),
        (Qual("campaign_id", ("=", ANY), ["7", "8"]), [("campaign_id", "in", (7, 8))]),
        (Qual("type", ("=", ANY), []), [("type", "in", ())]),
        (Qual("created", ">", DAY), [("created", ">", DAY_US)]),
        (Qual("created", "=", DAY), [("created", "=", DAY_US)]),
        (Qual("created", "<", "infinity"), [("created", "<", float("inf"))]),
        (Qual("created", "<", date(2026, 10, 5)), [("created", "<", DAY_US)]),
        (Qual("created", ">=", wall(2026, 10, 5)), [("created", ">=", DAY_US)]),
        (Qual("created", "<", wall(2026, 10, 5)), [("created", "<", DAY_US + 999_999)]),
        (
            Qual("created", "=", wall(2026, 10, 5)),
            [("created", ">=", DAY_US), ("created", "<=", DAY_US + 999_999)],
        ),
        (
            Qual("created", ("=", ANY), [DAY, None, "2026-10-06 00:00:00+00"]),
            [("created", ">=", DAY_US), ("created", "<=", DAY_US + 86_400_000_000)],
        ),
        (Qual("created", ("=", ANY), [None]), [("created", "in", ())]),
        (Qual("type", "=", None), [("type", "is null", None)]),
        (Qual("type", "<>", None), [("type", "is not null", None)]),
    ],
)
def test_taken(qual: Qual, expected: list[tuple[str, str, Any]]) -> None:
    assert translated(qual) == expected


@pytest.mark.parametrize(
    "qual",
    [
        Qual("campaign_id", "<>", 7),
        Qual("campaign_id", "=", True),
        Qual("campaign_id", "=", 7.0),
        Qual("campaign_id", "=", "7.5"),
        Qual("campaign_id", "=", b"7"),
        Qual("campaign_id", "<", None),
        Qual("campaign_id", ("=", ANY), 643024976),
        Qual("campaign_id", ("=", ANY), "\x01"),
        Qual("campaign_id", ("=", ANY), None),
        Qual("campaign_id", ("=", ANY), [7, "x"]),
        Qual("campaign_id", ("=", ALL), [7]),
        Qual("campaign_id", ("<>", ALL), [7]),
        Qual("campaign_id", (">", ANY), [7]),
        Qual("type", "~~", "em%"),
        Qual("type", "=", 7),
        Qual("forgotten", "IS", "t"),
        Qual("forgotten", "=", "yes"),
        Qual("score", "=", "1.5"),
        Qual("raw", "=", "{}"),
        Qual("tags", "=", ["a"]),
        Qual("created", "<", "2000-01-01 00:00:00.009823+00"),
        Qual("created", "=", "yesterday"),
        Qual("created", "<>", DAY),
        Qual("created", ("=", ANY), [DAY, "yesterday"]),
        Qual("created", ("=", ANY), "2000-01-01 00:00:00+00"),
        Qual("tableoid", "=", 7),
        Qual("no_such_column", "=", None),
    ],
)
def test_not_trusted(qual: Qual) -> None:
    assert translated(qual) == []


@pytest.mark.parametrize(
    ("qual", "column"),
    [
        (Qual("campaign_id", "=", "0"), "campaign_id"),
        (Qual("campaign_id", "=", 0), "campaign_id"),
        (Qual("type", "=", "?"), "type"),
        (Qual("created", ">=", "2000-01-01 00:00:00+00"), "created"),
        (Qual("created", ">=", wall(2000, 1, 1)), "created"),
        (Qual("created", ">=", date(2000, 1, 1)), "created"),
    ],
)
def test_parameters_in_explain_are_unknown(qual: Qual, column: str) -> None:
    assert translated(qual, explained=True) == [(column, qual.operator, UNKNOWN)]


def test_parameters_in_explain_in_another_zone() -> None:
    qual = Qual("created", "<", "1999-12-31 19:00:00-05")
    assert translated(qual, explained=True, zone="America/New_York") == [("created", "<", UNKNOWN)]
    assert translated(qual, zone="America/New_York") == []


def test_bounds_hold_the_moment_that_a_wall_clock_may_mean() -> None:
    """`created < now()::timestamp`: east of Greenwich the true moment is earlier than the one shown, west later."""
    ((_, _, east_us),) = translated(Qual("created", ">", "2026-10-05 09:00:00+09"), zone="Asia/Tokyo")
    assert east_us <= DAY_US - 9 * 3600 * 1_000_000
    ((_, _, west_us),) = translated(Qual("created", "<", "2026-10-04 20:00:00-04"), zone="America/New_York")
    assert west_us >= DAY_US + 4 * 3600 * 1_000_000
