"""Long ranges are cut once their first page tells how long they are; no row is lost or doubled by it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.ranges import US
from cio_fdw.splitting import LONG_PAGES, MAX_PARTS, split
from cio_fdw.windows import DAY_S
from tests.unit.scan_world import NOW_S, Messages, World, world_of

DENSE = list(range(9999, 9899, -1))
"""A first page that covers a hundred seconds of ten thousand."""


def cut(created_s: list[int], pages: Any = None, width: int = 3) -> list[tuple[int, int]]:
    return [(part.low_s, part.high_s) for part in split(0, 9999, created_s=created_s, pages=pages, width=width)]


@pytest.mark.parametrize("created_s", [DENSE, [9999 - s for s in DENSE]])
def test_a_long_range_in_the_order_of_time_is_cut(created_s: list[int]) -> None:
    parts = cut(created_s)
    assert len(parts) == 3
    assert parts[0][1] == 9999
    assert parts[-1][0] == 0
    assert all(earlier[0] == later[1] + 1 for earlier, later in zip(parts, parts[1:]))


@pytest.mark.parametrize(
    ("first_s", "width", "count"), [(100, 2, 4), (100, 3, 3), (40, 3, 9), (1, 3, MAX_PARTS), (1, 20, 20)]
)
def test_parts_are_as_many_as_are_read_at_once_or_a_multiple(first_s: int, width: int, count: int) -> None:
    assert len(cut([9999, 9999 - first_s], width=width)) == count


@pytest.mark.parametrize(
    ("created_s", "pages", "width"),
    [
        (DENSE, None, 1),
        ([5, 9000, 17], None, 3),
        ([], None, 3),
        ([9999, 9999 - int(10_000 / LONG_PAGES) - 10], None, 3),
        (DENSE, 60.0, 3),
    ],
)
def test_what_is_not_cut(created_s: list[int], pages: Any, width: int) -> None:
    assert cut(created_s, pages, width) == []


def test_a_part_that_holds_far_more_than_expected_is_cut_again() -> None:
    assert len(cut(DENSE, pages=8.0)) > 1


orders = st.sampled_from(("newest", "oldest", "shuffled"))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(NOW_S - 170 * DAY_S, NOW_S) | st.integers(NOW_S - 9000, NOW_S - 8900), max_size=150),
    st.integers(1, 4),
    st.integers(2, 4),
    orders,
)
def test_every_row_comes_once_in_any_order_of_the_api(
    created_s: list[int], page_size: int, width: int, order: str
) -> None:
    world = world_of(Messages(created_s, order=order), max_concurrency=width)
    made = world.plan("messages", ("created", ">=", (NOW_S - 171 * DAY_S) * US), page_size=str(page_size))
    assert Counter(world.rows(made)) == Counter((f"m{i}",) for i in range(len(created_s)))


def scanned(created_s: list[int], page_size: int = 10) -> World:
    world = world_of(Messages(created_s), max_concurrency=3)
    world.fetcher.delay_s = 0.001
    rows = world.rows(world.plan("messages", ("created", ">=", (NOW_S - 179 * DAY_S) * US), page_size=str(page_size)))
    assert len(rows) == len(created_s)
    return world


def test_cutting_costs_few_requests() -> None:
    """At most a tenth more than the rows fill pages, for even and for uneven traffic."""
    even = [NOW_S - 10 - i * 15_000 for i in range(1000)]
    bursts = [NOW_S - 10 - day * 13 * DAY_S - i for day in range(10) for i in range(100)]
    for created_s in (even, bursts):
        assert len(scanned(created_s).targets) <= 110 + 1
    assert scanned(even).fetcher.most_in_flight == 3


def test_a_record_without_a_time_is_no_reason_to_fail() -> None:
    world = world_of(Messages([NOW_S - 100 - i for i in range(30)]), max_concurrency=3)
    handler = world.fetcher.handler

    def odd(path: str, params: dict[str, str]) -> Any:
        body = handler(path, params)
        return {**body, "messages": [{**row, "created": "soon"} for row in body["messages"]]}

    world.fetcher.handler = odd
    made = world.plan("messages", ("created", ">=", (NOW_S - 179 * DAY_S) * US), page_size="5")
    assert len(world.rows(made)) == 30
