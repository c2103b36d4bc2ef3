"""Values inside paths and queries: encoding, rows by id, children of parents."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.plan import Chain, Request
from cio_fdw.quals import UNKNOWN
from cio_fdw.ranges import US
from tests.unit.plan_world import RANGE, TIMES, planned, targets


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


@pytest.mark.parametrize(
    ("table", "qual", "asked"),
    [
        ("campaigns", ("id", "=", 7), ["/v1/campaigns/7"]),
        ("deliveries", ("id", "=", "aB c+d="), ["/v1/messages/aB%20c%2Bd%3D"]),
        ("deliveries", ("id", "=", "?"), ["/v1/messages/%3F"]),
        ("deliveries", ("id", "=", UNKNOWN), ["/v1/messages/?"]),
        ("deliveries", ("id", "in", ("b", "a")), ["/v1/messages/b", "/v1/messages/a"]),
        ("deliveries", ("id", "in", ("a", "", ".", "..")), ["/v1/messages/a"]),
        ("deliveries", ("id", "=", ""), []),
        ("campaigns", ("id", "in", (0, -7)), []),
    ],
)
def test_rows_named_by_id_are_read_one_by_one(table: str, qual: tuple[str, str, Any], asked: list[str]) -> None:
    made = planned(table, qual)
    assert [chain.first.target for chain in made.chains] == asked
    assert all(chain.may_be_missing and chain.row_key in ("campaign", "message") for chain in made.chains)
    assert made.rows == made.requests == len(asked)


@pytest.mark.parametrize("qual", [("id", "=", "aB/c"), ("id", "in", ("a", "b/")), ("id", "=", "/")])
def test_an_id_with_a_slash_is_looked_for_in_the_list(qual: tuple[str, str, Any]) -> None:
    """The simulator takes `%2F` for a step of the path and answers 404, as many servers do."""
    made = planned("deliveries", qual)
    assert not made.chains[0].may_be_missing
    assert made.chains[0].first.target.startswith("/v1/messages?")


def test_many_ids_are_looked_for_in_the_list() -> None:
    assert targets("campaigns", ("id", "in", (1, 2))) == ["/v1/campaigns"]
    assert targets("message_drafts", ("id", "=", "a"), *RANGE) == [f"/v1/messages?drafts=true&{TIMES}"]


def test_an_id_besides_a_contradiction_asks_for_nothing() -> None:
    assert targets("deliveries", ("id", "=", "a"), ("created", ">", 5 * US), ("created", "<", 5 * US)) == []
    assert targets("deliveries", ("id", "=", "a"), ("id", "=", "b")) == []


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
    (child,) = all_.children(7)
    assert child.first.target == "/v1/campaigns/7/actions"
    assert child.may_be_missing
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
    (child,) = planned("members").children("x")
    assert child.first.target == "/v1/search/x/members?all=1&limit=100"
    assert targets("members", ("name", "=", "x"), page_size="7") == ["/v1/search/x/members?all=1&limit=7"]
    assert targets("members", ("name", "=", "x"), page_size="900") == ["/v1/search/x/members?all=1&limit=300"]


def test_a_page_is_asked_for_by_its_cursor() -> None:
    table = "activities_by_page"
    assert targets(table) == ["/v1/activities?limit=100"]
    assert not planned(table).chains[0].one_page
    assert targets(table, ("page", "=", "")) == ["/v1/activities?limit=100"]
    assert planned(table, ("page", "=", "")).chains[0].one_page
    assert targets(table, ("page", "=", "a=")) == ["/v1/activities?limit=100&start=a%3D"]
    assert targets(table, ("page", "in", ("a", "b"))) == [
        "/v1/activities?limit=100&start=a", "/v1/activities?limit=100&start=b"]  # fmt: skip
    assert targets(table, ("page", "=", "a"), ("page", "=", "b")) == []
    # Another filter would give other pages.
    assert targets(table, ("type", "=", "event")) == ["/v1/activities?limit=100"]
