"""A walk goes on in the list of a narrower range: each row comes once, whatever cursors and the order are like."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.endpoint import Window
from cio_fdw.errors import RecordError
from cio_fdw.joining import Joint, Place
from cio_fdw.ranges import US
from cio_fdw.request import Request
from cio_fdw.traffic import Budget
from cio_fdw.windows import DAY_S
from tests.unit.scan_world import NOW_S, Messages, World, world_of

LIST = Request("/v1/messages")
WINDOW = Window("created", "start_ts", "end_ts", kept_days=180, max_days=180)
EVEN = [NOW_S - 100 - i * 14_000 for i in range(1000)]


@pytest.mark.parametrize(
    ("came", "keys", "is_last", "again"),
    [
        pytest.param("", "cde", False, 0, id="behind them"),
        pytest.param("", "", True, 0, id="nothing more"),
        pytest.param("ab", "abcd", False, 2, id="the same and more"),
        pytest.param("ab", "ab", True, 2, id="the same"),
        pytest.param("xab", "abc", False, 2, id="from the latest page on"),
        pytest.param("xab", "xa", False, 2, id="pushed back by new rows, and more to come"),
        pytest.param("xab", "xa", True, None, id="one is missing"),
        pytest.param("ab", "acb", False, None, id="one came between"),
        pytest.param("ab", "cd", False, None, id="another place"),
        pytest.param("ab", "", True, None, id="no rows"),
    ],
)
def test_overlap(came: str, keys: str, is_last: bool, again: Optional[int]) -> None:
    assert Joint(LIST, (0, 9), "c", list(came)).overlap(list(keys), is_last=is_last, is_whole=False) == again


def test_in_a_list_that_does_not_shift_all_rows_of_the_page_must_come_again() -> None:
    joint = Joint(LIST, (0, 9), "c", ["x", "a", "b"])
    assert joint.overlap(["a", "b", "c"], is_last=False, is_whole=True) == 2
    assert joint.overlap(["a"], is_last=False, is_whole=True) is None


def scanned(created_s: list[int], page_size: int, width: int = 3, **options: Any) -> World:
    """A scan of all of them, newest or not; each must come once."""
    world = world_of(Messages(created_s, **options), max_concurrency=width)
    made = world.plan("messages", ("created", ">=", (NOW_S - 171 * DAY_S) * US), page_size=str(page_size))
    rows = Counter(world.rows(made))
    assert max(rows.values(), default=1) == 1
    assert set(rows) >= {(f"m{i}",) for i in range(len(created_s))}
    return world


def joints(world: World) -> list[str]:
    """Of requests that bring a cursor to another list, the targets."""
    found, lists = [], set()
    for target in world.targets:
        list_, _, cursor = target.partition("&start=")
        if cursor and list_ not in lists:
            found.append(target)
        lists.add(list_)
    return found


def place(budget: Budget, *, shifts: bool = False) -> Place:
    return Place(LIST, (WINDOW, "start"), (0, 999), budget, shifts=shifts)


def read(walked: Place, keys: Optional[str], times_s: list[int], following: str) -> Optional[list[bool]]:
    """An answer, which is not the last."""
    fresh = walked.sift(len(times_s), list(keys) if keys else None, times_s, is_last=False)
    walked.follow(following)
    return fresh


def test_what_did_not_hold_for_one_walk_is_not_tried_by_another() -> None:
    budget = Budget()
    one, other = place(budget), place(budget)
    for walked in (one, other):
        read(walked, "ab", [900, 899], "c2")
        walked.range_s = (890, 999)
    read(one, "xd", [895, 800], "c4")
    assert "start_ts=890" in one.request().target
    budget.joins = False
    read(other, None, [898, 700], "c4")
    read(other, None, [699, 698], "c6")
    assert one.sift(2, ["x", "w"], [895, 891], is_last=False) == [False, True]
    assert other.request() == LIST.with_param("start", "c6")


def test_a_list_that_shifts_is_not_over_where_its_first_row_comes_again() -> None:
    budget = Budget()
    budget.joins = True
    walked = place(budget, shifts=True)
    read(walked, "a", [900], "c1")
    walked.range_s = (500, 999)
    assert walked.request().target == "/v1/messages?start_ts=500&end_ts=999"
    assert walked.sift(2, ["n", "a"], [999, 900], is_last=False) is not None
    assert not walked.is_over


@pytest.mark.parametrize("created", [None, "soon"])
def test_a_row_that_may_be_of_any_part_is_an_error(created: Optional[str]) -> None:
    world = world_of(Messages(EVEN, cursors="refused"), max_concurrency=3)
    handler = world.fetcher.handler

    def odd(path: str, params: dict[str, str]) -> Any:
        body = handler(path, params)
        late = len(world.targets) > 12
        return {**body, "messages": [{**row, "created": created} if late else row for row in body["messages"]]}

    world.fetcher.handler = odd
    with pytest.raises(RecordError) as caught:
        world.rows(world.plan("messages", ("created", ">=", (NOW_S - 171 * DAY_S) * US), page_size="10"))
    assert "created" in caught.value.message


many = st.lists(
    st.integers(NOW_S - 170 * DAY_S, NOW_S - 9) | st.integers(NOW_S - 9_000_000, NOW_S - 8_999_000), max_size=400
)


@settings(max_examples=150, deadline=None)
@given(
    many,
    st.integers(1, 7),
    st.integers(2, 5),
    st.fixed_dictionaries(
        {
            "order": st.sampled_from(("newest", "oldest", "nearly", "shuffled")),
            "cursors": st.sampled_from(("positional", "after", "bound", "refused", "lost")),
        }
    )
    | st.fixed_dictionaries({"arriving": st.integers(1, 3)}),
)
def test_every_row_comes_once_whatever_cursors_are_like(
    created_s: list[int], page_size: int, width: int, options: dict[str, Any]
) -> None:
    scanned(created_s, page_size, width, **options)


@pytest.mark.parametrize("cursors", ["positional", "after"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_no_page_is_read_again_but_one(cursors: str, order: str) -> None:
    world = scanned(EVEN, 10, cursors=cursors, order=order)
    assert len(world.targets) <= 110
    assert len(joints(world)) >= 2
    assert world.stats.rows == 1000


@pytest.mark.parametrize(("cursors", "most"), [("bound", 3), ("refused", 1), ("lost", 3)])
def test_where_cursors_do_not_lead_on_no_more_is_cut(cursors: str, most: int) -> None:
    world = scanned(EVEN, 10, cursors=cursors)
    assert 1 <= len(joints(world)) <= most
    # The list is read to its end, beside the parts of it that were begun.
    assert len(world.targets) <= 240
