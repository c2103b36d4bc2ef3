"""How many of something lie in which seconds: a histogram with bounds of its own, as of a column in pg_stats.

day = Histogram.of([(array("q", [86399, 43200, 5]), 60.0)], 0, 86399)   # each of three seconds stands for 20 rows
day.within(0, 43199)                                     -> 20.0
day.cut(0, 86399, 2)                                     -> [(21608, 86399, 30.0), (0, 21607, 30.0)], newest first
week.updated(day)                                        # what it says of that day, otherwise what `week` said
"""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

MAX_BINS = 128
FINE_BINS = 2 * MAX_BINS

Bin = tuple[int, int, float]
"""From which second to which, without the latter, and how many lie in it."""

Sample = tuple["array[int]", float]
"""Of a page: unix seconds of some rows, and how many rows these stand for."""

COVERED = 0.9
"""A range that is known for less than this share is not known."""


class Histogram:
    """`counts[i]` lie evenly in the seconds from `bounds[i]` to `bounds[i + 1]`, without the latter; all ascend."""

    def __init__(self, bounds: Sequence[int], counts: Sequence[float]) -> None:
        self.bounds, self.counts = tuple(bounds), tuple(counts)
        if len(bounds) != len(counts) + 1 or not counts or any(low >= high for low, high in _pairs(bounds)):
            raise ValueError("bounds must ascend, and be one more than the counts")
        self._before = [0.0, *itertools.accumulate(counts)]
        self.total = self._before[-1]

    @staticmethod
    def of(pages: Iterable[Sample], low_s: int, high_s: int) -> Histogram:
        """Of the range [low_s, high_s]: some seconds of each page, and how many rows they stand for together."""
        weighed = sorted(
            (second, rows / len(seconds)) for seconds, rows in pages for second in seconds if low_s <= second <= high_s
        )
        step = sum(weight for _, weight in weighed) / FINE_BINS
        bounds, counts, count = [low_s], [], 0.0
        for (second, weight), following in itertools.zip_longest(weighed, weighed[1:]):
            count += weight
            if count >= step and following and following[0] > second:
                bounds.append(second + 1)
                counts.append(count)
                count = 0.0
        return _coarser([*bounds, high_s + 1], [*counts, count])

    @property
    def begin_s(self) -> int:
        return self.bounds[0]

    @property
    def end_s(self) -> int:
        """One past the last second."""
        return self.bounds[-1]

    @property
    def mean(self) -> float:
        """A second has so many."""
        return self.total / (self.end_s - self.begin_s)

    def scaled(self, factor: float) -> Histogram:
        return Histogram(self.bounds, [count * factor for count in self.counts])

    def knows(self, low_s: int, high_s: int) -> bool:
        """Whether it tells of that range, both seconds included."""
        known_s = min(high_s + 1, self.end_s) - max(low_s, self.begin_s)
        return known_s >= COVERED * (high_s - low_s + 1)

    def within(self, low_s: int, high_s: int) -> float:
        """How many lie in that range, both seconds included; what is newer than all bounds is like the mean."""
        return self._until(high_s + 1) - self._until(low_s) if low_s <= high_s else 0.0

    def cut(self, low_s: int, high_s: int, count: int) -> list[tuple[int, int, float]]:
        """The range in up to `count` parts that have as many each: (low_s, high_s, how many), newest first."""
        begin, end = self._until(low_s), self._until(high_s + 1)
        edges = [self._second(begin + (end - begin) * i / count) for i in range(1, count)]
        inner = sorted({edge for edge in edges if low_s < edge <= high_s})
        parts = _pairs([low_s, *inner, high_s + 1])
        return [(low, high - 1, self.within(low, high - 1)) for low, high in parts][::-1]

    def _until(self, second: int) -> float:
        """How many lie before that second."""
        if second >= self.end_s:
            return self.total + self.mean * (second - self.end_s)
        place = bisect_right(self.bounds, second) - 1
        if place < 0:
            return 0.0
        low, high = self.bounds[place : place + 2]
        return self._before[place] + self.counts[place] * (second - low) / (high - low)

    def _second(self, count: float) -> int:
        """The first second before which so many lie."""
        if count >= self.total:
            return self.end_s + int((count - self.total) / self.mean) if self.mean else self.end_s
        place = max(bisect_left(self._before, count) - 1, 0)
        low, high = self.bounds[place : place + 2]
        return low + round((high - low) * (count - self._before[place]) / (self.counts[place] or 1.0))

    def updated(self, newer: Histogram) -> Histogram:
        """With what `newer` says of its range. Of two that are apart the longer one counts: a gap is not known."""
        if newer.begin_s > self.end_s or self.begin_s > newer.end_s:
            return max((self, newer), key=lambda one: (one.end_s - one.begin_s, one.end_s))
        older, younger = self.parts(self.begin_s, newer.begin_s), self.parts(newer.end_s, self.end_s)
        return _joined([*older, *newer.parts(newer.begin_s, newer.end_s), *younger])

    def clipped(self, low_s: int, high_s: int) -> Optional[Histogram]:
        """What lies in that range, both seconds included; None when nothing does."""
        parts = self.parts(low_s, high_s + 1)
        return _joined(parts) if parts else None

    def parts(self, low_s: int, high_s: int) -> list[Bin]:
        """The bins, as far as they lie in the seconds from `low_s` to `high_s`, without the latter."""
        clipped = [(max(low, low_s), min(high, high_s)) for low, high in _pairs(self.bounds)]
        return [(low, high, self._until(high) - self._until(low)) for low, high in clipped if low < high]


def _joined(bins: Sequence[Bin]) -> Histogram:
    """Of bins of which each begins where the one before it ends."""
    return _coarser([*(low for low, _, _ in bins), bins[-1][1]], [count for _, _, count in bins])


def _coarser(bounds: list[int], counts: list[float]) -> Histogram:
    """With no more than MAX_BINS: those become one that lie most alike."""
    wrong = [_wrong(bounds, counts, i) for i in range(len(counts) - 1)]
    while len(counts) > MAX_BINS:
        place = wrong.index(min(wrong))
        counts[place : place + 2] = [counts[place] + counts[place + 1]]
        del bounds[place + 1], wrong[place]
        for i in range(max(place - 1, 0), min(place + 1, len(wrong))):
            wrong[i] = _wrong(bounds, counts, i)
    return Histogram(bounds, counts)


def _pairs(bounds: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(bounds, bounds[1:])


def _wrong(bounds: Sequence[int], counts: Sequence[float], i: int) -> float:
    """How many would lie on the wrong side of the bound, if bins `i` and `i + 1` were one."""
    share = (bounds[i + 1] - bounds[i]) / (bounds[i + 2] - bounds[i])
    return abs(counts[i] - (counts[i] + counts[i + 1]) * share)
