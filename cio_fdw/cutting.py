"""Another walk where a request more may be under way: a part of what is left to the longest of the others.

    another(pending, under_way, width=3)    -> a Walk, whose rows the walk that was cut does not bring any more; or None
    shortened(walk)                         -> likewise, of an open range that should not become long

A cut costs about half a page, as one more part ends with a page that is not full (`traffic.Budget`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from cio_fdw.splitting import SCAN_BELIEF, SHORT_PAGES, VAST_PAGES, Cut, Seen
from cio_fdw.walk import Walk, split_off

LEAST_PAGES = 3.0
"""Less than that is not cut."""

OPEN_PAGES = 64
"""Of an open range no more are read, where rows come in the order of time: the keys of its rows are held."""


def another(pending: Sequence[Walk], under_way: Sequence[Walk], width: int) -> Optional[Walk]:
    """None where a cut does not pay. What the answers to those `under_way` have beyond it is passed over."""
    ahead = {id(walk): 1.0 for walk in under_way}
    walks = [walk for walk in (*pending, *under_way) if walk.may_be_cut and (walk.has_begun or id(walk) not in ahead)]
    sure = _sure([walk.seen for walk in walks if walk.seen])
    idle = max(width - len(pending) - len(under_way), 1)
    for walk in sorted(walks, key=lambda walk: -walk.left_pages):
        if part := _cut(walk, 1 / (idle + 1), sure, ahead.get(id(walk), 0.0)):
            return part
    return None


def shortened(walk: Walk) -> Optional[Walk]:
    """What is left of an open range of which OPEN_PAGES came."""
    seen = walk.seen
    if seen is None or not (walk.is_open and walk.may_be_cut) or seen.read < OPEN_PAGES:
        return None
    return _made(walk, seen, seen.cut(0.0))


def _cut(walk: Walk, share: float, sure: float, ahead: float) -> Optional[Walk]:
    seen = walk.seen
    if seen is None or walk.left_pages - ahead < LEAST_PAGES:
        return None
    if not seen.traffic.budget.affords_a_cut(sure, again=walk.asks_again):
        return None
    return _made(walk, seen, seen.cut(_kept(walk, share), ahead=ahead))


def _made(walk: Walk, seen: Seen, cut: Optional[Cut]) -> Optional[Walk]:
    if cut is None:
        return None
    seen.traffic.budget.cut(again=walk.asks_again, perhaps=not walk.may_repeat)
    return split_off(walk, cut)


def _kept(walk: Walk, share: float) -> float:
    """Which share of what is left a walk keeps: of an open range SHORT_PAGES at most, as the keys of its rows are held,
    and nothing the second time, as each time a page is asked for again."""
    if not walk.is_open:
        return share
    return 0.0 if walk.is_cut else min(share, SHORT_PAGES / walk.left_pages)


def _sure(walks: Sequence[Seen]) -> float:
    """Pages that are as good as certain to come."""
    came = walks[0].traffic.budget.came if walks else 0
    if came == 1:
        return min(sum(seen.left or 0.0 for seen in walks), VAST_PAGES)
    return min(sum(seen.sure for seen in walks), SCAN_BELIEF * came)
