"""From the ranges that a statement wants to those that requests ask for.

    created >= '2026-01-01' AND created < '2026-02-01'   -> frozen ((1767225600, 1769904000),), none open
    created > now() - interval '1 day'                   -> none frozen, open from yesterday on

Paging is by row offset (OBSERVED.md, messages). A range whose last second has elapsed is frozen: each row comes once.
In an open one rows may come into being while it is read; they move those behind them to later pages, so that a row may
come twice but none is passed over. `walk` tells repeated ones by their keys, and makes frozen ranges of a long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

from cio_fdw.endpoint import Window
from cio_fdw.quals import UNKNOWN, Unknown
from cio_fdw.ranges import Bound, Range

DAY_S = 86_400

FREEZE_LAG_S = 2
"""A frozen range ends this long before now: one second that must have elapsed, one for clock skew."""


@dataclass(frozen=True)
class Windows:
    """What to ask: frozen ranges, newest first, and the open one, the newest. `missing_before_s`: for the NOTICE."""

    frozen: tuple[tuple[Bound, Bound], ...]
    open_from_s: Union[int, Unknown, None]
    """None: there is no open range. Its upper bound in the future is not asked for: the API narrows a long range."""
    days: float
    missing_before_s: Optional[int] = None

    @property
    def count(self) -> int:
        return len(self.frozen) + (self.open_from_s is not None)


def windows_for(window: Window, wanted: Sequence[Range], *, now_s: int, anchor_s: Optional[int]) -> Windows:
    """The ranges to ask for all of `wanted` (disjoint, oldest first). Those that end in the future become one."""
    open_ = [range_ for range_ in wanted if not isinstance(range_.high_s, int) or range_.high_s > frozen_until_s(now_s)]
    ranges = list(wanted[: len(wanted) - len(open_)])
    if open_:
        ranges.append(Range(open_[0].low_s, open_[-1].high_s))
    parts = [split(window, range_, now_s=now_s, anchor_s=anchor_s) for range_ in reversed(ranges)]
    return Windows(
        frozen=tuple(range_ for part in parts for range_ in part.frozen),
        open_from_s=next((part.open_from_s for part in parts if part.open_from_s is not None), None),
        days=sum(part.days for part in parts),
        missing_before_s=next((part.missing_before_s for part in parts if part.missing_before_s is not None), None),
    )


def split(window: Window, wanted: Range, *, now_s: int, anchor_s: Optional[int]) -> Windows:
    """The ranges to ask for `wanted`. `anchor_s`: earliest second of the table, when later than what is kept.

    A lower bound before that adds nothing: a condition must never bring rows that the table without it lacks.
    """
    if wanted.empty:
        return Windows((), None, 0)
    kept_from_s = now_s - window.kept_days * DAY_S
    frozen_end_s = frozen_until_s(now_s)
    if wanted.low_s is UNKNOWN or wanted.high_s is UNKNOWN:
        return _unknown(window, wanted, kept_from_s)
    first_s = max(kept_from_s, anchor_s or 0)
    low_s = first_s if wanted.low_s is None else max(wanted.low_s, first_s)
    high_s = wanted.high_s
    end_s = frozen_end_s if high_s is None else min(high_s, frozen_end_s)
    frozen = _parts(low_s, end_s, window.max_days * DAY_S)
    open_from_s: Optional[int] = None
    if high_s is None or high_s >= max(frozen_end_s + 1, low_s):
        open_from_s = frozen.pop(0)[0] if frozen else low_s
    asks_older = (wanted.low_s is not None and wanted.low_s < first_s) or (high_s is not None and high_s < first_s)
    return Windows(
        frozen=tuple(frozen),
        open_from_s=open_from_s,
        days=max(end_s - low_s, 0) / DAY_S,
        missing_before_s=first_s if asks_older else None,
    )


def frozen_until_s(now_s: int) -> int:
    """The last unix second of which it is sure, at `now_s`, that no more rows come into being in it."""
    return now_s - FREEZE_LAG_S


def _parts(low_s: int, end_s: int, max_s: int) -> list[tuple[int, int]]:
    """[low_s, end_s] in as few equal parts of at most max_s as possible, newest first."""
    if end_s < low_s:
        return []
    length_s = end_s - low_s + 1
    count = -(-length_s // max_s)
    edges = [low_s + length_s * i // count for i in range(count + 1)]
    return [(edges[i], edges[i + 1] - 1) for i in reversed(range(count))]


def _unknown(window: Window, wanted: Range, kept_from_s: int) -> Windows:
    """What to show and to estimate before the bounds are known."""
    low_s = kept_from_s if wanted.low_s is None else wanted.low_s
    both = wanted.low_s is UNKNOWN and wanted.high_s is UNKNOWN
    days = 1 if both else window.kept_days / 6
    if wanted.high_s is None:
        return Windows((), low_s, days)
    return Windows(((low_s, wanted.high_s),), None, days)
