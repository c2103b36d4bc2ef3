"""Six calendar months back, in UTC."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from cio_fdw.simulator.api import months_before


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-09-17T12:30:00", "2026-03-17T12:30:00"),
        ("2026-08-31T00:00:00", "2026-02-28T00:00:00"),
        ("2024-08-31T00:00:01", "2024-02-29T00:00:01"),
        ("2026-03-01T23:59:59", "2025-09-01T23:59:59"),
    ],
)
def test_months_before(at, expected):
    first, second = (datetime.fromisoformat(text).replace(tzinfo=timezone.utc) for text in (at, expected))
    assert months_before(int(first.timestamp()), 6) == int(second.timestamp())


@pytest.mark.parametrize("at_s", [10**14, -(10**17), 0])
def test_moments_out_of_the_calendar_do_not_fail(at_s):
    assert months_before(at_s, 6) < at_s
