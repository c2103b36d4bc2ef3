"""Readers that take rows while requests are under way: what they are told, and when."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.errors import Interrupted, ServerError, Where
from cio_fdw.ranges import US
from cio_fdw.scan import IDLE_PAGE_S, scan
from cio_fdw.windows import DAY_S
from tests.unit.scan_world import NOW_S, Messages, World, lane_threads, world_of

DAYS = list(range(NOW_S - 100 * DAY_S, NOW_S, DAY_S // 4))
"""400 messages."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert lane_threads() == []


def slow(**changes: Any) -> World:
    """Messages in pages of ten, of which each takes a while."""
    world = world_of(Messages(DAYS), **changes)
    world.fetcher.delay_s = 0.02
    return world


def wanted(world: World) -> Any:
    return world.plan("messages", ("created", ">=", (NOW_S - 101 * DAY_S) * US), page_size="10")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(NOW_S - 180 * DAY_S, NOW_S) | st.integers(NOW_S - 4, NOW_S), max_size=40),
    st.integers(1, 9),
    st.integers(1, 4),
    st.lists(st.floats(0, 0.2), min_size=1, max_size=6),
)
def test_the_rows_are_the_same(created_s: list[int], page_size: int, max_concurrency: int, idle_s: list[float]) -> None:
    world = world_of(Messages(created_s), max_concurrency=max_concurrency)
    world.tools.idle_s = itertools.accumulate(itertools.cycle(idle_s)).__next__
    made = world.plan("messages", page_size=str(page_size))
    found = [row for batch in scan(made, world.tools, reads_ahead=True) for row in batch]
    assert Counter(found) == Counter((f"m{i}",) for i in range(len(created_s)))
    assert world.stats.pages == len(world.targets)


def test_rows_come_while_requests_are_under_way_and_an_empty_batch_when_none_is() -> None:
    world = slow()
    at_work = []

    @contextmanager
    def working() -> Iterator[None]:
        at_work.append(True)
        yield
        at_work.clear()

    world.tools.at_work = working
    batches = [
        (len(batch), bool(at_work), world.fetcher.in_flight)
        for batch in scan(wanted(world), world.tools, reads_ahead=True)
    ]
    assert sum(rows for rows, _, _ in batches) == len(DAYS)
    assert {under_way for _, kept, under_way in batches if not kept} == {0}
    assert sum(under_way > 0 for _, kept, under_way in batches if kept) > 3
    assert {before[1] for before, (rows, kept, _) in zip(batches, batches[1:]) if not rows} == {True}
    assert {rows for before, (rows, kept, _) in zip(batches, batches[1:]) if before[1] and not kept} == {0}
    assert batches[0] == (10, False, 0), "the first page alone"
    assert not batches[-1][1]


@pytest.mark.parametrize("idle_s", [0.0, IDLE_PAGE_S / 2])
def test_rows_wait_for_the_requests_where_these_leave_no_time(idle_s: float) -> None:
    """`idle_s` of a round, which has one page or more."""
    world = slow()
    world.tools.idle_s = itertools.accumulate(itertools.repeat(idle_s)).__next__
    batches = [(len(batch), world.fetcher.in_flight) for batch in scan(wanted(world), world.tools, reads_ahead=True)]
    assert {under_way for _, under_way in batches} == {0}
    assert all(rows for rows, _ in batches)


def test_a_serial_walk_asks_for_the_next_page_while_rows_are_read() -> None:
    world = slow(max_concurrency=1)
    busy = []
    for batch in scan(wanted(world), world.tools, reads_ahead=True):
        time.sleep(0.005)  # the worker begins
        if batch:
            busy.append(world.fetcher.in_flight)
    assert sum(busy) > len(busy) / 2
    assert world.fetcher.most_in_flight == 1


def test_another_reader_has_rows_only_when_no_request_is_under_way() -> None:
    world = slow()
    batches = [(len(batch), world.fetcher.in_flight) for batch in scan(wanted(world), world.tools)]
    assert {under_way for _, under_way in batches} == {0}
    assert all(rows for rows, _ in batches)


def test_an_error_comes_once_the_reader_may_have_the_rows_before_it() -> None:
    messages = Messages(DAYS)

    def api(path: str, params: dict[str, str]) -> Any:
        if len(world.targets) > 3:
            raise ServerError(Where("messages", path), status=500)
        return messages(path, params)

    world = World(api)
    batches = scan(wanted(world), world.tools, reads_ahead=True)
    seen: list[tuple[int, int]] = []
    with pytest.raises(ServerError):
        seen += ((len(batch), world.fetcher.in_flight) for batch in batches)
    assert sum(rows for rows, _ in seen) >= 10
    assert seen[-1][1] == 0
    assert lane_threads() == []


def test_an_interrupt_between_two_batches_ends_it() -> None:
    world = slow()
    batches = scan(wanted(world), world.tools, reads_ahead=True)
    assert len(next(batches)) == 10
    world.host.interrupt_after = 0
    with pytest.raises(Interrupted):
        next(batches)


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 9])
def test_the_end_comes_at_any_time(taken: int) -> None:
    world = slow()
    batches = scan(wanted(world), world.tools, reads_ahead=True)
    for _ in range(taken):
        next(batches)
    batches.close()
    assert lane_threads() == []
    assert world.fetcher.in_flight == 0
