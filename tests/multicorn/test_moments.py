"""Moments in the text of any session: the same moment, a span that holds it, or nothing."""

from __future__ import annotations

import math
from datetime import date, datetime

import pytest

from cio_fdw.multicorn.moments import Clock


def wall(*parts: int) -> datetime:
    """What Multicorn makes of a timestamp: a datetime without a zone."""
    return datetime(*parts)  # type: ignore[arg-type,misc]  # noqa: DTZ001


US = 1_000_000
HOUR_US = 3600 * US
NOON_US = 1_791_201_600 * US
"""2026-10-05 12:00 UTC"""


@pytest.mark.parametrize(
    ("date_style", "zone", "text"),
    [
        ("ISO, MDY", "UTC", "2026-10-05 12:00:00+00"),
        ("ISO, DMY", "Etc/UTC", "2026-10-05 12:00:00+00"),
        ("German, DMY", "UTC", "05.10.2026 12:00:00 UTC"),
        ("SQL, DMY", "UTC", "05/10/2026 12:00:00 UTC"),
        ("SQL, MDY", "UTC", "10/05/2026 12:00:00 UTC"),
        ("SQL, YMD", "UTC", "10/05/2026 12:00:00 UTC"),
        ("Postgres, MDY", "UTC", "Mon Oct 05 12:00:00 2026 UTC"),
        ("Postgres, DMY", "UTC", "Mon 05 Oct 12:00:00 2026 UTC"),
    ],
)
def test_every_style_means_the_same(date_style: str, zone: str, text: str) -> None:
    assert Clock(date_style, zone).span(text) == (NOON_US, NOON_US)


@pytest.mark.parametrize(
    ("date_style", "zone", "text"),
    [
        ("ISO, MDY", "Asia/Kolkata", "2026-10-05 17:30:00+05:30"),
        ("SQL, DMY", "Europe/Berlin", "05/10/2026 14:00:00 CEST"),
        ("Postgres, MDY", "America/New_York", "Mon Oct 05 08:00:00 2026 EDT"),
        ("German, DMY", "America/Sao_Paulo", "05.10.2026 09:00:00 -03"),
        ("ISO, MDY", "<+02>-02", "2026-10-05 14:00:00+02"),
        ("ISO, MDY", "Africa/Monrovia", "2026-10-05 12:00:00+00"),
    ],
)
def test_other_zones_hold_the_moment_and_the_wall_clock_that_it_may_be(date_style: str, zone: str, text: str) -> None:
    """now()::timestamp reaches Multicorn as a moment in UTC; the true one is the zone's offset away."""
    span = Clock(date_style, zone).span(text)
    assert span is not None
    assert span.low_us <= NOON_US <= span.high_us
    assert span.high_us - span.low_us <= 12 * HOUR_US
    assert span.low_us < span.high_us


def test_microseconds_and_the_age_of_the_text() -> None:
    clock = Clock("ISO, MDY", "UTC")
    assert clock.span("2026-10-05 12:00:00.25+00") == (NOON_US + 250_000, NOON_US + 250_000)
    assert clock.span("1970-01-01 00:00:00.000001+00") == (1, 1)
    assert clock.span("1969-12-31 23:59:59.5+00") == (-500_000, -500_000)


@pytest.mark.parametrize("text", ["infinity", "-infinity"])
def test_infinities(text: str) -> None:
    expected = math.inf if text == "infinity" else -math.inf
    assert Clock("SQL, DMY", "Europe/Berlin").span(text) == (expected, expected)


@pytest.mark.parametrize(
    ("date_style", "zone", "value"),
    [
        ("ISO, MDY", "UTC", "2026-10-05 12:00:00+00 BC"),
        ("ISO, MDY", "UTC", "20260-10-05 12:00:00+00"),
        ("ISO, MDY", "UTC", "2026-02-30 12:00:00+00"),
        ("ISO, MDY", "UTC", "05/10/2026 12:00:00 UTC"),
        ("SQL, DMY", "Asia/Kolkata", "05/10/2026 12:00:00 EST"),
        ("SQL, DMY", "No/Such_Zone", "05/10/2026 12:00:00 XYZ"),
        ("Postgres, MDY", "UTC", "Mon Foo 05 12:00:00 2026 UTC"),
        ("ISO, MDY", "UTC", "2000-01-01 00:00:00.009823+00"),
        ("ISO, MDY", "UTC", "1999-12-31 23:59:59.99+00"),
        ("ISO, MDY", "UTC", 7),
        ("ISO, MDY", "No/Such_Zone", wall(2026, 10, 5)),
        ("ISO, MDY", "../../etc/passwd", date(2026, 10, 5)),
    ],
)
def test_what_is_unclear_is_nothing(date_style: str, zone: str, value: object) -> None:
    assert Clock(date_style, zone).span(value) is None


def test_a_timestamp_may_have_had_a_fraction() -> None:
    noon = wall(2026, 10, 5, 12)
    assert Clock("ISO, MDY", "UTC").span(noon) == (NOON_US, NOON_US + US - 1)
    berlin = Clock("ISO, MDY", "Europe/Berlin").span(noon)
    assert berlin == (NOON_US - 2 * HOUR_US, NOON_US - 2 * HOUR_US + US - 1)


def test_a_date_is_the_sessions_midnight() -> None:
    assert Clock("ISO, MDY", "Asia/Tokyo").span(date(2026, 10, 5)) == (NOON_US - 21 * HOUR_US,) * 2


def test_an_hour_that_comes_twice_is_both() -> None:
    """2026-10-25 02:30 in Berlin is 00:30 and 01:30 UTC; its abbreviation tells which."""
    first_us = 1_792_888_200 * US
    clock = Clock("SQL, DMY", "Europe/Berlin")
    assert clock.span(wall(2026, 10, 25, 2, 30)) == (first_us, first_us + HOUR_US + US - 1)
    summer, winter = clock.span("25/10/2026 02:30:00 CEST"), clock.span("25/10/2026 02:30:00 CET")
    assert summer is not None
    assert winter is not None
    assert summer.high_us == first_us
    assert winter.high_us == first_us + HOUR_US
