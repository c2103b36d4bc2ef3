"""How long a walk over a range still is, and where to cut what is left, so that another walk reads the rest.

    traffic = Traffic()                             # of one chain of requests
    seen = Seen(1000, 9999, traffic=traffic)        # of one walk
    seen.note([9990, 9980, …], is_last=False)
    seen.left                                       # 89.1 pages, if the rest is like what was seen
    seen.cut(0.5)                                   # Cut(edge_s=5490, pages=44.5): half of it lies beyond that second

A cursor leads from page to page, one after the other. Ranges of time are independent of each other, so that several
are read at once. What a range holds is only known as its pages come: each tells how densely the rows lie at its end,
if the pages are in the order of time. That order is not documented (OBSERVED.md), so it is a hint for sizes and never
decides which rows are read: `walk` sees to it that the two parts cover the whole range.

Whenever a request more may be under way, the longest walk is cut (`cutting`). A cut costs half a page, as each part
ends with a page that is not full, and what all cost stays within a share of the pages that came and of those that are
sure to come (`traffic`). Rows that lie far more densely at one end of a gap than at the other are a burst, which may
end anywhere in it: there as much is kept as has been seen.

Where an earlier scan told how the rows lie (`Traffic.known`), a walk is as long as that says, and is not cut; one that
is newer at its end is cut when its pages do not bear it out.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple, Optional

from cio_fdw.histogram import Sample
from cio_fdw.traffic import BURST, Stretch, Traffic

SHORT_PAGES = 16
"""The newest part of a range stays open when it has no more: the keys of its rows are held."""

BURST_PAGES = 8.0
"""Least pages that are kept of a burst."""

VAST_PAGES = 200.0
"""One page is not believed to show more: it may be of a burst."""

BELIEF = 4.0
"""As much as a walk has read so many times is believed to come in it, where nothing is known of the far end."""

SCAN_BELIEF = 8.0
"""As much as has come in all so many times is believed to come in all."""

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
        return self.is_new or (self.pages is not None and self.pages <= SHORT_PAGES)


class Cut(NamedTuple):
    """What lies beyond `edge_s`, that is before it where rows come the newest first, is another's: so many pages."""

    edge_s: int
    pages: float


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
        self._least_s, self._most_s = high_s + 1, low_s - 1
        """Between which seconds all rows lie that came."""
        self.traffic = traffic or Traffic()
        self._falls = self._rises = True
        self._rows = 0
        """Of the latest page."""
        self._last_s: Optional[int] = None
        self._page_s = self._page_before_s = 0
        """Seconds that the latest page covers, and the one before it."""
        self._alike = 0
        """How many of the latest pages came since the rows began to lie so densely."""
        self._gap_of = -1
        self._kept_gap: list[Stretch] = []
        """What the gap was when so much had been noted (`Traffic.notes`): it is asked for again and again."""
        self._known = self.traffic.known if self.traffic.known and self.traffic.known.knows(low_s, high_s) else None
        self.pages = self._known.within(low_s, high_s) if self._known and pages is None else pages
        self._is_open = is_open
        self._sample: list[Sample] = []

    def note(self, created_s: Sequence[int], *, is_last: bool, rows: Optional[int] = None) -> None:
        """A page of so many `rows` came: `created_s` are times of some, in their order, the last row's among them.

        Without `rows`, of all.
        """
        rows = len(created_s) if rows is None else rows
        if created_s and self.traffic.is_kept:
            self._sample.append((array("q", created_s), rows))
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
        self._alike = self._alike + 1 if self._page_before_s <= BURST * self._page_s else 1
        at_s = self.low_s if self._last_s is None else self._last_s
        if rows or not is_last:
            self.traffic.budget.page(rows)
        if is_last and self.traffic.is_cut:
            self.traffic.budget.end(rows or self._rows)
        self._rows = rows
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
        return max(self.high_s - self.low_s + 1 - self._covered_s, 0)

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

    @property
    def _lately(self) -> float:
        """How densely the rows of the latest two pages lie."""
        return min(self.read, 2) / max(self._page_s + self._page_before_s, 1)

    def _gap_now(self) -> list[Stretch]:
        at_s = self._at_s
        if self._last_s is None:
            return self._unread()
        if self._falls:
            known = self.traffic.within(self.low_s, at_s - 1)[::-1]
            far = self.traffic.before(self.low_s)
        else:
            known = self.traffic.within(at_s + 1, self.high_s)
            far = self.traffic.after(self.high_s)
        # The latest page alone is only believed if the next that is known is like it: nights are not like days.
        latest, following = 1 / self._page_s, known[0][1] if known else far
        is_like = following is not None and latest <= BURST * following
        near = latest if is_like else self._lately
        gap, begin_s = [], 0
        for second, density in known:
            gap.append(Stretch(abs(second - at_s) - begin_s, near, density))
            begin_s, near = abs(second - at_s), density
        return [*gap, Stretch(self._left_s - begin_s, near, far)]

    def _unread(self) -> list[Stretch]:
        """The same of a walk of which no page came."""
        near, far = self.traffic.after(self.high_s), self.traffic.before(self.low_s)
        if near is None:
            return []
        gap, end_s = [], self.high_s
        for second, density in self.traffic.within(self.low_s, self.high_s)[::-1]:
            gap.append(Stretch(end_s - second, near, density))
            end_s, near = second, density
        return [*gap, Stretch(end_s - self.low_s + 1, near, far)]

    @property
    def left(self) -> Optional[float]:
        """Pages that have not come yet; None when the rows came in no order of time, or none came."""
        if not self.read:
            return self.pages
        if self._known and self._is_borne_out:
            return self._left_as_known
        if self._last_s is None or not (self._falls or self._rises):
            return None
        first, *rest = [stretch.pages for stretch in self._gap]
        if self._gap[0].is_burst:
            first = max(first, min(self._gap[0].length_s * self._gap[0].near, self._alike))
        return first + sum(rest)

    @property
    def is_certain(self) -> bool:
        """Whether an earlier scan read all of the range: what was created in it does not change. It is not cut."""
        known = None if self._is_open else self._known
        return known is not None and known.begin_s <= self.low_s and self.high_s < known.end_s

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

        One page may end on a day that is not like others. A burst is as likely as not to go on for as long as it did.
        """
        if not self.read:
            return self._sure_unread
        if self.left is None:
            return 0.0
        sure = sum(
            min(stretch.pages, BELIEF * self.read)
            if stretch.far is None
            else min(stretch.least, self._lately * stretch.length_s)
            for stretch in self._gap
        )
        return max(sure, self._alike) if self._gap[0].is_burst else sure

    @property
    def _sure_unread(self) -> float:
        """The same of a part of which no page has come in this walk."""
        known = [density for _, density in self.traffic.within(self.low_s, self.high_s)]
        ends = [self.traffic.before(self.low_s), self.traffic.after(self.high_s)]
        densities = [*known, *(density for density in ends if density is not None)]
        return min(self.pages or 0.0, (self.high_s - self.low_s) * min(densities)) if len(densities) > 1 else 0.0

    def cut(self, share: float, *, ahead: float = 0.0) -> Optional[Cut]:
        """Where to cut, so that `share` of what is left beyond `ahead` pages is kept.

        None when there is nothing left, or nothing to go by.
        """
        left = self.left
        if left is None or self.is_certain or (self._known and self._is_borne_out) or not self._gap:
            return None
        keep = ahead + max(left - ahead, 0.0) * share
        length_s, burst = self._seconds(keep), self._gap[0]
        if burst.is_burst and share:
            pages = max(float(self.traffic.budget.came), BURST_PAGES) + ahead
            length_s = min(int(pages / burst.near), burst.length_s // 2)
        if self._falls:
            edge_s = min(self._at_s - 1 - length_s, self._least_s - 1)
        else:
            edge_s = max(self._at_s + 1 + length_s, self._most_s + 1)
        return Cut(edge_s, max(left - keep, 0.0)) if self.low_s <= edge_s <= self.high_s else None

    def _seconds(self, pages: float) -> int:
        """From where the walk is to where so many pages end, if they lie evenly in each stretch."""
        end_s = 0
        for stretch in self._gap:
            if pages < stretch.pages:
                return int(end_s + stretch.length_s * pages / stretch.pages)
            end_s, pages = end_s + stretch.length_s, pages - stretch.pages
        return end_s

    def reaches(self, least_s: int, most_s: int) -> None:
        """The rows that came lie between these seconds, and those that the others do."""
        self._least_s, self._most_s = min(self._least_s, least_s), max(self._most_s, most_s)

    def keep(self, low_s: int, high_s: int) -> None:
        """The rest of the range is another walk's."""
        self.traffic.is_cut = True
        self.low_s, self.high_s = low_s, high_s
        self._gap_of = -1
