"""How long a walk over a range still is, and whether it should become several that are read side by side.

    traffic = Traffic()                             # of one chain of requests
    seen = Seen(1000, 9999, traffic=traffic)        # of one walk
    seen.note([9990, 9980, …], is_last=False)
    seen.left                                       # 89.1 pages, if the rest is like what was seen
    seen.parts(others=[], width=3)                  # [Part(7000, 9999, 30.0), …], newest first; []: follow the cursor

A cursor leads from page to page, one after the other. Ranges of time are independent of each other, so that several
are read at once. What a range holds is only known as its pages come: each tells how densely the rows lie at its end,
if the pages are in the order of time. That order is not documented (OBSERVED.md), so it is a hint for sizes and never
decides which rows are read: the parts cover the whole range again.

So cutting costs the pages that were read, which are read again, and half a page for each further part. What it costs
in all stays within a share of the pages that came and of those that are sure to come (`traffic`). Hence a walk is cut
early or never, and one that had better be cut waits for its turn (`Seen.is_long`). Rows that lie far more densely at
one end of a gap than at the other are a burst, which may end anywhere in it: there so much is cut off as has been seen.

Where an earlier scan told how the rows lie (`Traffic.known`), a walk is as long as that says, and is not cut; one that
is newer at its end is cut when its pages do not bear it out.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from cio_fdw.histogram import Sample
from cio_fdw.traffic import BURST, Stretch, Traffic

LONG_PAGES = 15.0
"""A range with fewer pages is read by its cursor: cutting it would cost more than a tenth of them."""

LATE_PAGES = 16
"""A walk that has read more is not cut any more: the keys of this many pages are held."""

UNFAIR = 1.25
"""A walk with this many times its share of what is left ends after the others."""

TEMPER, TEMPERED_PAGES = 0.35, 90.0
"""Of fewer pages than so many, the latest alone are not believed to be like the rest: some days are not like others."""

BURST_PAGES = 16.0
"""Least pages of a part that is cut off a burst."""

VAST_PAGES = 200.0
"""One page is not believed to show more: it may be of a burst."""

BELIEF = 4.0
"""As much as a walk has read so many times is believed to come in it, where nothing is known of the far end."""

SCAN_BELIEF = 8.0
"""As much as has come in all so many times is believed to come in all."""

SURE_PART_PAGES = 12
"""Of a stretch that is known to be dense, at least so many make a part of their own."""

MAX_PARTS = 12

PROBED = (2.0, 1.25)
"""How many times as far as need be a probe looks: the further, the more is known if the rows go on so far."""

MAX_PROBES = 2
"""Of one walk."""

DENIAL, SLACK = 2.0, 0.25
"""What an earlier scan told is not believed when so many times as many pages came; so many pages are no matter."""


class Part(NamedTuple):
    """Inclusive unix seconds, and the pages expected in them. `is_new`: it holds what came since an earlier scan."""

    low_s: int
    high_s: int
    pages: Optional[float]
    is_new: bool = False

    @property
    def is_short(self) -> bool:
        return self.is_new or (self.pages is not None and self.pages <= LATE_PAGES)


class Seen:
    """What the pages of one walk over [low_s, high_s] showed. `pages`: what it should have, None when not known."""

    def __init__(
        self,
        low_s: int,
        high_s: int,
        pages: Optional[float] = None,
        *,
        traffic: Optional[Traffic] = None,
        is_open: bool = False,
    ) -> None:
        self.low_s, self.high_s = low_s, high_s
        self.read = 0
        self._probes = 0
        self.traffic = traffic or Traffic()
        self._falls = self._rises = True
        self._last_s: Optional[int] = None
        self._page_s = self._page_before_s = 0
        """Seconds that the latest page covers, and the one before it."""
        self._gap_of = -1
        self._kept_gap: list[Stretch] = []
        """What the gap was when so much had been noted (`Traffic.notes`): it is asked for again and again."""
        self._known = self.traffic.known if self.traffic.known and self.traffic.known.knows(low_s, high_s) else None
        self.pages = self._known.within(low_s, high_s) if self._known and pages is None else pages
        self._is_open = is_open
        self._sample: list[Sample] = []

    def note(self, created_s: Sequence[int], *, is_last: bool, rows: Optional[int] = None) -> None:
        """A page of so many `rows` came: `created_s` are times of some, in their order, the last row's among them."""
        if created_s and self.traffic.is_kept:
            self._sample.append((array("q", created_s), len(created_s) if rows is None else rows))
        if is_last:
            self.traffic.read += self._sample
            self.traffic.read_s += self.high_s - self.low_s + 1
        times = list(created_s) if self._last_s is None else [self._last_s, *created_s]
        self._falls = self._falls and all(earlier >= later for earlier, later in zip(times, times[1:]))
        self._rises = self._rises and all(earlier <= later for earlier, later in zip(times, times[1:]))
        left_s = self._left_s
        self.read += 1
        if created_s:
            self._last_s = created_s[-1]
        self._page_before_s, self._page_s = self._page_s, max(left_s - self._left_s, 1)
        at_s = self.low_s if self._last_s is None else self._last_s
        self.traffic.budget.came += 1
        self.traffic.note(at_s, 1 / max(left_s if is_last else self._page_s, 1))

    @property
    def falls(self) -> bool:
        """Whether the rows came the newest first, as far as they did."""
        return self._falls

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
    def _at_s(self) -> int:
        """The second where the walk is."""
        return self.high_s - self._covered_s if self._falls else self.low_s + self._covered_s

    @property
    def _gap(self) -> list[Stretch]:
        """What is left, from where the walk is."""
        if self._gap_of != self.traffic.notes:
            self._gap_of, self._kept_gap = self.traffic.notes, self._gap_now()
        return self._kept_gap

    def _gap_now(self) -> list[Stretch]:
        at_s = self._at_s
        if self._falls:
            known = self.traffic.within(self.low_s, at_s - 1)[::-1]
            far = self.traffic.before(self.low_s)
        else:
            known = self.traffic.within(at_s + 1, self.high_s)
            far = self.traffic.after(self.high_s)
        # The latest page alone is only believed if the next that is known is like it: nights are not like days.
        latest, following = 1 / self._page_s, known[0][1] if known else far
        is_like = following is not None and latest <= BURST * following
        near = latest if is_like else math.sqrt(self.read / max(self._covered_s, 1) * latest)
        gap, begin_s = [], 0
        for second, density in known:
            gap.append(Stretch(abs(second - at_s) - begin_s, near, density))
            begin_s, near = abs(second - at_s), density
        return [*gap, Stretch(self._left_s - begin_s, near, far)]

    @property
    def left(self) -> Optional[float]:
        """Pages that have not come yet; None when the rows came in no order of time, or none came."""
        if not self.read:
            return self.pages
        if self._known and self._is_borne_out:
            return self._left_as_known
        if self._last_s is None or not (self._falls or self._rises):
            return None
        return sum(stretch.pages for stretch in self._gap)

    @property
    def is_certain(self) -> bool:
        """Whether an earlier scan read all of the range: what was created in it does not change. It is not cut."""
        known = None if self._is_open else self._known
        return known is not None and known.begin_s <= self.low_s and self.high_s < known.end_s

    @property
    def is_denied(self) -> bool:
        """Whether far more pages came than an earlier scan lets expect."""
        return self._known is not None and not self._is_borne_out

    @property
    def _is_borne_out(self) -> bool:
        """Whether no more pages came than `_known` lets expect."""
        return self.is_certain or self.read <= DENIAL * (self._come_as_known + SLACK)

    @property
    def _come_as_known(self) -> float:
        """Pages in what was read, as an earlier scan has it."""
        if self._known is None:
            return 0.0
        if self._falls:
            return self._known.within(self._at_s, self.high_s)
        return self._known.within(self.low_s, self._at_s if self._rises else self.high_s)

    @property
    def _left_as_known(self) -> float:
        """Pages in what is left, as an earlier scan has it, and more or less as this one proved it wrong."""
        if self._known is None:
            return 0.0
        came = self._come_as_known
        if not (self._falls or self._rises):
            return max(came - self.read, 0.0)
        left = self._known.within(self.low_s, self.high_s) - came
        return left * min(max((self.read + 1) / (came + 1), 1 / DENIAL), DENIAL)

    @property
    def sure(self) -> float:
        """Pages that are as good as certain to come: if every stretch is like its emptier end, or the latest two pages.

        One page may end on a day that is not like others.
        """
        if not self.read:
            return self._sure_unread
        if self.left is None:
            return 0.0
        lately = min(self.read, 2) / max(self._page_s + self._page_before_s, 1)
        return sum(
            min(stretch.pages, BELIEF * self.read)
            if stretch.far is None
            else min(stretch.least, lately * stretch.length_s)
            for stretch in self._gap
        )

    @property
    def _sure_unread(self) -> float:
        """The same of a part of which no page has come in this walk."""
        known = [density for _, density in self.traffic.within(self.low_s, self.high_s)]
        ends = [self.traffic.before(self.low_s), self.traffic.after(self.high_s)]
        densities = [*known, *(density for density in ends if density is not None)]
        return min(self.pages or 0.0, (self.high_s - self.low_s) * min(densities)) if len(densities) > 1 else 0.0

    def is_long(self, share: float) -> bool:
        """Whether it had better be several, `share` being what each of the requests under way has left."""
        left = self.left
        return (
            left is not None
            and not (self._known and self._is_borne_out)
            and 0 < self.read <= LATE_PAGES
            and self._tempered(left) > UNFAIR * share
            and left + self.read >= LONG_PAGES
        )

    def _tempered(self, left: float) -> float:
        """With a third of what would be left if the rest were like all that came: one that waits learns no more."""
        if self.read == 1 or not 0 < left < TEMPERED_PAGES:
            return left
        as_all = self.read / max(self._covered_s, 1) * self._left_s
        return left * math.pow(min(as_all / left, 1.0), TEMPER)

    def parts(self, others: Sequence[Seen], width: int, *, newest: float = math.inf) -> list[Part]:
        """Disjoint parts that cover the range, newest first; [] when the cursor should be followed.

        `others`: the other walks of the scan. `width`: how many requests can be under way. `newest`: the most pages
        that had better be in the newest part.
        """
        left = self.left
        if width < 2 or left is None:
            return []
        share = (left + sum(other.left or 0.0 for other in others)) / width
        if not self.is_long(share) or self._thickens:
            return []
        sure = min(sum(seen.sure for seen in (self, *others)), SCAN_BELIEF * self.traffic.budget.came)
        if self._is_first:
            sure = min(left, VAST_PAGES)
        for parts in self._ways(left, share, width, sure, newest):
            cost = self.read + (len(parts) - 1) / 2
            free = len(parts) == 2 or not self._is_first
            if len(parts) > 1 and self.traffic.budget.affords(cost, sure, free=free, fades=not self._is_bursty):
                self.traffic.budget.spend(cost, self.read)
                return parts
        return []

    @property
    def _is_bursty(self) -> bool:
        """Whether the walk is in a burst of which the end is not known, or was not until a probe looked for it."""
        return self._gap[0].is_vague or self._probes > 0

    @property
    def _is_first(self) -> bool:
        """Whether one page is all that is known of the range."""
        return self.read == 1 and (self.pages is None or self.is_denied)

    @property
    def _thickens(self) -> bool:
        """Whether the density rises so much that the next page will tell more."""
        return self.read > 1 and self._page_s * BURST < self._page_before_s

    def _ways(self, left: float, share: float, width: int, sure: float, newest: float) -> Iterator[list[Part]]:
        """What it may become, the more parts the sooner."""
        total = self.read + left
        gap = self._gap
        if gap[0].is_burst:
            seen = 0.0 if self._is_first else self.traffic.budget.came + sure
            yield self._off_the_burst(max(seen, BURST_PAGES), total)
            return
        most = width if self._is_first else max(round(left / share), 2)
        if self._is_first and left > VAST_PAGES:
            newest, most = BURST_PAGES, 2
        if not self._falls:
            newest = math.inf
        certain = itertools.takewhile(lambda stretch: not stretch.is_vague, gap)
        dense = self.read + sum(stretch.pages for stretch in certain)
        if self.read < dense < total:
            # What lies beyond is a part of its own: where a burst ends is not known.
            for count in range(max(min(width, int(dense / SURE_PART_PAGES)), 1), 0, -1):
                yield self._cut([*_edges(dense, count, newest), dense], total)
            return
        for count in range(min(most + (newest < total / most), MAX_PARTS), 1, -1):
            yield self._cut(_edges(total, count, newest), total)

    def _off_the_burst(self, pages: float, total: float) -> list[Part]:
        """A part of so many pages from where the walk began, if more lie as densely as the latest, and the rest."""
        further_s = self._covered_s + int(max(pages - self.read, 0.0) * self._page_s)
        length_s = min(further_s, (self.high_s - self.low_s) // 2)
        if length_s <= self._covered_s:  # of a second or two, which is not to be cut, or all that came
            return []
        rest = max(total - pages, 1.0)
        if self._falls:
            edge_s = self.high_s - length_s
            return [Part(edge_s + 1, self.high_s, pages), Part(self.low_s, edge_s, rest)]
        edge_s = self.low_s + length_s
        return [Part(edge_s, self.high_s, rest), Part(self.low_s, edge_s - 1, pages)]

    def _cut(self, edges: Sequence[float], total: float) -> list[Part]:
        """Parts between the numbers of pages `edges`, counted from where the walk began."""
        length_s = self.high_s - self.low_s + 1
        bounds = [0, *map(self._seconds, edges), length_s]
        pages = [high - low for low, high in zip([0.0, *edges], [*edges, total])]
        parts = [
            Part(self.high_s + 1 - end, self.high_s - begin, count)
            if self._falls
            else Part(self.low_s + begin, self.low_s + end - 1, count)
            for begin, end, count in zip(bounds, bounds[1:], pages)
            if begin < end
        ]
        return sorted(parts, reverse=True)

    def _seconds(self, pages: float) -> int:
        """From where the walk began to where so many pages end, if they lie evenly in what came and in each stretch."""
        end_s, came = float(self._covered_s), float(self.read)
        if pages <= came:
            return int(end_s * pages / came)
        for stretch in self._gap:
            if pages <= came + stretch.pages:
                return int(end_s + stretch.length_s * (pages - came) / stretch.pages)
            end_s, came = end_s + stretch.length_s, came + stretch.pages
        return int(end_s)

    def probe_s(self, share: float) -> Optional[int]:
        """A second in what is left where it pays to look whether the rows lie as densely as here; None: there is none.

        It is beyond as many pages as make a cut affordable, if they are sure. The look is accounted for: take it.
        """
        if self._is_first or self._thickens or not self.is_long(share) or self._probes == MAX_PROBES:
            return None
        budget, gap = self.traffic.budget, self._gap[0]
        sure = min(self.sure, SCAN_BELIEF * budget.came)
        lacking_s = budget.lacks(self.read + 0.5 + 1, sure) * self._page_s
        length_s = next((int(lacking_s * times) for times in PROBED if 0 < lacking_s * times < gap.length_s), 0)
        if not gap.is_vague or not length_s or not budget.affords(1, sure):
            return None
        self._probes += 1
        budget.spend(1, 0)
        return self._at_s - length_s if self._falls else self._at_s + length_s


def _edges(pages: float, count: int, first: float) -> list[float]:
    """Where `count` parts of so many pages meet: equal ones, but the first no longer than `first`."""
    first = min(first, pages / count)
    return [first + (pages - first) * i / (count - 1) for i in range(count - 1)]
