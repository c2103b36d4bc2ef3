"""Quals to requests: exact targets, what is not pushed, notices, estimates."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.plan import MAX_COMBINATIONS, Request, allowed_values, plan
from cio_fdw.quals import UNKNOWN, Qual
from cio_fdw.ranges import US
from cio_fdw.windows import DAY_S
from tests.unit.plan_world import DEFAULTS, LAST_MINUTE, NOW_S, RANGE, TIMES, UNTIL_EARLIER, WORLD, planned, targets


def test_a_list_without_anything() -> None:
    assert targets("campaigns") == ["/v1/campaigns"]
    assert targets("campaigns", ("name", "=", "x")) == ["/v1/campaigns"]


@pytest.mark.parametrize(
    ("table", "qual", "expected"),
    [
        ("campaigns", ("id", "=", 7), ["/v1/campaigns/7"]),
        ("campaigns", ("id", "in", (7, 7)), ["/v1/campaigns/7"]),
        ("campaigns", ("id", "in", (7, 8)), ["/v1/campaigns"]),
        ("campaigns", ("id", "=", -7), []),
        ("campaigns", ("id", ">", 7), ["/v1/campaigns"]),
        ("snippets", ("name", "=", "footer"), ["/v1/snippets"]),
        ("subscription_topics", ("id", "=", 2), ["/v1/subscription_topics"]),
        ("sender_identities", ("id", "=", 3), ["/v1/sender_identities/3"]),
        ("sender_identities", ("name", "=", "x"), ["/v1/sender_identities?hidden=true&limit=100"]),
    ],
)
def test_one_row_reads_where_they_are_no_more_requests(
    table: str, qual: tuple[str, str, Any], expected: list[str]
) -> None:
    assert targets(table, qual) == expected


def test_a_filter_brings_its_other_parameters() -> None:
    assert targets("activities", ("customer_id", "=", "u+1")) == [
        "/v1/activities?customer_id=u%2B1&id_type=id&limit=100"
    ]


def test_drafts_are_another_population() -> None:
    assert all("drafts=true" in target for target in targets("message_drafts", LAST_MINUTE))
    assert not any("drafts" in target for target in targets("messages", LAST_MINUTE))


def test_a_recent_range_is_one_open_request() -> None:
    recent = planned("messages", LAST_MINUTE)
    (chain,) = recent.chains
    assert chain.first.target == f"/v1/messages?start_ts={NOW_S - 60}&limit=1000"
    assert (chain.open, chain.range_s, recent.windows) == (True, (NOW_S - 60, NOW_S - 2), 1)


def test_what_has_elapsed_is_not_open() -> None:
    (chain,) = planned("messages", LAST_MINUTE, ("created", "<=", (NOW_S - 2) * US)).chains
    assert chain.first.target == f"/v1/messages?start_ts={NOW_S - 60}&end_ts={NOW_S - 2}&limit=1000"
    assert (chain.open, chain.range_s) == (False, (NOW_S - 60, NOW_S - 2))


@pytest.mark.parametrize("ahead_s", [-1, 0, DAY_S, 400 * DAY_S])
def test_an_upper_bound_in_the_future_is_not_asked_for(ahead_s: int) -> None:
    """The API narrows a range that is too long, at its beginning or its end."""
    (chain,) = planned("messages", LAST_MINUTE, ("created", "<=", (NOW_S + ahead_s) * US)).chains
    assert chain.first.target == f"/v1/messages?start_ts={NOW_S - 60}&limit=1000"
    assert (chain.open, chain.range_s) == (True, (NOW_S - 60, NOW_S - 2))


def test_nothing_of_the_last_seconds_can_be_cut() -> None:
    (chain,) = planned("messages", ("created", ">=", (NOW_S - 1) * US)).chains
    assert (chain.open, chain.range_s) == (True, None)


@pytest.mark.parametrize(
    ("quals", "pushed"),
    [
        ([("campaign_id", "=", 7)], ["campaign_id=7&"]),
        ([("type", "=", "email"), ("action_id", "=", 3)], ["action_id=3&type=email&"]),
        ([("campaign_id", "in", (8, 7)), ("campaign_id", "in", (7, 9))], ["campaign_id=7&"]),
        ([("campaign_id", "=", 7), ("campaign_id", "in", (7, UNKNOWN))], ["campaign_id=7&"]),
        ([("campaign_id", "=", UNKNOWN)], ["campaign_id=?&"]),
        ([("campaign_id", "in", UNKNOWN)], ["campaign_id=?&"]),
        ([("type", "=", UNKNOWN)], ["type=?&"]),
        ([("campaign_id", "in", (7, None))], ["campaign_id=7&"]),
    ],
)
def test_filters_are_pushed(quals: list[tuple[str, str, Any]], pushed: list[str]) -> None:
    assert targets("messages", *quals, *RANGE) == [f"/v1/messages?{head}{TIMES}" for head in pushed]


@pytest.mark.parametrize(
    "qual",
    [
        ("type", "=", "sms"),
        ("type", "=", "Email"),
        ("type", "=", ""),
        ("type", "in", ("email", "sms")),
        ("campaign_id", "=", 0),
        ("campaign_id", "=", -7),
        ("campaign_id", "in", (7, -7)),
        ("campaign_id", "=", True),
        ("campaign_id", "=", 7.0),
        ("campaign_id", ">", 7),
        ("campaign_id", "is null", None),
        ("campaign_id", "is not null", None),
        ("newsletter_id", "in", tuple(range(1, MAX_COMBINATIONS + 2))),
        ("customer_id", "=", "u-1"),
        ("metrics", "is null", None),
    ],
)
def test_must_not_push(qual: tuple[str, str, Any]) -> None:
    assert targets("messages", qual, *RANGE) == [f"/v1/messages?{TIMES}"]


@pytest.mark.parametrize(
    ("quals", "pushed"),
    [
        ([("campaign_id", "in", (8, 7))], ["campaign_id=8&", "campaign_id=7&"]),
        # The second list would double the requests and save less than that.
        (
            [("campaign_id", "in", (1, 2)), ("type", "in", ("email", "push"))],
            ["campaign_id=1&", "campaign_id=2&"],
        ),
    ],
)
def test_lists_are_pushed_where_that_saves_requests(quals: list[tuple[str, str, Any]], pushed: list[str]) -> None:
    month = (("created", ">=", (NOW_S - 31 * DAY_S) * US), ("created", "<=", (NOW_S - DAY_S) * US))
    times = f"start_ts={NOW_S - 31 * DAY_S}&end_ts={NOW_S - DAY_S}&limit=1000"
    assert targets("messages", *quals, *month) == [f"/v1/messages?{head}{times}" for head in pushed]


@pytest.mark.parametrize(
    "qual",
    [
        ("type", "in", ("email", "sms")),
        ("campaign_id", "in", (7, -7)),
        ("campaign_id", "in", (7, True)),
    ],
)
def test_one_bad_value_keeps_a_whole_list_from_being_pushed(qual: tuple[str, str, Any]) -> None:
    half_a_year = (("created", ">=", (NOW_S - 170 * DAY_S) * US), UNTIL_EARLIER)
    assert targets("messages", qual, *half_a_year) == [
        f"/v1/messages?start_ts={NOW_S - 170 * DAY_S}&end_ts={NOW_S - 30}&limit=1000"
    ]


def test_a_list_is_pushed_only_while_that_is_fewer_requests() -> None:
    half_a_year = (("created", ">=", (NOW_S - 170 * DAY_S) * US), UNTIL_EARLIER)
    ids = tuple(range(1, 11))
    assert len(targets("messages", ("campaign_id", "in", ids), *half_a_year)) == 10
    assert targets("messages", ("campaign_id", "in", ids), *RANGE) == [f"/v1/messages?{TIMES}"]


@pytest.mark.parametrize(
    "quals",
    [
        [("campaign_id", "=", None)],
        [("campaign_id", "in", ())],
        [("campaign_id", "=", 7), ("campaign_id", "=", 8)],
        [("campaign_id", "in", (7, 8)), ("campaign_id", "in", (9, 10))],
        [("type", "=", "email"), ("type", "=", "push")],
        [("created", ">", 5 * US), ("created", "<", 5 * US)],
        [("created", "=", math.inf)],
        [("subject", "=", None)],
    ],
)
def test_contradictions_ask_for_nothing(quals: list[tuple[str, str, Any]]) -> None:
    nothing = planned("messages", *quals)
    assert (nothing.chains, nothing.parents, nothing.rows, nothing.requests) == ((), None, 0, 0)


def test_a_table_without_a_parent_has_no_child() -> None:
    with pytest.raises(ValueError, match=r"^messages: a plan without parents has no children$"):
        planned("messages").children(7)


@pytest.mark.parametrize(("option", "limit"), [("50", 50), ("1000", 1000), ("1001", 1000), ("30000", 1000)])
def test_page_size_never_exceeds_what_the_api_takes(option: str, limit: int) -> None:
    assert targets("messages", *RANGE, page_size=option) == [
        f"/v1/messages?start_ts={NOW_S - 60}&end_ts={NOW_S - 30}&limit={limit}"
    ]


def test_page_size_is_left_out_where_the_api_fixes_it() -> None:
    assert targets("campaign_actions", ("campaign_id", "=", 7), page_size="5") == ["/v1/campaigns/7/actions"]
    assert targets("campaigns", page_size="5") == ["/v1/campaigns"]


KEPT = "2025-07-02"


@pytest.mark.parametrize(
    ("quals", "options", "notices"),
    [
        ([], {}, ()),
        ([LAST_MINUTE], {}, ()),
        (
            [("created", ">=", (NOW_S - 300 * DAY_S) * US)],
            {},
            (f"messages: Customer.io keeps about 6 months; rows created before {KEPT} are not there",),
        ),
        (
            [("created", "<", (NOW_S - 300 * DAY_S) * US)],
            {},
            (f"messages: Customer.io keeps about 6 months; rows created before {KEPT} are not there",),
        ),
        (
            [("created", "<", (NOW_S - 30 * DAY_S) * US)],
            {"anchor_date": "2025-12-25"},
            ("messages: rows created before 2025-12-25 are not read, as the option anchor_date says",),
        ),
        ([("created", "=", None)], {}, ()),
    ],
)
def test_notices(quals: list[tuple[str, str, Any]], options: dict[str, str], notices: tuple[str, ...]) -> None:
    assert planned("messages", *quals, **options).notices == notices


def test_a_range_before_everything_kept_asks_for_nothing_but_says_so() -> None:
    nothing = planned("messages", ("created", "<", (NOW_S - 300 * DAY_S) * US))
    assert nothing.chains == ()
    assert nothing.notices


def test_with_param_replaces() -> None:
    request = Request("/v1/x", (("a", "1"), ("start", "old"), ("b", "2")))
    assert request.with_param("start", "n+w").target == "/v1/x?a=1&start=n%2Bw&b=2"
    assert request.target == "/v1/x?a=1&start=old&b=2"


@pytest.mark.parametrize(
    ("quals", "allowed"),
    [
        ([], None),
        ([Qual("id", ">", 1)], None),
        ([Qual("id", "=", 1)], (1,)),
        ([Qual("id", "in", (3, 1, 2)), Qual("id", "in", (2, 3))], (3, 2)),
        ([Qual("id", "=", 1), Qual("id", "=", 2)], ()),
        ([Qual("id", "=", UNKNOWN)], (UNKNOWN,)),
        ([Qual("id", "=", UNKNOWN), Qual("id", "=", 1)], (1,)),
        ([Qual("id", "in", (UNKNOWN, 1))], (UNKNOWN,)),
        ([Qual("other", "=", 1)], None),
    ],
)
def test_allowed_values(quals: list[Qual], allowed: Any) -> None:
    assert allowed_values(quals, "id") == allowed


ids = st.sampled_from((-1, 0, 1, 2, 3, None, UNKNOWN))
some_quals = st.builds(
    Qual, st.sampled_from(("campaign_id", "id")), st.just("in"), st.lists(ids, max_size=4).map(tuple)
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(("messages", "campaigns", "campaign_actions", "search", "members")),
    st.lists(some_quals, max_size=3),
    st.sampled_from((None, 1, 30000)),
)
def test_estimates_are_finite_and_positive_unless_nothing_is_asked(table: str, quals: Any, page_size: Any) -> None:
    settings_ = replace(DEFAULTS, page_size=page_size)
    made = plan(WORLD[table], quals, settings_, now_s=NOW_S, endpoints=WORLD)
    asks = bool(made.chains or made.parents)
    assert math.isfinite(made.rows)
    assert math.isfinite(made.requests)
    assert (made.rows > 0) == (made.requests > 0) == asks
    assert made.requests >= len(made.chains)


def test_more_selective_quals_cost_less() -> None:
    everything = planned("messages")
    one = planned("messages", ("campaign_id", "=", 7))
    one_day = planned("messages", ("campaign_id", "=", 7), ("created", ">=", (NOW_S - DAY_S) * US))
    assert everything.rows > one.rows > one_day.rows
    assert everything.requests > one.requests > one_day.requests
