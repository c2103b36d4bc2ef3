"""How densely rows lie in time, as the pages of a scan show it, and what the scan spends to find out.

budget = Budget()                       # of one scan
traffic = Traffic(budget)               # of one chain of requests, and of all that it is cut into
traffic.note(1767312000, 0.01)          # a page ended there, which covers 100 seconds
traffic.before(1767225600)              # pages a second in the next older page that came; None: there is none
budget.affords(2.5, sure=30.0)          # whether that many pages may be asked for to no avail
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import NamedTuple, Optional

from cio_fdw.histogram import Histogram, Sample

COST_SHARE = 0.1
FREE_PAGES, FADED_PAGES = 2.0, 60.0
"""What cutting may cost: this share of the pages that the scan needs, as far as they are known, and so many more where
the smallest cut would else be too dear. That is so in bursts, and before so many pages are known."""


BURST = 8.0
"""How many times as densely rows lie in a burst as beyond it."""


class Stretch(NamedTuple):
    """Seconds of which no page has come; how many pages a second there are where it begins, and ends, if known."""

    length_s: int
    near: float
    far: Optional[float]

    @property
    def pages(self) -> float:
        return self.length_s * (self.near if self.far is None else math.sqrt(self.near * self.far))

    @property
    def least(self) -> float:
        return self.length_s * min(self.near, self.far or 0.0)

    @property
    def is_burst(self) -> bool:
        return self.far is not None and self.near > BURST * self.far

    @property
    def is_vague(self) -> bool:
        """Whether it is not known how far it goes on as it begins."""
        return self.far is None or self.is_burst


class Budget:
    """Pages that a scan asks for to no avail: those that come again, and those that are not full."""

    def __init__(self) -> None:
        self.came = 0
        """Pages, without those that have to be asked for again."""
        self._spent = 0.0

    def affords(self, cost: float, sure: float, *, free: bool = True, fades: bool = False) -> bool:
        """Whether so many pages more may be spent, `sure` being certain to come yet.

        `free`: with FREE_PAGES, of which the fewer are left the more pages are known if that `fades`.
        """
        known = self.came + sure
        left = max(1 - known / FADED_PAGES, 0.0) if fades else 1.0
        return self._spent + cost <= COST_SHARE * known + FREE_PAGES * free * left

    def lacks(self, cost: float, sure: float) -> float:
        """How many pages more would have to be sure, for `cost` to be affordable."""
        return (self._spent + cost - FREE_PAGES) / COST_SHARE - self.came - sure

    def spend(self, cost: float, again: int) -> None:
        """Among `cost` are `again` pages that came already."""
        self._spent += cost
        self.came -= again


class Traffic:
    """What the walks of one chain have seen together, and what is `known` from earlier scans, in pages.

    Densities are in pages a second.
    """

    def __init__(
        self, budget: Optional[Budget] = None, known: Optional[Histogram] = None, *, is_kept: bool = False
    ) -> None:
        """`is_kept`: what was read is to be kept for later scans."""
        self.budget = budget or Budget()
        self.known = known
        self.is_kept = is_kept
        self.read: list[Sample] = []
        """Of pages that will not come again, if it is kept: unix seconds of some rows, for how many rows."""
        self.read_s = 0
        """Length of the ranges that were read to their ends."""
        self.notes = 0
        """How often something was noted: as long as that is the same, so is what is known."""
        self._times: list[int] = []
        self._densities: list[float] = []

    def note(self, at_s: int, density: float) -> None:
        """So densely the rows lie down to `at_s`, in pages a second."""
        self.notes += 1
        place = bisect_left(self._times, at_s)
        self._times.insert(place, at_s)
        self._densities.insert(place, density)

    def within(self, low_s: int, high_s: int) -> list[tuple[int, float]]:
        """The ends of the pages from `low_s` to `high_s`, both included, and their densities, oldest first."""
        begin, end = bisect_left(self._times, low_s), bisect_right(self._times, high_s)
        return list(zip(self._times[begin:end], self._densities[begin:end]))

    def before(self, second: int) -> Optional[float]:
        """The density of the latest page that ended before `second`."""
        place = bisect_left(self._times, second)
        return self._densities[place - 1] if place else None

    def after(self, second: int) -> Optional[float]:
        """The density of the earliest page that ended after `second`."""
        place = bisect_right(self._times, second)
        return self._densities[place] if place < len(self._times) else None
