"""The ranges of whole seconds that a statement wants of a time column.

created >= '2026-01-01' AND created < '2026-02-01'    -> (Range(1767225600, 1769904000),)
created::date = '2026-01-01' OR created::date = '2026-03-01'   -> two ranges
created > '2026-03-01' AND created < '2026-02-01'     -> ()
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Union

from cio_fdw.quals import UNKNOWN, AnyOf, Condition, Qual, Unknown

US = 1_000_000

MAX_RANGES = 10
"""More ranges than this are joined over their smallest gaps: each costs a request of its own."""

SMALL_GAP_S = 3600
"""Ranges this close are asked for together."""

Bound = Union[int, Unknown, None]


@dataclass(frozen=True)
class Range:
    """Inclusive unix seconds that cover the quals. None: no bound. UNKNOWN: known when executing."""

    low_s: Bound
    high_s: Bound
    empty: bool = False


def covering_range(quals: Sequence[Qual], column: str) -> Range:
    """The smallest range of whole seconds that holds every row which meets the quals on `column`."""
    low, high = -math.inf, math.inf
    open_low = open_high = unknown_low = unknown_high = False
    for qual in quals:
        if qual.column != column or qual.op not in ("=", "<", "<=", ">", ">=", "in"):
            continue
        if UNKNOWN in qual.values:
            unknown_low |= qual.op in ("=", ">", ">=", "in")
            unknown_high |= qual.op in ("=", "<", "<=", "in")
            continue
        if not qual.values:
            return Range(None, None, empty=True)
        if qual.op in ("=", ">", ">=", "in") and min(qual.values) >= low:
            open_low = qual.op == ">" or (open_low and min(qual.values) == low)
            low = min(qual.values)
        if qual.op in ("=", "<", "<=", "in") and max(qual.values) <= high:
            open_high = qual.op == "<" or (open_high and max(qual.values) == high)
            high = max(qual.values)
    if low > high or (low == high and (open_low or open_high)) or low == math.inf or high == -math.inf:
        return Range(None, None, empty=True)
    return Range(
        UNKNOWN if unknown_low else None if low == -math.inf else int(low) // US,
        UNKNOWN if unknown_high else None if high == math.inf else -(-int(high) // US),
    )


def wanted_ranges(conditions: Sequence[Condition], column: str, step_s: int = 1) -> tuple[Range, ...]:
    """Disjoint ranges, oldest first, that hold every row which meets the conditions; () when none can.

    Their bounds are multiples of `step_s`, so that bounds which move with now() stay the same for a while.
    """
    first = covering_range([one for one in conditions if isinstance(one, Qual)], column)
    ranges = [] if first.empty else [first]
    for one in conditions:
        if isinstance(one, AnyOf):
            union = _union([range_ for branch in one.branches for range_ in wanted_ranges(branch, column)])
            ranges = [both for a in ranges for b in union for both in _both(a, b)]
    return tuple(_few([_outward(range_, step_s) for range_ in ranges]))


def _outward(range_: Range, step_s: int) -> Range:
    low_s, high_s = range_.low_s, range_.high_s
    return Range(
        low_s // step_s * step_s if isinstance(low_s, int) else low_s,
        -(-high_s // step_s) * step_s if isinstance(high_s, int) else high_s,
    )


def _both(one: Range, other: Range) -> list[Range]:
    """What lies in both; an unknown bound stays unknown."""
    low_s = _bound(one.low_s, other.low_s, max)
    high_s = _bound(one.high_s, other.high_s, min)
    if isinstance(low_s, int) and isinstance(high_s, int) and low_s > high_s:
        return []
    return [Range(low_s, high_s)]


def _bound(one: Bound, other: Bound, tighter: Callable[[int, int], int]) -> Bound:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Unknown) or isinstance(other, Unknown):
        return UNKNOWN
    return tighter(one, other)


def _union(ranges: Sequence[Range]) -> list[Range]:
    """The same seconds in disjoint ranges, oldest first."""
    if any(UNKNOWN in (range_.low_s, range_.high_s) for range_ in ranges):
        return [Range(UNKNOWN, UNKNOWN)]
    union: list[Range] = []
    for range_ in sorted(ranges, key=_low):
        if union and _gap_s(union[-1], range_) <= SMALL_GAP_S:
            union[-1] = _hull(union[-1], range_)
        else:
            union.append(range_)
    return union


def _few(ranges: Sequence[Range]) -> list[Range]:
    """At most MAX_RANGES, joined where the gaps are smallest."""
    few = list(ranges) if len(ranges) < 2 else _union(ranges)
    while len(few) > MAX_RANGES:
        at = min(range(len(few) - 1), key=lambda i: _gap_s(few[i], few[i + 1]))
        few[at : at + 2] = [_hull(few[at], few[at + 1])]
    return few


def _low(range_: Range) -> float:
    return range_.low_s if isinstance(range_.low_s, int) else -math.inf


def _high(range_: Range) -> float:
    return range_.high_s if isinstance(range_.high_s, int) else math.inf


def _gap_s(earlier: Range, later: Range) -> float:
    return _low(later) - _high(earlier)


def _hull(earlier: Range, later: Range) -> Range:
    return Range(earlier.low_s, later.high_s if _high(later) >= _high(earlier) else earlier.high_s)
