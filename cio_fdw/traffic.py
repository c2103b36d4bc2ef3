"""How densely rows lie in time, as the pages of a scan show it, and what the scan spends to find out.

budget = Budget()                       # of one scan
traffic = Traffic(budget)               # of one chain of requests, and of all that it is cut into
traffic.note(1767312000, 0.01)          # a page ended there, which covers 100 seconds
traffic.before(1767225600)              # pages a second in the next older page that came; None: there is none
budget.affords_a_cut(30.0, again=False) # whether 30 pages that are yet to come make up for what it costs
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import NamedTuple, Optional

from cio_fdw.histogram import Histogram, Sample

COST_SHARE = 0.1
"""What cutting may cost: this share of the pages that the scan needs, as far as they are known."""

DOUBT = 1.5
"""How many standard deviations of what cuts cost are reckoned with: each costs between no page and one."""

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


class Budget:
    """What a scan may spend on pages that are not full because ranges were cut, and on telling where to go on.

    A part ends with a page that is between empty and full: half a page, as long as it has not come.
    """

    def __init__(self) -> None:
        self.joins: Optional[bool] = None
        """Whether a cursor leads on in the list of a narrower range (`joining`); None: that was not tried."""
        self.came = 0
        """Pages."""
        self._page_rows = 1
        """The most of them."""
        self._spent = 0.0
        self._cuts = self._ends = 0
        self._owed, self._owed_perhaps = 0, 0
        """Pages that will be asked for again, and those that need not be if cursors lead on."""

    def page(self, rows: int) -> None:
        """A page came."""
        self.came += 1
        self._page_rows = max(self._page_rows, rows)

    def end(self, rows: int) -> None:
        """That with so many rows was the last of a part of a range that was cut."""
        self._ends += 1
        self._spent += 0.5 - rows / self._page_rows

    def affords_a_cut(self, sure: float, *, again: bool) -> bool:
        """Whether one more may be made, `sure` pages being certain to come yet. `again`: one may be asked for again."""
        cost = self._spent + again + (self._cuts + 1) / 2 + self._owed
        cost += self._owed_perhaps if self.joins is None and not self._owed else 0
        doubt = DOUBT * math.sqrt(max(self._cuts + 2 - self._ends, 1) / 12)
        return cost + doubt <= COST_SHARE * (self.came + sure)

    def cut(self, *, again: bool, perhaps: bool) -> None:
        """One was made. `again`: a page will be asked for again; `perhaps`: unless cursors lead on."""
        self._cuts += 1
        self._owed += again and not perhaps
        self._owed_perhaps += again and perhaps

    def joined(self, *, again: bool, perhaps: bool) -> None:
        """What was cut is left. `again`: for that a page was asked for again."""
        self._spent += again
        if perhaps:
            self._owed_perhaps = max(self._owed_perhaps - 1, 0)
        else:
            self._owed = max(self._owed - 1, 0)


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
        self.is_cut = False
        """Whether there is more than one walk."""
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
