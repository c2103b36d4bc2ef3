"""What a histogram says of a range adds up, its parts cover it, and it never has more bins than it may."""

from __future__ import annotations

from array import array
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_fdw.histogram import MAX_BINS, Histogram

DAY_S = 86_400


def even(low_s: int, high_s: int, count: float) -> Histogram:
    return Histogram([low_s, high_s], [count])


lengths = st.lists(st.integers(1, 5000), min_size=1, max_size=40)


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    begin_s, lengths_s = draw(st.integers(0, 20_000)), draw(lengths)
    counts = draw(st.lists(st.floats(0, 1000), min_size=len(lengths_s), max_size=len(lengths_s)))
    return Histogram([begin_s, *(begin_s + end for end in accumulate(lengths_s))], counts)


def test_rows_of_pages() -> None:
    pages = [(array("q", [999, 500]), 40.0), (array("q", [499, 0]), 40.0), (array("q", [5000, -7]), 9.0)]
    found = Histogram.of(pages, 0, 999)
    assert (found.begin_s, found.end_s) == (0, 1000)
    assert found.total == 80, "what lies beyond the range does not count"
    assert found.within(0, 499) == pytest.approx(40, abs=1)


def test_many_rows_of_one_second_lie_in_one_bin() -> None:
    found = Histogram.of([(array("q", [100] * 500 + [900]), 501.0)], 0, 999)
    assert found.within(0, 100) == pytest.approx(500)
    assert found.within(101, 999) == pytest.approx(1)


def test_no_rows() -> None:
    found = Histogram.of([], 0, 999)
    assert found.within(0, 999) == 0
    assert found.cut(0, 999, 3) == [(0, 999, 0.0)]


def test_bursts_stay_sharp() -> None:
    """Nine of ten rows within an hour of half a year: cut by rows, nearly all parts lie in that hour."""
    spread = array("q", range(0, 180 * DAY_S, 180 * DAY_S // 1000))
    hour = array("q", [90 * DAY_S + i * 3600 // 9000 for i in range(9000)])
    found = Histogram.of([(spread, 1000.0), (hour, 9000.0)], 0, 180 * DAY_S - 1)
    assert len(found.counts) == MAX_BINS
    parts = found.cut(0, 180 * DAY_S - 1, 10)
    inside = [part for part in parts if part[0] >= 90 * DAY_S - 60 and part[1] <= 90 * DAY_S + 3660]
    assert len(inside) >= 8
    for low_s, high_s, count in parts:
        really = sum(low_s <= second <= high_s for second in (*spread, *hour))
        assert count == pytest.approx(1000, rel=0.05)
        assert really == pytest.approx(1000, rel=0.05)


@given(histograms(), st.integers(-5000, 40_000), st.integers(0, 60_000), st.integers(1, 12))
def test_parts_cover_the_range(found: Histogram, low_s: int, length_s: int, count: int) -> None:
    high_s = low_s + length_s
    parts = found.cut(low_s, high_s, count)
    assert 1 <= len(parts) <= count
    assert (parts[-1][0], parts[0][1]) == (low_s, high_s)
    assert all(older[1] + 1 == newer[0] for newer, older in zip(parts, parts[1:]))
    assert all(low <= high for low, high, _ in parts)
    assert sum(rows for _, _, rows in parts) == pytest.approx(found.within(low_s, high_s), abs=1e-6)


@given(histograms(), histograms())
def test_what_is_newer_counts_in_its_range_and_what_was_known_elsewhere(known: Histogram, newer: Histogram) -> None:
    found = known.updated(newer)
    assert len(found.counts) <= MAX_BINS
    if newer.begin_s > known.end_s or known.begin_s > newer.end_s:
        assert found in (known, newer)
        return
    assert found.within(newer.begin_s, newer.end_s - 1) == pytest.approx(newer.total, abs=1e-6)
    if found.begin_s == known.begin_s < newer.begin_s:
        end_s = min(known.end_s, newer.begin_s) - 1
        assert found.within(known.begin_s, end_s) == pytest.approx(known.within(known.begin_s, end_s), abs=1e-6)
    if found.end_s == known.end_s > newer.end_s:
        begin_s = max(known.begin_s, newer.end_s)
        assert found.within(begin_s, known.end_s - 1) == pytest.approx(known.within(begin_s, known.end_s - 1), abs=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "longer"),
    [((0, 1000), (1001, 2500), 1), ((0, 1500), (1501, 2500), 0), ((0, 1000), (2000, 3000), 1)],
)
def test_a_gap_is_not_known(one: tuple[int, int], other: tuple[int, int], longer: int) -> None:
    """Of two that are apart the longer one stays, of equal ones the later."""
    pair = even(*one, 10), even(*other, 30)
    assert pair[0].updated(pair[1]) is pair[1].updated(pair[0]) is pair[longer]


def test_what_adjoins_is_one() -> None:
    found = even(0, 1000, 10).updated(even(1000, 1500, 30))
    assert (found.bounds, found.counts) == ((0, 1000, 1500), (10, 30))


def test_what_is_too_old_or_of_the_future_is_forgotten() -> None:
    found = Histogram([0, 1000, 2000], [10, 20]).clipped(500, 1499)
    assert found
    assert (found.bounds, found.counts) == ((500, 1000, 1500), (5, 10))
    assert found.clipped(5000, 6000) is None


def test_what_is_a_little_newer_is_like_the_mean() -> None:
    found = Histogram([0, 1000, 2000], [10, 30])
    assert found.within(2000, 2099) == pytest.approx(2)
    assert found.knows(0, 2100)
    assert not found.knows(2000, 2099)
    assert not found.knows(-1000, 1000)
    assert found.within(-5000, -1) == 0


@pytest.mark.parametrize(("bounds", "counts"), [([0], []), ([0, 0], [1.0]), ([5, 4], [1.0]), ([0, 1], [1.0, 2.0])])
def test_what_is_no_histogram(bounds: list[int], counts: list[float]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Histogram(bounds, counts)
