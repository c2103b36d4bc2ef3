"""Long ranges are cut once their first page tells how long they are; no row is lost or doubled by it."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.ranges import US
from cio_fdw.splitting import LATE_PAGES, LONG_PAGES, MAX_PARTS, MAX_PROBES, Part, Seen
from cio_fdw.traffic import Budget, Traffic
from cio_fdw.windows import DAY_S
from tests.unit import virtual_time
from tests.unit.scan_world import NOW_S, Messages, World, world_of

DENSE = list(range(9999, 9899, -1))
"""A first page that covers a hundred seconds of ten thousand."""


def seen(*pages: list[int], expected: Optional[float] = None, traffic: Optional[Traffic] = None) -> Seen:
    """What these pages show of the range from 0 to 9999."""
    found = Seen(0, 9999, expected, traffic=traffic)
    for page in pages:
        found.note(page, is_last=False)
    return found


def cut(found: Seen, others: Any = (), width: int = 3, **options: Any) -> list[Part]:
    """`others`: pages that other walks have left."""
    return found.parts([Seen(0, 9, pages) for pages in others], width, **options)


def begun(budget: Budget, pages: int = 100) -> Traffic:
    """Of a scan of which so many pages came."""
    budget.came += pages
    return Traffic(budget)


@pytest.mark.parametrize("created_s", [DENSE, [9999 - s for s in DENSE]])
@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_long_range_in_the_order_of_time_is_cut(created_s: list[int], width: int) -> None:
    parts = cut(seen(created_s), width=width)
    assert len(parts) == width
    assert parts[0].high_s == 9999
    assert parts[-1].low_s == 0
    assert all(earlier.low_s == later.high_s + 1 for earlier, later in zip(parts, parts[1:]))
    assert sum(part.pages for part in parts) == pytest.approx(100, rel=0.02)


def test_what_is_newest_may_be_kept_short() -> None:
    newest, *rest = cut(seen(DENSE), newest=16.0)
    assert newest.pages == pytest.approx(16)
    assert [part.pages for part in rest] == pytest.approx([28, 28, 28], rel=0.02)


def test_there_are_never_too_many_parts() -> None:
    assert len(cut(seen(list(range(9999, 9939, -1))), width=40)) == MAX_PARTS


def test_of_one_page_that_is_very_dense_little_is_believed() -> None:
    newest, *rest = cut(seen([9999, 9998]), width=12)
    assert newest.pages == 16
    assert len(rest) <= 2


@pytest.mark.parametrize(
    ("pages", "others", "width"),
    [
        pytest.param([DENSE], (), 1, id="one at a time"),
        pytest.param([[5, 9000, 17]], (), 3, id="no order"),
        pytest.param([[]], (), 3, id="no rows"),
        pytest.param([DENSE, [9950]], (), 3, id="order within pages only"),
        pytest.param([[9999, 9999 - int(10_000 / LONG_PAGES) - 10]], (), 3, id="short"),
        pytest.param([DENSE], (99.0, 99.0), 3, id="no longer than the others"),
        pytest.param([[9999, 9000], [8999, 8960]], (), 3, id="rising density"),
    ],
)
def test_what_is_not_cut(pages: list[list[int]], others: Any, width: int) -> None:
    assert cut(seen(*pages), others, width) == []


def test_a_short_scan_is_cut_in_two_at_most() -> None:
    """A third part of sixteen pages would cost more than a tenth of them."""
    assert len(cut(seen(list(range(9999, 9375, -1))))) == 2


def test_one_far_longer_than_the_others_is_cut_at_its_beginning() -> None:
    assert len(cut(seen(DENSE, expected=90.0, traffic=begun(Budget())), others=(20.0, 20.0))) == 2


def test_one_that_has_read_much_is_not_cut() -> None:
    pages = [list(range(9999 - 10 * i, 9989 - 10 * i, -1)) for i in range(LATE_PAGES + 1)]
    assert cut(seen(*pages[:3], expected=900.0, traffic=begun(Budget())))
    assert cut(seen(*pages, expected=900.0, traffic=begun(Budget(), 1000))) == []


def test_where_rows_lie_densely_a_few_pages_are_cut_off() -> None:
    """What is far denser than what lies beyond need not go on to the end of its range."""
    traffic = begun(Budget(), 10)
    traffic.note(-1, 0.001)
    newer, older = cut(seen([9999, 9990], expected=2.0, traffic=traffic))
    assert newer.high_s - newer.low_s < 300
    assert older == Part(0, newer.low_s - 1, older.pages)


def test_a_burst_of_a_second_or_two_is_not_cut() -> None:
    """No part may be empty: its request would end before it begins."""
    traffic = begun(Budget(), 1000)
    traffic.note(4999, 0.12)
    found = Seen(5000, 5001, 30.0, traffic=traffic)
    for _ in range(LATE_PAGES):
        found.note([5001, 5001], is_last=False)
    assert found.is_long(share=1.0)
    assert cut(found) == []
    found = Seen(5000, 5000, 30.0, traffic=traffic)
    for _ in range(LATE_PAGES):
        found.note([5000, 5000], is_last=False)
    assert cut(found) == []


def test_what_cutting_costs_is_bounded() -> None:
    budget = Budget()
    cuts = [bool(cut(seen(DENSE, expected=90.0, traffic=Traffic(budget)))) for _ in range(50)]
    assert 1 <= sum(cuts) < 10


SPARSE_THEN_DENSE = [[9999, 9500], [9499, 9000], [8999, 8500], [8499, 8490], [8489, 8480]]
"""Two pages of ten seconds each after three of five hundred."""


def test_a_probe_looks_where_a_cut_would_be_affordable_if_the_rows_go_on_like_this() -> None:
    traffic = Traffic()
    found = seen(*SPARSE_THEN_DENSE, expected=20.0, traffic=traffic)
    assert cut(found) == []
    second = found.probe_s(share=1.0)
    assert second is not None
    assert 8480 - 100 * 10 < second < 8480 - 20 * 10
    traffic.note(second, 0.1)
    parts = cut(found)
    assert parts[-1].high_s == second, "what lies beyond the probe is a part of its own"


def test_after_probes_that_found_nothing_the_cursor_is_followed() -> None:
    traffic = Traffic()
    found = seen(*SPARSE_THEN_DENSE, expected=20.0, traffic=traffic)
    for _ in range(MAX_PROBES):
        if (second := found.probe_s(share=1.0)) is not None:
            traffic.note(second, 0.0001)
    assert found.probe_s(share=1.0) is None
    assert cut(found) == []


@pytest.mark.parametrize(
    ("pages", "share"),
    [
        pytest.param([DENSE], 1.0, id="all that is known"),
        pytest.param(SPARSE_THEN_DENSE, 10_000.0, id="no longer than the others"),
    ],
)
def test_what_is_not_probed(pages: list[list[int]], share: float) -> None:
    assert seen(*pages).probe_s(share) is None


NEW_S = NOW_S - 10
SPAN_S = virtual_time.REACH_S - 20


def spread(rows: int) -> list[int]:
    return [NEW_S - i * SPAN_S // rows for i in range(rows)]


def burst(rows: int, days_ago: int) -> list[int]:
    """A tenth of the rows in half a year, the others within two hours."""
    return spread(rows // 10) + [NEW_S - days_ago * DAY_S - i * 7200 // rows for i in range(rows * 9 // 10)]


def blasts(rows: int) -> list[int]:
    return [NEW_S - (i % 12) * SPAN_S // 12 - DAY_S - i * 600 // rows for i in range(rows)]


def growing(rows: int) -> list[int]:
    """Twice as many each month as in the one before."""
    return [NEW_S - int(-math.log2(1 - i / rows) * 30 * DAY_S) % SPAN_S for i in range(rows)]


def shrinking(rows: int) -> list[int]:
    return [NEW_S - SPAN_S + (NEW_S - second) for second in growing(rows)]


TRAFFIC = {
    "even": spread(28_000),
    "new burst": burst(28_000, 5),
    "burst": burst(28_000, 80),
    "old burst": burst(28_000, 170),
    "blasts": blasts(28_000),
    "growing": growing(28_000),
    "shrinking": shrinking(28_000),
}


@pytest.mark.parametrize("traffic", TRAFFIC)
def test_requests_are_busy_whatever_the_traffic(traffic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For 280 pages at most a tenth more requests, and not much longer than the limit demands.

    One after the other they would take 70 seconds. Of a burst of two hours it is learnt late how long it is.
    """
    created_s = TRAFFIC[traffic]
    pages = -(-len(created_s) // virtual_time.PAGE_ROWS)
    outcome = virtual_time.scanned(created_s, monkeypatch)
    assert Counter(outcome.ids) == Counter(str(i) for i in range(len(created_s)))
    assert outcome.requests <= 1.1 * pages
    assert outcome.seconds <= (1.6 if traffic.endswith("burst") else 1.2) * pages / virtual_time.RATE


def asked(traffic: str, monkeypatch: pytest.MonkeyPatch, *, is_cached: bool) -> set[frozenset[str]]:
    """What scans of the same messages ask for, of which each meets other latencies."""
    found = set()
    for seed in range(4):
        draw = random.Random(seed).random
        outcome = virtual_time.scanned(
            TRAFFIC[traffic], monkeypatch, latency=lambda draw=draw: 0.1 + 0.4 * draw(), is_cached=is_cached
        )
        found.add(frozenset(outcome.targets))
    return found


@pytest.mark.parametrize("traffic", TRAFFIC)
def test_where_answers_are_kept_ranges_are_cut_the_same_way_again(
    traffic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(asked(traffic, monkeypatch, is_cached=True)) == 1


def test_where_none_are_kept_they_are_cut_as_the_answers_come(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(len(asked(traffic, monkeypatch, is_cached=False)) > 1 for traffic in TRAFFIC)


def test_with_one_at_a_time_no_page_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = virtual_time.scanned(TRAFFIC["burst"], monkeypatch, width=1)
    assert len(set(outcome.ids)) == len(outcome.ids) == len(TRAFFIC["burst"])
    assert outcome.requests <= len(outcome.ids) / virtual_time.PAGE_ROWS + 2


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
        assert len(scanned(created_s).targets) <= 115
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


@pytest.mark.parametrize("first_day", range(7))
def test_days_that_are_unlike_others_are_not_taken_for_all(first_day: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two days of the week have an hour with two or three times as many messages as all of another day."""
    created_s: list[int] = []
    for day in range(178):
        rows, until_s = (126, 46, 47, 129, 31, 20, 28)[(day + first_day) % 7], NOW_S - 60 - day * DAY_S
        usual = min(rows, 40)
        created_s += [until_s - i * DAY_S // usual for i in range(usual)]
        created_s += [until_s - DAY_S // 3 - i * 3600 // (rows - usual) for i in range(rows - usual)]
    outcome = virtual_time.scanned(created_s, monkeypatch)
    assert Counter(outcome.ids) == Counter(map(str, range(len(created_s))))
    assert outcome.requests <= 1.1 * math.ceil(len(created_s) / virtual_time.PAGE_ROWS)
