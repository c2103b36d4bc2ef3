"""Quals to requests: exact targets, what is not pushed, and never less than the statement wants."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Column, Endpoint, Filter, Paging, Parent
from cio_fdw.options import resolve
from cio_fdw.plan import MAX_COMBINATIONS, Chain, Plan, Request, allowed_values, plan
from cio_fdw.quals import UNKNOWN, Qual
from cio_fdw.windows import DAY_S, US

NOW_S = 1_767_312_000
DEFAULTS = resolve({})
SEARCH = Endpoint(
    name="search",
    doc="A table with text filters.",
    path="/v1/search",
    rows_key="search",
    key=("id",),
    columns=(Column("id", "bigint", "."), Column("name", "text", "."), Column("kind", "text", ".")),
    filters=(Filter("name", "name"), Filter("kind", "kind", known=frozenset(("a", "b")))),
    fixed_params=(("hidden", "true"),),
    sample={"search": []},
)
MEMBERS = Endpoint(
    name="members",
    doc="A child with text parents and a page size.",
    path="/v1/search/{name}/members",
    rows_key="members",
    key=("id",),
    columns=(Column("id", "bigint", "."), Column("name", "text", ".")),
    parent=Parent("search", "name", "name"),
    paging=Paging(size_param="limit", page_size=100, max_size=300),
    fixed_params=(("all", "1"),),
    typical_rows=250,
    sample={"members": []},
)
WORLD = {**ENDPOINTS, "search": SEARCH, "members": MEMBERS}


def planned(table: str, *quals: tuple[str, str, Any], **options: str) -> Plan:
    settings_ = resolve(options) if options else DEFAULTS
    return plan(WORLD[table], [Qual(*qual) for qual in quals], settings_, now_s=NOW_S, endpoints=WORLD)


def targets(table: str, *quals: tuple[str, str, Any], **options: str) -> list[str]:
    return [chain.first.target for chain in planned(table, *quals, **options).chains]


LAST_MINUTE = ("created", ">=", (NOW_S - 60) * US)
UNTIL_EARLIER = ("created", "<=", (NOW_S - 30) * US)
RANGE = (LAST_MINUTE, UNTIL_EARLIER)
TIMES = f"start_ts={NOW_S - 60}&end_ts={NOW_S - 30}&limit=1000"


def test_a_list_without_anything() -> None:
    assert targets("campaigns") == ["/v1/campaigns"]
    assert targets("campaigns", ("id", "=", 7)) == ["/v1/campaigns"]


def test_a_recent_range_is_a_frozen_window_and_a_tail() -> None:
    both = planned("messages", LAST_MINUTE)
    assert [(chain.first.target, chain.tail) for chain in both.chains] == [
        (f"/v1/messages?start_ts={NOW_S - 60}&end_ts={NOW_S - 2}&limit=1000", False),
        (f"/v1/messages?start_ts={NOW_S - 1}&limit=1000", True),
    ]
    assert both.windows == 1


def test_a_tail_keeps_its_upper_bound() -> None:
    until_tomorrow = ("created", "<", (NOW_S + DAY_S) * US)
    assert targets("messages", LAST_MINUTE, until_tomorrow)[-1] == (
        f"/v1/messages?start_ts={NOW_S - 1}&end_ts={NOW_S + DAY_S}&limit=1000"
    )


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


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a+b@c.example", "a%2Bb%40c.example"),
        ("50%", "50%25"),
        ("a b&c=d#e", "a%20b%26c%3Dd%23e"),
        ("a/b", "a%2Fb"),
        ("naïve 雪", "na%C3%AFve%20%E9%9B%AA"),
        ("a?", "a%3F"),
    ],
)
def test_values_are_encoded(value: str, encoded: str) -> None:
    assert targets("search", ("name", "=", value)) == [f"/v1/search?hidden=true&name={encoded}"]
    assert targets("members", ("name", "=", value)) == [f"/v1/search/{encoded}/members?all=1&limit=100"]


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=20).filter(lambda text: text not in (".", "..") and not _has_surrogate(text)))
def test_any_text_survives_the_way_to_the_api(value: str) -> None:
    (target,) = targets("search", ("name", "=", value))
    assert ("name", value) in parse_qsl(urlsplit(target).query, keep_blank_values=True)
    (target,) = targets("members", ("name", "=", value))
    assert urlsplit(target).path.count("/") == 4
    assert urlsplit(target).query == "all=1&limit=100"


def _has_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(char) <= 0xDFFF for char in text)


def test_a_question_mark_as_a_parent_is_not_the_placeholder() -> None:
    assert targets("members", ("name", "=", "?")) == ["/v1/search/%3F/members?all=1&limit=100"]
    assert targets("members", ("name", "=", UNKNOWN)) == ["/v1/search/?/members?all=1&limit=100"]


def test_empty_text_is_not_pushed() -> None:
    assert targets("search", ("name", "=", "")) == ["/v1/search?hidden=true"]
    assert targets("search", ("kind", "=", "a")) == ["/v1/search?hidden=true&kind=a"]


def test_children_of_named_parents() -> None:
    named = planned("campaign_actions", ("campaign_id", "in", (7, 9)))
    assert named.parents is None
    assert named.chains == (
        Chain(Request("/v1/campaigns/7/actions"), constants=(("campaign_id", 7),), may_be_missing=True),
        Chain(Request("/v1/campaigns/9/actions"), constants=(("campaign_id", 9),), may_be_missing=True),
    )


def test_children_of_all_parents() -> None:
    all_ = planned("campaign_actions", ("id", "=", 3))
    assert all_.chains == ()
    assert all_.parents is not None
    assert [chain.first.target for chain in all_.parents.chains] == ["/v1/campaigns"]
    assert all_.child(7).first.target == "/v1/campaigns/7/actions"
    assert all_.child(7).may_be_missing
    assert all_.rows == all_.parents.rows * ENDPOINTS["campaign_actions"].typical_rows
    assert all_.requests == all_.parents.requests + all_.parents.rows


@pytest.mark.parametrize(
    ("table", "qual"),
    [
        ("campaign_actions", ("campaign_id", "=", 0)),
        ("campaign_actions", ("campaign_id", "=", -1)),
        ("campaign_actions", ("campaign_id", "in", ())),
        ("campaign_actions", ("campaign_id", "=", None)),
        ("members", ("name", "=", "")),
        ("members", ("name", "in", (".", ".."))),
    ],
)
def test_children_of_parents_that_cannot_be(table: str, qual: tuple[str, str, Any]) -> None:
    nothing = planned(table, qual)
    assert (nothing.chains, nothing.parents, nothing.rows, nothing.requests) == ((), None, 0, 0)


def test_impossible_parents_are_left_out_of_a_list() -> None:
    assert targets("campaign_actions", ("campaign_id", "in", (0, 7, -1))) == ["/v1/campaigns/7/actions"]


def test_an_unknown_parent() -> None:
    assert targets("campaign_actions", ("campaign_id", "=", UNKNOWN)) == ["/v1/campaigns/?/actions"]


def test_every_child_carries_the_page_size() -> None:
    assert planned("members").child("x").first.target == "/v1/search/x/members?all=1&limit=100"
    assert targets("members", ("name", "=", "x"), page_size="7") == ["/v1/search/x/members?all=1&limit=7"]
    assert targets("members", ("name", "=", "x"), page_size="900") == ["/v1/search/x/members?all=1&limit=300"]


def test_a_table_without_a_parent_has_no_child() -> None:
    with pytest.raises(ValueError, match=r"^messages has no parent$"):
        planned("messages").child(7)


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
            (f"messages: Customer.io keeps about 6 months; rows created before {KEPT} may be missing",),
        ),
        (
            [("created", "<", (NOW_S - 300 * DAY_S) * US)],
            {},
            (f"messages: Customer.io keeps about 6 months; rows created before {KEPT} may be missing",),
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
    assert request.with_param("start", "n+w").target == "/v1/x?a=1&b=2&start=n%2Bw"
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


# A tiny model of the API: which rows would the planned requests bring, at most?

TYPES = ("email", "push", "sms", "?", "")
messages = st.fixed_dictionaries(
    {
        "campaign_id": st.sampled_from((None, 1, 2, 3)),
        "action_id": st.sampled_from((None, 1, 2)),
        "type": st.sampled_from((None, *TYPES)),
        "created": st.integers(NOW_S - 400 * DAY_S, NOW_S) | st.integers(NOW_S - 6, NOW_S),
    }
)
ids = st.sampled_from((-1, 0, 1, 2, 3, None))
times = st.builds(
    lambda s, us: s * US + us,
    st.integers(NOW_S - 400 * DAY_S, NOW_S + 9) | st.integers(NOW_S - 6, NOW_S + 1),
    st.sampled_from((0, 1, 999_999)),
) | st.sampled_from((math.inf, -math.inf, None))
equal, listed, compared = st.just("="), st.just("in"), st.sampled_from(("=", "<", "<=", ">", ">="))
model_quals = st.one_of(
    st.builds(Qual, st.sampled_from(("campaign_id", "action_id")), compared, ids),
    st.builds(Qual, st.sampled_from(("campaign_id", "action_id")), listed, st.lists(ids, max_size=4).map(tuple)),
    st.builds(Qual, st.just("type"), equal, st.sampled_from((*TYPES, None))),
    st.builds(Qual, st.just("type"), listed, st.lists(st.sampled_from(TYPES), max_size=3).map(tuple)),
    st.builds(Qual, st.just("created"), compared, times),
    st.builds(Qual, st.just("created"), listed, st.lists(times, max_size=3).map(tuple)),
    st.builds(Qual, st.sampled_from(("campaign_id", "type")), st.sampled_from(("is null", "is not null")), st.none()),
)


def matches(row: dict[str, Any], qual: Qual) -> bool:
    value = row[qual.column]
    if qual.op in ("is null", "is not null"):
        return (value is None) == (qual.op == "is null")
    if value is None or qual.value is None:
        return False
    if qual.column == "created":
        value *= US
    if qual.op == "in":
        return value in [one for one in qual.value if one is not None]
    compare = {"=": "__eq__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
    return getattr(float(value), compare[qual.op])(qual.value) if qual.column == "created" else getattr(
        value, compare[qual.op]
    )(qual.value)  # fmt: skip


def brings(chain: Chain, row: dict[str, Any]) -> bool:
    """Whether the API, as OBSERVED.md has it, answers this chain with this row."""
    for name, value in chain.first.params:
        if name == "start_ts" and row["created"] < int(value):
            return False
        if name == "end_ts" and row["created"] > int(value):
            return False
        if name in row and str(row[name]) != value:
            return False
    return True


@settings(max_examples=200, deadline=None)
@given(st.lists(messages, max_size=12), st.lists(model_quals, max_size=4), st.sampled_from((None, "2025-12-01")))
def test_requests_bring_every_wanted_row_exactly_once(rows: Any, quals: list[Qual], anchor: Any) -> None:
    options = {"anchor_date": anchor} if anchor else {}
    made = plan(ENDPOINTS["messages"], quals, resolve(options), now_s=NOW_S, endpoints=ENDPOINTS)
    # Without a lower bound only what is kept, or what anchor_date says, is promised.
    bounded = any(q.column == "created" and q.op in ("=", "in", ">", ">=") and q.value != -math.inf and not (
        q.op == "in" and -math.inf in q.value) for q in quals)  # fmt: skip
    promised_from_s = -math.inf if bounded else max(NOW_S - 184 * DAY_S, resolve(options).anchor_s or 0)
    for row in rows:
        times_brought = sum(brings(chain, row) for chain in made.chains)
        assert times_brought <= 1
        if all(matches(row, qual) for qual in quals) and row["created"] >= promised_from_s:
            assert times_brought == 1


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(("messages", "campaigns", "campaign_actions", "search", "members")),
    st.lists(model_quals.filter(lambda qual: qual.column == "campaign_id"), max_size=3),
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
