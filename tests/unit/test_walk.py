"""One chain of requests: the next request, the end, loops, and an open range whose rows shift."""

from __future__ import annotations

from typing import Optional

import pytest
from msgspec import Raw

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.errors import PagingError, RecordError
from cio_fdw.pages import Page
from cio_fdw.plan import Chain, Request
from cio_fdw.walk import MAX_EMPTY_PAGES, MAX_OPEN_PAGES, Walk
from cio_fdw.windows import FREEZE_LAG_S

MESSAGES = ENDPOINTS["messages"]
NOW_S = 1_767_312_000
FROZEN = Chain(Request("/v1/messages", (("start_ts", "5"), ("end_ts", "9"), ("limit", "1000"))))


def open_() -> Chain:
    return Chain(Request("/v1/messages", (("start_ts", str(NOW_S - 1)), ("limit", "1000"))), open=True)


def long_walk() -> Walk:
    """A walk over an open range that has read as many pages as it may, with the rows "0", "1", …"""
    walk = Walk(open_(), MESSAGES)
    for number in range(1, MAX_OPEN_PAGES):
        walk.first_time([(str(number),)])
        assert walk.advance(Page([b"{}"], f"x{number}"), NOW_S)
        assert dict(walk.request.params)["start"] == f"x{number}"
    walk.first_time([(str(MAX_OPEN_PAGES),)])
    return walk


def page(cursor: Optional[str]) -> Page:
    return Page([], cursor)


def test_a_walk_follows_the_cursor_to_the_end() -> None:
    walk = Walk(FROZEN, MESSAGES)
    assert walk.request.target == "/v1/messages?start_ts=5&end_ts=9&limit=1000"
    assert walk.advance(page("a="), NOW_S)
    assert walk.request.target == "/v1/messages?start_ts=5&end_ts=9&limit=1000&start=a%3D"
    assert walk.advance(page("b"), NOW_S)
    assert walk.request.target == "/v1/messages?start_ts=5&end_ts=9&limit=1000&start=b"
    assert not walk.advance(page(None), NOW_S)
    assert walk.not_before_s == 0
    assert not walk.may_repeat


def test_a_list_without_pages_ends_at_once() -> None:
    assert not Walk(Chain(Request("/v1/campaigns")), ENDPOINTS["campaigns"]).advance(page("x"), NOW_S)


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"], ["a", "b", "c", "b"]])
def test_a_cursor_that_comes_back_is_an_error(cursors: list[str]) -> None:
    walk = Walk(FROZEN, MESSAGES)
    for cursor in cursors[:-1]:
        assert walk.advance(page(cursor), NOW_S)
    with pytest.raises(PagingError) as caught:
        walk.advance(page(cursors[-1]), NOW_S)
    assert caught.value.message == (
        f"table messages: page {len(cursors)} of GET /v1/messages leads back to an earlier page"
    )
    assert caught.value.hint == "The API's paging loops; ask for less at once, or try again later."


def test_empty_pages_without_end_are_an_error() -> None:
    walk = Walk(FROZEN, MESSAGES)
    for count in range(MAX_EMPTY_PAGES - 1):
        assert walk.advance(page(f"a{count}"), NOW_S)
    # A page with rows shows that it goes on.
    assert walk.advance(Page([Raw(b"{}")], "b"), NOW_S)
    for count in range(MAX_EMPTY_PAGES - 1):
        assert walk.advance(page(f"c{count}"), NOW_S)
    with pytest.raises(PagingError) as caught:
        walk.advance(page("d"), NOW_S)
    assert caught.value.message == (
        "table messages: GET /v1/messages gave 100 empty pages in a row, each with a next one"
    )
    assert caught.value.hint == "The API's paging does not end; ask for less at once, or try again later."


def test_walks_do_not_share_cursors() -> None:
    for _ in range(2):
        assert Walk(FROZEN, MESSAGES).advance(page("a"), NOW_S)


def test_an_open_range_that_fits_one_page_ends() -> None:
    walk = Walk(open_(), MESSAGES)
    assert not walk.advance(page(None), NOW_S)
    assert walk.request == open_().first


def test_rows_of_an_open_range_may_come_again() -> None:
    walk = Walk(open_(), MESSAGES)
    walk.first_time([("a",), ("b",)])
    assert walk.advance(page("x"), NOW_S)
    assert walk.first_time([("b",), ("c",)]) == [False, True]
    assert walk.advance(page("y"), NOW_S)
    assert dict(walk.request.params) == {"start_ts": str(NOW_S - 1), "limit": "1000", "start": "y"}
    assert walk.not_before_s == 0


