"""How long a walk over a range still is, and whether it should become several that are read side by side.

    traffic = Traffic()                             # of one scan
    seen = Seen(1000, 9999)                         # of one walk
    seen.note([9990, 9980, …], is_last=False, traffic=traffic)
    seen.left                                       # 89.1 pages, if the rest is like what was seen
    seen.parts(others=[], width=3, traffic=traffic) # [Part(7000, 9999, 30.0), …], newest first; []: follow the cursor

A cursor leads from page to page, one after the other. Ranges of time are independent of each other, so that several
are read at once. What a range holds is only known as its pages come: each tells how densely the rows lie at its end,
if the pages are in the order of time. That order is not documented (OBSERVED.md), so it is a hint for sizes and never
decides which rows are read: the parts cover the whole range again.

So cutting costs the pages that were read, which are read again, and half a page for each further part. A walk is cut
when it has much more than its share of what is left for all, or when there is nothing else to do for the others: with
as many parts as are read at once while nothing is known, and one burst at a time where rows lie far more densely than
in the rest of the scan, as it may end anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

LONG_PAGES = 6.0
"""A range with fewer pages left is read by its cursor."""

EARLY_PAGES = 6
"""A walk that has read more is cut only when requests would otherwise be idle."""

LATE_PAGES = 16
"""A walk that has read more is not cut at all: the keys of this many pages are held."""

UNFAIR = 1.5
"""A walk is cut when it has this many times its share, or this many times what it has read."""

BURST = 3.0
"""How many times as densely as in the whole scan rows lie in a burst."""

BURST_PAGES = 16.0
"""Pages of a part that is cut off a burst."""

MAX_PARTS = 12

FREE_PAGES = 5.0
COST_SHARE = 0.08
ALONE_COST_SHARE = 0.15
"""What cutting may cost: so many pages, and this share of those that have come and are sure to come; the larger share
when all but one request would be idle."""


class Part(NamedTuple):
    """Inclusive unix seconds, and the pages expected in them."""

    low_s: int
    high_s: int
    pages: Optional[float]


class Traffic:
    """What all walks of a scan have seen together, and what cutting them has cost."""

    def __init__(self) -> None:
        self.pages = 0
        self.seconds = 0
        self.cost = 0.0

    def note(self, seconds: int) -> None:
        """One more page came, which covers so many seconds."""
        self.pages += 1
        self.seconds += seconds

    @property
    def density(self) -> float:
        """Pages in a second."""
        return self.pages / max(self.seconds, 1)

    def affords(self, cost: float, left: float, share: float) -> bool:
        """Whether so many pages may be asked for to no avail, `left` being expected; they are then accounted for.

        No more pages are believed in than have come.
        """
        if self.cost + cost > FREE_PAGES + share * (self.pages + min(self.pages, left)):
            return False
        self.cost += cost
        return True


class Seen:
    """What the pages of one walk over [low_s, high_s] showed. `pages`: what it should have, None when not known."""

    def __init__(self, low_s: int, high_s: int, pages: Optional[float] = None) -> None:
        self.low_s, self.high_s = low_s, high_s
        self.pages = pages
        self.read = 0
        self._falls = self._rises = True
        self._last_s: Optional[int] = None
        self._page_s = self._page_before_s = 0
        """Seconds that the latest page covers, and the one before it."""

    def note(self, created_s: Sequence[int], *, is_last: bool, traffic: Traffic) -> None:
        """A page came: `created_s` are times of its rows, in their order, the last row's among them."""
        times = list(created_s) if self._last_s is None else [self._last_s, *created_s]
        self._falls = self._falls and all(earlier >= later for earlier, later in zip(times, times[1:]))
        self._rises = self._rises and all(earlier <= later for earlier, later in zip(times, times[1:]))
        left_s = self._left_s
        self.read += 1
        if created_s:
            self._last_s = created_s[-1]
        self._page_before_s, self._page_s = self._page_s, max(left_s - self._left_s, 1)
        traffic.note(left_s if is_last else self._page_s)

    @property
    def _covered_s(self) -> int:
        if self._last_s is None:
            return 0
        # Rows of an open range may be newer than the part of it that may be cut.
        return max(self.high_s - self._last_s, 0) if self._falls else min(self._last_s, self.high_s) - self.low_s

    @property
    def _left_s(self) -> int:
        return self.high_s - self.low_s + 1 - self._covered_s

    @property
    def left(self) -> Optional[float]:
        """Pages that have not come yet; None when the rows came in no order of time, or none came."""
        if not self.read:
            return self.pages
        if self._last_s is None or not (self._falls or self._rises):
            return None
        return self._left_s * max(self.read / max(self._covered_s, 1), 1 / self._page_s)

    def parts(self, others: Sequence[Optional[float]], width: int, traffic: Traffic) -> list[Part]:
        """Disjoint parts that cover the range, newest first; [] when the cursor should be followed.

        `others`: pages that every other walk of the scan has left, None where that is not known. `width`: how many
        requests can be under way.
        """
        left = self.left
        if width < 2 or not self.read or left is None or left < LONG_PAGES or self.read > LATE_PAGES:
            return []
        share = (left + sum(other or 0.0 for other in others)) / width
        idle = width - len(others)
        is_early = self.read <= EARLY_PAGES and left > UNFAIR * share
        is_late = idle > 1 and left > UNFAIR * self.read
        if not (is_early or is_late) or self._thickens:
            return []
        if self.pages is None:
            traffic.cost += self.read + (min(width, MAX_PARTS) - 1) / 2
            return self._even(left, width)
        if 1 / self._page_s > BURST * traffic.density:
            parts = self._off_the_burst(left, max(idle, 1))
        else:
            parts = self._even(left, max(round(left / share), 2))
        cost = self.read + (len(parts) - 1) / 2
        return parts if traffic.affords(cost, left, ALONE_COST_SHARE if idle == width else COST_SHARE) else []

    @property
    def _thickens(self) -> bool:
        """Whether the density rises so much that the next page will tell more."""
        return self.read > 1 and self._page_s * BURST < self._page_before_s

    def _even(self, left: float, count: int) -> list[Part]:
        """Parts with equally many pages."""
        count = min(count, MAX_PARTS)
        total = self.read + left
        return self._cut([total * i / count for i in range(1, count)], left)

    def _off_the_burst(self, left: float, count: int) -> list[Part]:
        """Parts of BURST_PAGES from where the walk began, and the rest."""
        edges = [BURST_PAGES * i for i in range(1, count + 1)]
        return self._cut([edge for edge in edges if edge < self.read + left], left)

    def _cut(self, edges: Sequence[float], left: float) -> list[Part]:
        """Parts between the numbers of pages `edges`, counted from where the walk began.

        The pages that were read and those that are left are spread evenly over their seconds.
        """
        length_s = self.high_s - self.low_s + 1
        bounds = [0]
        for edge in edges:
            read = min(edge / self.read, 1.0) * self._covered_s
            bounds.append(int(read + max(edge - self.read, 0.0) / left * self._left_s))
        pages = [high - low for low, high in zip([0.0, *edges], [*edges, self.read + left])]
        parts = [
            Part(self.high_s + 1 - end, self.high_s - begin, count)
            if self._falls
            else Part(self.low_s + begin, self.low_s + end - 1, count)
            for begin, end, count in zip(bounds, [*bounds[1:], length_s], pages)
            if begin < end
        ]
        return sorted(parts, reverse=True) if len(parts) > 1 else []
