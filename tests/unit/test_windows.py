"""Time bounds to ranges of whole seconds, and those to frozen ranges and an open one."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cio_fdw.endpoint import Window
from cio_fdw.quals import UNKNOWN, Qual
from cio_fdw.ranges import US, Range, covering_range
from cio_fdw.windows import DAY_S, FREEZE_LAG_S, Windows, split

WINDOW = Window("created", "start_ts", "end_ts", max_days=180, kept_days=184)
NOW_S = 1_767_312_000
KEPT_FROM_S = NOW_S - 184 * DAY_S
FROZEN_END_S = NOW_S - FREEZE_LAG_S
MAX_S = 180 * DAY_S

seconds = st.integers(-5, 20)
instants = st.one_of(
    seconds.map(lambda s: s * US),
    st.builds(lambda s, us: s * US + us, seconds, st.sampled_from((1, 499_999, 999_999))),
    st.sampled_from((math.inf, -math.inf)),
)
quals_on_created = st.one_of(
    st.builds(Qual, st.just("created"), st.sampled_from(("=", "<", "<=", ">", ">=")), instants),
    st.builds(Qual, st.just("created"), st.just("in"), st.lists(instants, min_size=1, max_size=4).map(tuple)),
)


def holds(qual: Qual, value_us: int) -> bool:
    if qual.op == "in":
        return value_us in qual.value
    return {
        "=": value_us == qual.value,
        "<": value_us < qual.value,
        "<=": value_us <= qual.value,
        ">": value_us > qual.value,
        ">=": value_us >= qual.value,
    }[qual.op]


def inside(range_: Range, second: int) -> bool:
    low_s, high_s = range_.low_s, range_.high_s
    return not range_.empty and (low_s is None or low_s <= second) and (high_s is None or second <= high_s)


@settings(max_examples=200, deadline=None)
@given(st.lists(quals_on_created, max_size=4))
def test_every_matching_second_is_covered(quals: list[Qual]) -> None:
    wanted = covering_range(quals, "created")
    for second in range(-10, 30):
        if all(holds(qual, second * US) for qual in quals):
            assert inside(wanted, second)


lower_bounds = st.builds(Qual, st.just("created"), st.sampled_from((">", ">=")), st.integers(-5 * US, 7 * US))
upper_bounds = st.builds(Qual, st.just("created"), st.sampled_from(("<", "<=")), st.integers(10 * US, 20 * US))


@settings(max_examples=60, deadline=None)
@given(st.lists(lower_bounds | upper_bounds, max_size=4))
def test_the_range_is_no_wider_than_a_second_at_each_side(quals: list[Qual]) -> None:
    wanted = covering_range(quals, "created")
    matching_us = [us for us in range(-10 * US, 30 * US, US // 2) if all(holds(qual, us) for qual in quals)]
    if wanted.low_s is not None:
        assert wanted.low_s >= min(matching_us) / US - 1
    if wanted.high_s is not None:
        assert wanted.high_s <= max(matching_us) / US + 1


@settings(max_examples=200, deadline=None)
@given(st.lists(quals_on_created, max_size=3), st.sampled_from(("=", "<", "<=", ">", ">=", "in")))
def test_an_unknown_value_narrows_nothing_away(quals: list[Qual], op: str) -> None:
    known = covering_range(quals, "created")
    wanted = covering_range([*quals, Qual("created", op, UNKNOWN)], "created")
    assert wanted.empty == known.empty
    if not known.empty:
        assert wanted.low_s is UNKNOWN if op in ("=", ">", ">=", "in") else wanted.low_s == known.low_s
        assert wanted.high_s is UNKNOWN if op in ("=", "<", "<=", "in") else wanted.high_s == known.high_s


@pytest.mark.parametrize(
    ("quals", "low_s", "high_s"),
    [
        ([], None, None),
        ([(">=", 10 * US)], 10, None),
        ([(">", 10 * US)], 10, None),
        ([(">", 10 * US + 1)], 10, None),
        ([("<", 10 * US)], None, 10),
        ([("<=", 10 * US + 1)], None, 11),
        ([(">=", -1)], -1, None),
        ([("<=", -1)], None, 0),
        ([("=", 10 * US)], 10, 10),
        ([("=", 10 * US + 5)], 10, 11),
        ([("in", (30 * US, 10 * US + 5, 20 * US))], 10, 30),
        ([("in", (10 * US, UNKNOWN))], UNKNOWN, UNKNOWN),
        ([("in", (10 * US, None))], 10, 10),
        ([("in", (10 * US, math.inf))], 10, None),
        ([(">=", 20 * US), ("in", (10 * US, 30 * US))], 20, 30),
        ([("<=", 20 * US), ("in", (10 * US, 30 * US))], 10, 20),
        ([(">=", -math.inf), ("<=", math.inf)], None, None),
        ([(">=", 5 * US), (">", 10 * US), ("<", 30 * US), ("<", 20 * US)], 10, 20),
        ([("is not null", None), (">=", 5 * US)], 5, None),
    ],
)
def test_ranges(quals: list[tuple[str, Any]], low_s: Any, high_s: Any) -> None:
    assert covering_range([Qual("created", *qual) for qual in quals], "created") == Range(low_s, high_s)


@pytest.mark.parametrize(
    "quals",
    [
        [(">", 10 * US), ("<", 10 * US)],
        [(">", 10 * US), ("<=", 10 * US)],
        [(">=", 10 * US), ("<", 10 * US)],
        [(">=", 10 * US), (">", 10 * US), ("<=", 10 * US)],
        [(">", 10 * US), (">=", 10 * US), ("<=", 10 * US)],
        [("<", 10 * US), ("<=", 10 * US), (">=", 10 * US)],
        [("=", 10 * US), ("=", 11 * US)],
        [("=", 10 * US), (">", 10 * US)],
        [("in", (1, 2)), (">=", 3)],
        [(">", math.inf)],
        [("=", math.inf)],
        [("<", -math.inf)],
        [("<=", -math.inf)],
        [("in", (-math.inf,))],
        [("in", (None,))],
    ],
)
def test_contradictions_are_empty(quals: list[tuple[str, Any]]) -> None:
    assert covering_range([Qual("created", *qual) for qual in quals], "created").empty


def test_quals_on_other_columns_say_nothing() -> None:
    assert covering_range([Qual("sent", ">", 10 * US), Qual("sent", "=", 3)], "created") == Range(None, None)


bounds = st.one_of(st.none(), st.integers(NOW_S - 1200 * DAY_S, NOW_S + 3 * DAY_S), st.integers(NOW_S - 5, NOW_S + 5))
anchors = st.one_of(st.none(), st.integers(NOW_S - 400 * DAY_S, NOW_S + DAY_S))


@settings(max_examples=200, deadline=None)
@given(bounds, bounds, anchors)
@example(None, None, None)
@example(KEPT_FROM_S, FROZEN_END_S, None)
@example(NOW_S - 2 * MAX_S + 1 - FREEZE_LAG_S, FROZEN_END_S, None)
@example(FROZEN_END_S, FROZEN_END_S + 1, None)
def test_windows_are_frozen_disjoint_and_cover_exactly(low_s: Any, high_s: Any, anchor_s: Any) -> None:
    assume(low_s is None or high_s is None or low_s <= high_s)
    windows = split(WINDOW, Range(low_s, high_s), now_s=NOW_S, anchor_s=anchor_s)
    first_s = max(KEPT_FROM_S, anchor_s or 0, low_s or 0)
    for start_s, end_s in windows.frozen:
        assert start_s <= end_s <= NOW_S - FREEZE_LAG_S
        assert end_s - start_s < MAX_S
    assert list(windows.frozen) == sorted(windows.frozen, reverse=True), "newest first"
    oldest_first = [
        *reversed(windows.frozen),
        *([(windows.open_from_s, None)] if windows.open_from_s is not None else []),
    ]
    for (_, end_s), (start_s, _) in zip(oldest_first, oldest_first[1:]):
        assert start_s == end_s + 1
    if high_s is not None and high_s < first_s:
        assert oldest_first == []
    else:
        assert oldest_first[0][0] == first_s
        assert oldest_first[-1][1] == (None if high_s is None or high_s > FROZEN_END_S else high_s)
    if high_s is not None and high_s <= FROZEN_END_S:
        assert windows.open_from_s is None
    elif high_s is None:
        assert isinstance(windows.open_from_s, int)
        assert NOW_S - windows.open_from_s < MAX_S + FREEZE_LAG_S
    assert 0 <= windows.days < math.inf


@settings(max_examples=100, deadline=None)
@given(st.integers(KEPT_FROM_S, NOW_S))
@example(FROZEN_END_S - MAX_S + 1)
@example(FROZEN_END_S - MAX_S)
def test_no_more_windows_than_needed(low_s: int) -> None:
    windows = split(WINDOW, Range(low_s, None), now_s=NOW_S, anchor_s=None)
    length_s = max(FROZEN_END_S - low_s + 1, 0)
    assert windows.open_from_s is not None
    assert windows.count == max(math.ceil(length_s / MAX_S), 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Range(None, None, empty=True), Windows((), None, 0)),
        (
            Range(NOW_S - 3 * DAY_S, NOW_S - 2 * DAY_S),
            Windows(((NOW_S - 3 * DAY_S, NOW_S - 2 * DAY_S),), None, 1),
        ),
        (Range(NOW_S - 1, None), Windows((), NOW_S - 1, 0)),
        (Range(NOW_S - DAY_S - 2, None), Windows((), NOW_S - DAY_S - 2, 1)),
        (Range(NOW_S - DAY_S - 2, NOW_S - 1), Windows((), NOW_S - DAY_S - 2, 1)),
        (Range(NOW_S, NOW_S), Windows((), NOW_S, 0)),
        (Range(NOW_S + 60, None), Windows((), NOW_S + 60, 0)),
        (Range(NOW_S - 2, NOW_S - 2), Windows(((NOW_S - 2, NOW_S - 2),), None, 0)),
    ],
)
def test_split_of_recent_ranges(wanted: Range, expected: Windows) -> None:
    assert split(WINDOW, wanted, now_s=NOW_S, anchor_s=None) == expected


def test_no_bound_reads_what_the_api_keeps_in_two_windows() -> None:
    windows = split(WINDOW, Range(None, None), now_s=NOW_S, anchor_s=None)
    middle_s = NOW_S - 92 * DAY_S - 1
    assert windows.frozen == ((KEPT_FROM_S, middle_s - 1),)
    assert windows.open_from_s == middle_s
    assert windows.missing_before_s is None


@pytest.mark.parametrize(
    ("low_s", "high_s", "anchor_s", "missing_before_s"),
    [
        (None, None, None, None),
        (None, None, NOW_S - 30 * DAY_S, None),
        (None, NOW_S - DAY_S, None, None),
        (KEPT_FROM_S, None, None, None),
        (KEPT_FROM_S - 1, None, None, KEPT_FROM_S),
        (KEPT_FROM_S - 1, KEPT_FROM_S - 1, None, KEPT_FROM_S),
        (None, KEPT_FROM_S - 1, None, KEPT_FROM_S),
        (None, KEPT_FROM_S, None, None),
        (None, NOW_S - 60 * DAY_S, NOW_S - 30 * DAY_S, NOW_S - 30 * DAY_S),
        (NOW_S - 60 * DAY_S, None, NOW_S - 30 * DAY_S, NOW_S - 30 * DAY_S),
    ],
)
def test_what_is_missing_is_known(low_s: Any, high_s: Any, anchor_s: Any, missing_before_s: Any) -> None:
    windows = split(WINDOW, Range(low_s, high_s), now_s=NOW_S, anchor_s=anchor_s)
    assert windows.missing_before_s == missing_before_s


def test_the_anchor_counts_only_when_later_than_what_is_kept() -> None:
    def oldest(low_s: Any, anchor_s: int) -> Any:
        windows = split(WINDOW, Range(low_s, None), now_s=NOW_S, anchor_s=anchor_s)
        return windows.frozen[-1][0] if windows.frozen else windows.open_from_s

    assert oldest(None, NOW_S - 30 * DAY_S) == NOW_S - 30 * DAY_S
    assert oldest(None, NOW_S - 900 * DAY_S) == KEPT_FROM_S
    assert oldest(None, -5) == KEPT_FROM_S
    assert oldest(NOW_S - 60 * DAY_S, NOW_S - 30 * DAY_S) == NOW_S - 30 * DAY_S


def test_a_lower_bound_adds_no_rows() -> None:
    unbounded = split(WINDOW, Range(None, None), now_s=NOW_S, anchor_s=None)
    bounded = split(WINDOW, Range(-(10**12), None), now_s=NOW_S, anchor_s=None)
    assert (bounded.frozen, bounded.open_from_s) == (unbounded.frozen, unbounded.open_from_s)
    assert split(WINDOW, Range(-(10**12), KEPT_FROM_S - 1), now_s=NOW_S, anchor_s=None).frozen == ()


@pytest.mark.parametrize(
    ("wanted", "frozen", "open_from_s", "days"),
    [
        (Range(UNKNOWN, UNKNOWN), ((UNKNOWN, UNKNOWN),), None, 1),
        (Range(UNKNOWN, None), (), UNKNOWN, 184 / 6),
        (Range(None, UNKNOWN), ((KEPT_FROM_S, UNKNOWN),), None, 184 / 6),
        (Range(5, UNKNOWN), ((5, UNKNOWN),), None, 184 / 6),
    ],
)
def test_unknown_bounds_are_shown_as_such(wanted: Range, frozen: Any, open_from_s: Any, days: float) -> None:
    assert split(WINDOW, wanted, now_s=NOW_S, anchor_s=None) == Windows(frozen, open_from_s, days)
