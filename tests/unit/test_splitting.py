"""How long a walk still is, and where it is cut; scans of any traffic keep requests busy and cost few more."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.ranges import US
from cio_fdw.splitting import Cut, Seen
from cio_fdw.traffic import Budget, Traffic
from cio_fdw.windows import DAY_S
from tests.unit import virtual_time
from tests.unit.scan_world import NOW_S, Messages, World, world_of

DENSE = list(range(9999, 9899, -1))
"""A first page that covers a hundred seconds of ten thousand."""
RISING = [9999 - second for second in DENSE]


def seen(*pages: list[int], expected: Optional[float] = None, traffic: Optional[Traffic] = None) -> Seen:
    """What these pages show of the range from 0 to 9999."""
    found = Seen(0, 9999, expected, traffic=traffic)
    for page in pages:
        found.note(page, is_last=False)
        if page:
            found.reaches(min(page), max(page))
    return found


@pytest.mark.parametrize("share", [0.5, 0.25])
@pytest.mark.parametrize(("created_s", "falls"), [(DENSE, True), (RISING, False)])
def test_so_much_is_kept_of_a_range_in_the_order_of_time(created_s: list[int], falls: bool, share: float) -> None:
    cut = seen(created_s).cut(share)
    assert cut is not None
    assert cut.pages == pytest.approx(99 * (1 - share), rel=0.02)
    kept_s = 9999 - 100 - cut.edge_s if falls else cut.edge_s - 100
    assert kept_s == pytest.approx(9900 * share, rel=0.02)


def test_what_is_under_way_is_left_out_of_account() -> None:
    cut = seen(DENSE).cut(0.5, ahead=9.0)
    assert cut is not None
    assert cut.pages == pytest.approx(45, rel=0.02)
    assert 9999 - 100 - cut.edge_s == pytest.approx(5400, rel=0.02)


def test_nothing_may_be_kept() -> None:
    assert seen(DENSE).cut(0.0) == Cut(9899, pytest.approx(99, rel=0.02))


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([[5, 9000, 17]], id="no order"),
        pytest.param([[]], id="no rows"),
        pytest.param([DENSE, [9950]], id="order within pages only"),
        pytest.param([], id="nothing known"),
    ],
)
def test_what_is_not_cut(pages: list[list[int]]) -> None:
    assert seen(*pages).cut(0.5) is None


def test_no_row_that_came_lies_beyond_a_cut() -> None:
    """The times that are shown are a sample: here one row is older than all of them."""
    found = Seen(0, 9999)
    found.note([9999, 9900], is_last=False)
    found.reaches(50, 9999)
    assert found.cut(0.5) == Cut(49, pytest.approx(49.5, rel=0.02))
    found.reaches(0, 9999)
    assert found.cut(0.5) is None


def test_one_that_was_not_begun_is_cut_by_what_others_show() -> None:
    traffic = Traffic()
    traffic.note(10_500, 0.01)
    cut = seen(expected=100.0, traffic=traffic).cut(0.5)
    assert cut is not None
    assert cut.edge_s == pytest.approx(5000, rel=0.02)


def test_where_rows_lie_densely_as_much_is_kept_as_came() -> None:
    """What is far denser than what lies beyond need not go on to the end of its range."""
    traffic = Traffic()
    traffic.note(-1, 0.001)
    traffic.budget.came = 19
    cut = seen([9999, 9990], expected=2.0, traffic=traffic).cut(0.5)
    assert cut is not None
    assert 9990 - cut.edge_s == pytest.approx(20 * 9, abs=5)


@pytest.mark.parametrize("second", [5000, 5001])
def test_a_burst_of_a_second_or_two_is_not_cut(second: int) -> None:
    """No part may be empty: its request would end before it begins."""
    traffic = Traffic()
    traffic.note(4999, 0.12)
    found = Seen(5000, second, 30.0, traffic=traffic)
    for _ in range(16):
        found.note([second, second], is_last=False)
        found.reaches(second, second)
    cut = found.cut(0.5)
    assert cut is None or cut.edge_s == 5000 < second


def test_what_cutting_costs_is_bounded() -> None:
    """A tenth of what came and is sure to come: half a page for each cut, and more as long as it is not known."""
    budget = Budget()
    budget.page(100)
    cuts = 0
    while budget.affords_a_cut(99.0, again=False):
        budget.cut(again=False, perhaps=False)
        cuts += 1
    assert 14 <= cuts < 20
    for _ in range(cuts):
        budget.end(100)  # full: they cost nothing
    assert not budget.affords_a_cut(0.0, again=False)
    assert budget.affords_a_cut(15.0, again=False)


def test_cuts_pay_for_finding_out_whether_cursors_lead_on() -> None:
    budget = Budget()
    budget.page(100)
    assert not budget.affords_a_cut(12.0, again=True)
    assert budget.affords_a_cut(12.0, again=False)
    budget.cut(again=True, perhaps=True)
    assert not budget.affords_a_cut(24.0, again=False)
    budget.joins = True
    assert budget.affords_a_cut(24.0, again=False)


def test_a_page_that_was_asked_for_again_is_paid_for() -> None:
    budget = Budget()
    budget.page(100)
    budget.joins = True
    budget.cut(again=True, perhaps=False)
    assert not budget.affords_a_cut(24.0, again=False)
    budget.joined(again=True, perhaps=False)
    assert not budget.affords_a_cut(24.0, again=False)
    assert budget.affords_a_cut(34.0, again=False)


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
    """For 280 pages at most a twentieth more requests, and not much longer than the limit demands.

    One after the other they would take 70 seconds. Of a burst of two hours it is learnt late how long it is.
    """
    created_s = TRAFFIC[traffic]
    pages = -(-len(created_s) // virtual_time.PAGE_ROWS)
    outcome = virtual_time.scanned(created_s, monkeypatch)
    assert Counter(outcome.ids) == Counter(str(i) for i in range(len(created_s)))
    assert outcome.requests <= 1.1 * pages
    assert outcome.seconds <= (1.6 if traffic.endswith("burst") else 1.2) * pages / virtual_time.RATE


@pytest.mark.parametrize("pages", range(50, 100, 5))
def test_even_traffic_of_any_length_costs_a_tenth_at_most(pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a cut falls: between two pages, too, where the page beyond it has no row that is wanted."""
    created_s = spread(pages * virtual_time.PAGE_ROWS)
    outcome = virtual_time.scanned(created_s, monkeypatch)
    assert Counter(outcome.ids) == Counter(map(str, range(len(created_s))))
    assert outcome.requests <= 1.1 * pages


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
    assert outcome.requests <= len(outcome.ids) / virtual_time.PAGE_ROWS + 3


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