def test_an_open_range_that_is_long_starts_again_as_a_frozen_one() -> None:
    walk, end_s = long_walk(), NOW_S + 7
    assert walk.advance(page("y"), NOW_S + 7)
    expected = {"start_ts": str(NOW_S - 1), "end_ts": str(end_s), "limit": "1000"}
    assert dict(walk.request.params) == expected
    assert walk.not_before_s == end_s + FREEZE_LAG_S
    assert walk.page_number == 1
    assert walk.first_time([("1",), ("2",), ("new",)]) == [False, False, True]
    # The tokens of the open range belong to another set; the frozen one may well hand them out again.
    for number in range(1, 2 * MAX_OPEN_PAGES):
        assert walk.advance(Page([b"{}"], f"x{number}"), NOW_S + 60)
        assert dict(walk.request.params) == {**expected, "start": f"x{number}"}
    # In a frozen range a row comes once: no more keys are kept.
    assert walk.first_time([("3",), ("more",)]) == [False, True]
    assert walk.first_time([("more",)]) == [True]
    assert not walk.advance(page(None), NOW_S + 60)


def test_an_open_range_with_an_end_keeps_it_when_it_is_frozen() -> None:
    """The next second may be another walk's."""
    first = open_().first.with_param("end_ts", str(NOW_S - 1))
    walk = Walk(Chain(first, open=True), MESSAGES)
    walk.page_number = MAX_OPEN_PAGES
    assert walk.advance(page("y"), NOW_S + 7)
    assert (walk.request, walk.not_before_s) == (first, NOW_S + 7 + FREEZE_LAG_S)


def test_a_frozen_range_that_loops_is_an_error() -> None:
    walk = long_walk()
    assert walk.advance(page("a"), NOW_S)
    assert walk.advance(page("a"), NOW_S)
    with pytest.raises(PagingError):
        walk.advance(page("a"), NOW_S)


def test_an_open_range_needs_a_window() -> None:
    walk = Walk(Chain(Request("/v1/x"), open=True), ENDPOINTS["campaign_actions"])
    walk.page_number = MAX_OPEN_PAGES
    with pytest.raises(ValueError, match=r"^campaign_actions has an open range without a window$"):
        walk.advance(page("a"), NOW_S)


def test_rows_of_an_open_range_need_a_key_once_there_are_more() -> None:
    walk = Walk(open_(), MESSAGES)
    assert walk.first_time([("a",), (None,)]) == [True, True]
    assert not walk.advance(page(None), NOW_S)
    with pytest.raises(RecordError) as caught:
        walk.advance(page("x"), NOW_S)
    assert caught.value.message == (
        "table messages: a record has no id, so that it could not be told whether it comes again"
    )
    assert caught.value.hint == "Give an upper bound in the past, so that no row is added while the others are read."


def test_a_key_with_a_null_never_counts_as_a_repetition() -> None:
    assert Walk(open_(), MESSAGES).first_time([(7, None), (7, None), (7, "a"), (7, "a")]) == [True, True, True, False]


def test_a_list_whose_rows_may_shift_may_repeat() -> None:
    assert Walk(FROZEN, ENDPOINTS["activities"]).may_repeat
    assert not Walk(FROZEN, ENDPOINTS["activities_by_page"]).may_repeat
    assert not Walk(FROZEN, MESSAGES).may_repeat


def test_first_time() -> None:
    walk = Walk(open_(), MESSAGES)
    assert walk.may_repeat
    assert walk.first_time([("a",), ("b",), ("a",)]) == [True, True, False]
    assert walk.first_time([("c",), ("b",)]) == [True, False]
    assert Walk(open_(), MESSAGES).first_time([("a",)]) == [True]


def test_a_feed_by_page_tells_its_cursors_and_one_page_is_all() -> None:
    feed = ENDPOINTS["activities_by_page"]
    walk = Walk(Chain(Request("/v1/activities", (("limit", "100"),))), feed)
    assert walk.constants(page("b")) == {"page": "", "next_page": "b"}
    assert walk.advance(page("b"), NOW_S)
    assert walk.constants(page(None)) == {"page": "b", "next_page": None}
    assert not walk.advance(page(None), NOW_S)
    one = Walk(Chain(Request("/v1/activities", (("limit", "100"), ("start", "b"))), one_page=True), feed)
    assert one.constants(page("c")) == {"page": "b", "next_page": "c"}
    # Without a row nothing would tell the next page: its rows stand for the page that was asked for.
    assert one.advance(page("c"), NOW_S)
    full = Page([Raw(b"{}")], "d")
    assert one.constants(full) == {"page": "b", "next_page": "d"}
    assert not one.advance(full, NOW_S)
