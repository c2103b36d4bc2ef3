"""What EXPLAIN prints, whole."""

from __future__ import annotations

from typing import Any

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.explain import after, before
from cio_fdw.options import resolve
from cio_fdw.plan import plan
from cio_fdw.quals import UNKNOWN, Qual
from cio_fdw.ranges import US
from cio_fdw.stats import Stats
from cio_fdw.windows import DAY_S

NOW_S = 1_767_312_000


def explained(table: str, *quals: tuple[str, str, Any]) -> list[Any]:
    settings = resolve({})
    made = plan(ENDPOINTS[table], [Qual(*q) for q in quals], settings, now_s=NOW_S, endpoints=ENDPOINTS)
    return before(made, made.requests)


def test_a_list() -> None:
    assert explained("campaigns") == [("API Request", ("GET /v1/campaigns",), ""), ("API Requests Estimated", 1, "")]


def test_windows() -> None:
    assert explained("messages", ("campaign_id", "=", 7), ("created", ">=", (NOW_S - 184 * DAY_S) * US)) == [
        (
            "API Request",
            (
                f"GET /v1/messages?campaign_id=7&start_ts={NOW_S - 92 * DAY_S - 1}&limit=1000",
                f"GET /v1/messages?campaign_id=7&start_ts={NOW_S - 184 * DAY_S}&end_ts={NOW_S - 92 * DAY_S - 2}"
                "&limit=1000",
            ),
            "",
        ),
        ("API Windows", 2, ""),
        ("API Requests Estimated", 3, ""),
    ]


def test_parameters_are_question_marks() -> None:
    shown = explained("messages", ("campaign_id", "=", UNKNOWN), ("created", ">=", UNKNOWN), ("created", "<", UNKNOWN))
    assert shown[0] == ("API Request", ("GET /v1/messages?campaign_id=?&start_ts=?&end_ts=?&limit=1000",), "")
    assert explained("campaign_actions", ("campaign_id", "=", UNKNOWN))[:2] == [
        ("API Request", ("GET /v1/campaigns/?/actions",), ""),
        ("API Parents", 1, ""),
    ]


def test_all_parents() -> None:
    assert explained("campaign_actions") == [
        ("API Request", ("GET /v1/campaigns", "GET /v1/campaigns/{campaign_id}/actions for each row of campaigns"), ""),
        ("API Requests Estimated", 101, ""),
    ]


def test_many_parents_are_counted() -> None:
    shown = {
        label: value for label, value, _unit in explained("campaign_actions", ("campaign_id", "in", tuple(range(1, 9))))
    }
    assert shown["API Request"] == (
        *(f"GET /v1/campaigns/{i}/actions" for i in range(1, 6)),
        "and 3 more of this kind",
    )
    assert shown["API Parents"] == 8
    assert shown["API Requests Estimated"] == 8


@pytest.mark.parametrize(
    ("table", "qual"), [("messages", ("id", "=", None)), ("campaign_actions", ("campaign_id", "=", -1))]
)
def test_nothing_to_ask(table: str, qual: tuple[str, str, Any]) -> None:
    assert explained(table, qual) == [("API Request", ("none, as no row can match",), "")]


def test_after_a_run() -> None:
    stats = Stats()
    stats.add(requests=3, retries=1, rate_limited=1, throttled_s=0.5, api_s=1.25, bytes=99, pages=2, rows=7)
    stats.add(requests=1, rows=1)
    assert after(stats) == [
        ("API Requests Sent", 4, ""),
        ("API Retries", 1, ""),
        ("API Rate Limited", 1, ""),
        ("API Throttled", 0.5, "s"),
        ("API Time", 1.25, "s"),
        ("API Rows", 8, ""),
        ("API Bytes", 99, ""),
    ]


def test_ranges_are_told_when_there_are_several() -> None:
    stats = Stats()
    stats.add(requests=1, ranges=1)
    assert after(stats)[0] == ("API Requests Sent", 1, "")
    stats.add(requests=5, ranges=5)
    assert after(stats)[:2] == [("API Ranges Read", 6, ""), ("API Requests Sent", 6, "")]
