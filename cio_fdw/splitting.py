"""A range that turns out to hold many pages, cut into ranges that can be read side by side.

    split(1000, 9999, created_s=[9990, 9980, …], pages=None, width=3)
    -> [Part(7000, 9999, 3.1), Part(4000, 6999, 3.1), Part(1000, 3999, 3.1)]

A cursor leads from page to page, one after the other. Ranges of time are independent of each other, so that several
are read at once. What a range holds is only known when its first page is there: the page tells how densely the rows
lie at its end, if it is in the order of time. That order is not documented (OBSERVED.md), so it is a hint for sizes
and never decides which rows are read.

Cutting costs the first page, which is read again, and half a page for each part. So only long ranges are cut, and into
as many parts as can be read at once, or a multiple of that: one part left over would be read alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

LONG_PAGES = 8.0
"""A range of fewer pages is read by its cursor."""

PART_PAGES = 24.0
"""Pages that a part should have at most: half a page is lost on each."""

MAX_PARTS = 12
SURPRISE = 2.5
"""A part is cut again when it has this many times the pages that it should have."""


class Part(NamedTuple):
    """Inclusive unix seconds, and the pages expected in them."""

    low_s: int
    high_s: int
    pages: float


def split(low_s: int, high_s: int, *, created_s: Sequence[int], pages: Optional[float], width: int) -> list[Part]:
    """Disjoint parts that cover the range, newest first; [] when its cursor should be followed.

    `created_s`: times of the first page's rows, in their order. `pages`: what the range should have, None when that
    is not known. `width`: how many requests can be under way.
    """
    length_s = high_s - low_s + 1
    expected = expected_pages(low_s, high_s, created_s)
    if width < 2 or expected is None or expected < LONG_PAGES or (pages is not None and expected < SURPRISE * pages):
        return []
    parts = width * max(round(expected / PART_PAGES / width), 1)
    count = int(min(parts, max(MAX_PARTS, width), length_s))
    edges = [low_s + length_s * i // count for i in range(count + 1)]
    return [Part(edges[i], edges[i + 1] - 1, expected / count) for i in reversed(range(count))]


def expected_pages(low_s: int, high_s: int, created_s: Sequence[int]) -> Optional[float]:
    """Pages in the range if the rest is like the first page; None when its rows are in no order of time."""
    if not created_s:
        return None
    falling = all(earlier >= later for earlier, later in zip(created_s, created_s[1:]))
    rising = all(earlier <= later for earlier, later in zip(created_s, created_s[1:]))
    if falling:
        seen_s = high_s - created_s[-1]
    elif rising:
        seen_s = created_s[-1] - low_s
    else:
        return None
    return (high_s - low_s + 1) / max(seen_s, 1)
