"""Plans carried out over a fake API: every row exactly once, and no request too many."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.cutting import OPEN_PAGES
from cio_fdw.errors import ServerError, Where
from cio_fdw.lanes import Stop
from cio_fdw.ranges import US
from cio_fdw.scan import SMALL_BYTES, scan
from cio_fdw.walk import MAX_OPEN_PAGES
from cio_fdw.windows import DAY_S, FREEZE_LAG_S
from tests.unit.scan_world import NOW_S, Messages, World, lane_threads, world_of


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert lane_threads() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(NOW_S - 180 * DAY_S, NOW_S) | st.integers(NOW_S - 4, NOW_S), max_size=40),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_every_row_comes_exactly_once(created_s: list[int], page_size: int, max_concurrency: int) -> None:
    world = world_of(Messages(created_s), max_concurrency=max_concurrency)
    made = world.plan("messages", ("created", ">=", (NOW_S - 190 * DAY_S) * US), page_size=str(page_size))
    expected = {(f"m{i}",) for i, second in enumerate(created_s) if second >= NOW_S - 190 * DAY_S}
    assert Counter(world.rows(made)) == Counter(expected)
    assert world.stats.rows == len(expected)
    assert world.stats.pages == len(world.targets)
    assert world.fetcher.most_in_flight <= max_concurrency


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(NOW_S - 10, NOW_S), max_size=25), st.integers(1, 6), st.integers(0, 3), st.integers(1, 4))
def test_rows_arriving_during_the_scan_disturb_nothing(
    created_s: list[int], page_size: int, arriving: int, max_concurrency: int
) -> None:
    world = world_of(Messages(created_s, arriving), max_concurrency=max_concurrency)
    made = world.plan("messages", ("created", ">=", (NOW_S - 60) * US), page_size=str(page_size))
    seen = Counter(world.rows(made))
    assert set(seen.values()) <= {1}
    assert {(f"m{i}",) for i in range(len(created_s))} <= set(seen)


@pytest.mark.parametrize("ago_s", [0, 3600], ids=["newer than all that is frozen", "frozen"])
def test_a_short_open_range_is_read_by_its_cursor(ago_s: int) -> None:
    world = world_of(Messages([NOW_S - ago_s] * 7))
    made = world.plan("messages", ("created", ">=", (NOW_S - ago_s) * US), page_size="2")
    assert world.rows(made) == [(f"m{i}",) for i in range(6, -1, -1)]
    first = f"/v1/messages?start_ts={NOW_S - ago_s}&limit=2"
    assert world.targets == [first, *(f"{first}&start=v20%3A{offset}" for offset in (2, 4, 6))]


def test_the_newest_part_of_an_open_range_that_is_cut_stays_open() -> None:
    world = world_of(Messages([NOW_S - 60 * i for i in range(400)]))
    made = world.plan("messages", ("created", ">=", (NOW_S - 24_000) * US), page_size="10")
    assert Counter(world.rows(made)) == Counter((f"m{i}",) for i in range(400))
    open_ = {target.partition("&start=")[0] for target in world.targets if "end_ts" not in target}
    assert len(open_) == 2, "the whole range, and its newest part"
    assert len(world.targets) <= 40 + 4


def test_a_long_open_range_becomes_a_frozen_one_and_what_is_newer() -> None:
    """As the keys of its rows are held, even where one request is under way at a time."""
    world = world_of(Messages([NOW_S - 60 * i for i in range(2000)]), max_concurrency=1)
    made = world.plan("messages", ("created", ">=", (NOW_S - 120_000) * US), page_size="10")
    assert Counter(world.rows(made)) == Counter((f"m{i}",) for i in range(2000))
    assert len([target for target in world.targets if "end_ts" not in target]) <= OPEN_PAGES + 1
    assert len(world.targets) <= 200 + 2


def test_an_open_range_in_no_order_of_time_is_read_by_its_cursor() -> None:
    world = world_of(Messages([NOW_S - i for i in range(600)], order="shuffled"))
    made = world.plan("messages", ("created", ">=", (NOW_S - 600) * US), page_size="200")
    assert Counter(world.rows(made)) == Counter((f"m{i}",) for i in range(600))
    assert [target for target in world.targets if "start=" not in target] == [
        f"/v1/messages?start_ts={NOW_S - 600}&limit=200"
    ]
    assert len(world.targets) == 3


def test_a_range_that_grows_as_fast_as_it_is_read_ends() -> None:
    world = world_of(Messages([NOW_S] * 3, arriving=2), max_concurrency=1)
    seen = Counter(world.rows(world.plan("messages", ("created", ">=", NOW_S * US), page_size="2")))
    assert set(seen.values()) == {1}
    assert {("m0",), ("m1",), ("m2",)} <= set(seen)
    open_ = [target for target in world.targets if "end_ts" not in target]
    assert len(open_) == MAX_OPEN_PAGES
    assert len(world.targets) <= 2 * MAX_OPEN_PAGES + 15


def test_a_range_is_not_asked_for_as_frozen_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(Messages([NOW_S] * (MAX_OPEN_PAGES + 1)), max_concurrency=1)
    waits_s: list[float] = []
    monkeypatch.setattr(Stop, "sleep", lambda _stop, seconds: waits_s.append(seconds))
    tools = replace(world.tools, clock=lambda: float(NOW_S))
    made = world.plan("messages", ("created", ">=", NOW_S * US), page_size="1")
    assert sum(map(len, scan(made, tools))) == MAX_OPEN_PAGES + 1
    # As this clock stands still, each request of the frozen range waits; those of the open one wait for nothing.
    assert [wait_s for wait_s in waits_s if wait_s] == [FREEZE_LAG_S] * (MAX_OPEN_PAGES + 1)


def test_nothing_is_sent_before_the_first_batch_is_asked_for() -> None:
    world = world_of(Messages([NOW_S - 9]))
    batches = scan(world.plan("messages"), world.tools)
    time.sleep(0.02)
    assert world.targets == []
    batches.close()  # type: ignore[attr-defined]
    assert world.targets == []


def test_a_limit_costs_one_request() -> None:
    world = world_of(Messages([NOW_S - 9] * 50))
    made = world.plan("messages", ("created", ">=", (NOW_S - 60) * US), page_size="5")
    batches = scan(made, world.tools)
    assert len(next(batches)) == 5
    batches.close()  # type: ignore[attr-defined]
    assert len(world.targets) == 1


def test_the_width_grows_with_the_appetite_up_to_the_limit() -> None:
    world = world_of(Messages(list(range(NOW_S - 183 * DAY_S, NOW_S - DAY_S, DAY_S))), max_concurrency=3)
    world.fetcher.delay_s = 0.01
    made = world.plan("messages", page_size="2")
    assert len(made.chains) == 2
    batches = scan(made, world.tools)
    next(batches)
    assert world.fetcher.most_in_flight == 1
    assert sum(len(batch) for batch in batches) == 182 - 2
    assert world.fetcher.most_in_flight == 3


@pytest.mark.parametrize(
    ("size_bytes", "expected"), [(10, [3, 8, 15, 15, 15, 5]), (SMALL_BYTES + 1, [3, 8, 9, 9, 9, 9, 9, 5])]
)
def test_rounds_are_longer_where_pages_are_small(size_bytes: int, expected: list[int]) -> None:
    """What is asked for until rows are given: up to three or five pages for each request that may be under way."""

    def answer(path: str, _params: dict[str, str]) -> Any:
        if path == "/v1/campaigns":
            return {"campaigns": [{"id": number} for number in range(1, 61)]}
        return {"actions": [{"id": "1", "name": "x" * size_bytes}]}

    world = World(answer)
    asked = [0] + [len(world.targets) for _ in scan(world.plan("campaign_actions"), world.tools)] + [len(world.targets)]
    rounds = [after - before for before, after in zip(asked, asked[1:]) if after > before]
    assert rounds == expected


def test_empty_pages_give_no_batch() -> None:
    world = world_of(Messages([]))
    assert list(scan(world.plan("messages"), world.tools)) == []
    assert len(world.targets) == 2


def test_a_plan_without_requests_gives_no_row_and_starts_no_thread() -> None:
    world = world_of(Messages([NOW_S]))
    assert world.rows(world.plan("messages", ("id", "=", None))) == []
    assert world.targets == []


def test_rows_that_begin_to_match_while_a_frozen_range_is_read_double_none() -> None:
    """The filter of trust_metric_filter is on what happens after a message was created."""
    messages = [{"id": f"m{i}", "created": NOW_S - 3600 - i} for i in range(6)]
    opened = [messages[i] for i in (1, 2, 3, 4)]

    def api(_path: str, params: dict[str, str]) -> dict[str, object]:
        assert params["metric"] == "opened"
        begin = int(params.get("start", 0))
        found = (opened if not begin else messages)[begin : begin + 2]
        return {"messages": found, "next": str(begin + 2) if begin + 2 < 6 else ""}

    world = World(api)
    made = world.plan(
        "messages",
        ("created", ">=", (NOW_S - 7200) * US),
        ("created", "<", (NOW_S - 60) * US),
        ("opened", "is not null", None),
        page_size="2",
        trust_metric_filter="true",
    )
    assert sorted(world.rows(made)) == [("m1",), ("m2",), ("m3",), ("m4",), ("m5",)]


def test_a_failure_ends_the_other_requests_before_rows_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(Messages([NOW_S - 3600 - i * DAY_S for i in range(170)]))
    numbers, fetch, hanging = itertools.count(), world.fetcher.fetch, []

    def fetch_some(stop: Stop, where: Where, target: str, *args: Any, **kwargs: Any) -> Any:
        number = next(numbers)
        if number == 4:
            raise ServerError(where, status=500)
        if number > 4:
            hanging.append(target)
            try:
                stop.sleep(5)
            finally:
                hanging.remove(target)
        return fetch(stop, where, target, *args, **kwargs)

    monkeypatch.setattr(world.fetcher, "fetch", fetch_some)
    under_way: list[int] = []
    with pytest.raises(ServerError):
        under_way += (len(hanging) for _ in scan(world.plan("messages", page_size="10"), world.tools))
    assert under_way
    assert set(under_way) == {0}
