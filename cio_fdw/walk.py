"""One chain of requests being walked: which request is next, and when the chain ends.

    walk = Walk(chain, endpoint)
    walk.request        GET /v1/messages?…                first
    walk.advance(page)  -> True: walk.request is now GET /v1/messages?…&start=<cursor>; False: the end

Raises PagingError when a cursor comes back: the API restarts a list at page one when it is asked past
the end (OBSERVED.md, messages), which would never stop. Nor would empty pages that always name a next one.
RecordError when rows that may come again have no key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Optional

from cio_fdw.came import Came
from cio_fdw.endpoint import NEXT_PAGE, PAGE, Endpoint, Window
from cio_fdw.errors import PagingError, RecordError
from cio_fdw.pages import Page
from cio_fdw.ranges import US
from cio_fdw.request import Chain
from cio_fdw.rows import RowReader
from cio_fdw.splitting import LATE_PAGES, Part, Seen
from cio_fdw.traffic import Traffic
from cio_fdw.windows import FREEZE_LAG_S

SAMPLE = 20
"""One record in so many tells how densely the rows of a page lie."""

PROBE_ROWS = 50
"""Rows that a probe asks for."""

END_OF_TIME_S = 2**62

MAX_OPEN_PAGES = 256
"""An open range that has more pages may grow as fast as it is read, and the keys of its rows take too much memory."""

LONG_OPEN_PAGES = 20
"""An open range that is expected to have more is frozen after its first page, where that costs least."""

MAX_EMPTY_PAGES = 100
"""In a row. An empty page with a next one is odd, but no end."""


class Probe(NamedTuple):
    """What a walk looks for that brings no rows: how densely they lie at `second`, in a range that begins there."""

    second: int
    length_s: int
    rows: int
    page_rows: int
    traffic: Traffic


class Walk:
    """The state of one chain. `not_before_s`: unix time before which `request` must not be sent."""

    def __init__(
        self,
        chain: Chain,
        endpoint: Endpoint,
        *,
        pages: Optional[float] = None,
        already: Optional[Came] = None,
        traffic: Optional[Traffic] = None,
        probe: Optional[Probe] = None,
    ) -> None:
        """`pages`: how many are expected. `already`: rows of the range that came in another walk.

        `came` has these and, as long as it may be cut, those of its own pages.
        """
        self.chain = chain
        self.seen: Optional[Seen] = None
        if chain.range_s and endpoint.window:
            self.seen = Seen(*chain.range_s, pages, traffic=traffic, is_open=chain.open)
        self.probe = probe
        self.came = already or Came()
        self.endpoint = endpoint
        self.request = chain.first
        self.not_before_s = 0.0
        self.since_s = 0.0
        """When the first page of `request`'s walk came, if it may come from the cache again."""
        self.page_number = 1
        self.is_open = chain.open
        self._nameless = False
        """Whether a row of the latest page has no key."""
        self._empty_pages = 0
        self._cursors: set[str] = set()
        """Of the pages that came."""
        self._repeats = chain.open or chain.may_shift or endpoint.may_shift
        self._known: set[Any] = set()
        """Keys of the rows that came in this walk, where one may come twice in it."""
        self._awaited: set[Any] = set(map(_bare, self.came.keys()))
        """Keys of the rows that came in another one, and will come in this one too."""

    @property
    def left_pages(self) -> Optional[float]:
        """How many requests this walk is expected to take yet; None when that is not known."""
        return self.seen.left if self.seen else None

    def urgency(self, share: float) -> tuple[int, float]:
        """What sorts walks, `share` being the pages that each request under way has left.

        First pages show how long their ranges are. Of the others the longest, so that all end together; but those that
        had better be cut wait, as that costs what they have read.
        """
        if self.seen is None:
            return 1, 0.0
        if self.page_number == 1:
            return 0, 0.0
        left = self.left_pages or 0.0
        return (2, left) if self.seen.is_long(share) else (1, -left)

    @property
    def begins_range(self) -> bool:
        """Whether its request is the first for the rows of a range of time."""
        return self.chain.brings_rows and self.page_number == 1 and (self.chain.open or self.chain.range_s is not None)

    @property
    def tells_soon(self) -> bool:
        """Whether the answer to its request is the first to tell of a range."""
        return self.probe is not None or (self.seen is not None and self.page_number == 1)

    def constants(self, page: Page) -> dict[str, Any]:
        """Column values of the rows in `page`, the answer to the present request, that their records lack."""
        known = dict(self.chain.constants)
        if self.endpoint.by_page and self.endpoint.paging:
            asked = self.chain.first if self.chain.one_page else self.request
            known[PAGE] = dict(asked.params).get(self.endpoint.paging.param, "")
            known[NEXT_PAGE] = page.next
        return known

    def advance(self, page: Page, now_s: int) -> bool:
        """Whether there is a next request after `page`, which was the answer to the present one."""
        if page.next is None or self.endpoint.paging is None or self.probe:
            return False
        if self.chain.one_page and page.records:
            return False
        if page.next in self._cursors:
            raise PagingError(
                f"table {self.endpoint.name}: page {self.page_number} of GET {self.request.path} "
                "leads back to an earlier page",
                hint="The API's paging loops; ask for less at once, or try again later.",
            )
        if self.is_open and self._nameless:
            raise RecordError(
                f"table {self.endpoint.name}: a record has no {' and no '.join(self.endpoint.key)}, so that it could "
                "not be told whether it comes again",
                hint="Give an upper bound in the past, so that no row is added while the others are read.",
            )
        if self.is_open and self.page_number >= MAX_OPEN_PAGES:
            self._freeze(int(page.came_s) or now_s)
            return True
        self._empty_pages = 0 if page.records else self._empty_pages + 1
        if self._empty_pages >= MAX_EMPTY_PAGES:
            raise PagingError(
                f"table {self.endpoint.name}: GET {self.request.path} gave {MAX_EMPTY_PAGES} empty pages in a row, "
                "each with a next one",
                hint="The API's paging does not end; ask for less at once, or try again later.",
            )
        self._cursors.add(page.next)
        self.since_s = self.since_s or page.came_s
        self.request = self.request.with_param(self.endpoint.paging.param, page.next)
        self.page_number += 1
        return True

    def _freeze(self, now_s: int) -> None:
        """Starts the open range again as one that ends now, once that second has elapsed; it is not cut any more.

        Each row of that one comes once, so that no more keys need be kept.
        """
        window = self.endpoint.window
        if window is None:
            raise ValueError(f"{self.endpoint.name} has an open range without a window")
        self.is_open, self.seen = False, None
        self.not_before_s = now_s + FREEZE_LAG_S
        self.since_s, self.page_number = 0.0, 1
        self._cursors.clear()
        self._repeats = self.chain.may_shift
        self._awaited |= self._known
        if window.end_param not in dict(self.chain.first.params):
            self.request = self.chain.first.with_param(window.end_param, str(now_s))
        else:
            self.request = self.chain.first

    @property
    def may_repeat(self) -> bool:
        """Whether records may come twice: of an open range, a list that shifts, a range that was cut."""
        return self._repeats or bool(self._awaited)

    def first_time(self, keys: Sequence[tuple[Any, ...]]) -> list[bool]:
        """For each record's key whether it has not come in this walk before. One with a null tells nothing apart."""
        fresh = []
        for key in keys:
            bare = _bare(key)
            fresh.append(None in key or not (bare in self._known or bare in self._awaited))
            if self._repeats:
                self._known.add(bare)
        self._nameless = any(None in key for key in keys)
        # Of what does not shift, each row comes once.
        awaited = self._awaited.intersection(map(_bare, keys)) if self._awaited else ()
        self._known.update(awaited)
        self._awaited.difference_update(awaited)
        return fresh


def _bare(key: tuple[Any, ...]) -> Any:
    """What a set keeps of a key: of one column its value, which takes a third less memory."""
    return key[0] if len(key) == 1 else key


def note(walk: Walk, page: Page) -> None:
    """Learns from a page of `walk` how long it still is, and keeps what is needed to cut it."""
    window, seen = walk.endpoint.window, walk.seen
    if window is None or (seen is None and walk.probe is None):
        return
    keeps = seen is not None and not seen.is_certain and page.next is not None and seen.read < LATE_PAGES
    records = page.records if keeps else [*page.records[::SAMPLE], *page.records[-1:]]
    columns = _all_there(walk, records, (*walk.endpoint.key, window.column) if keeps else (window.column,))
    created_s = [created // US for created in columns[-1]] if columns else []
    if walk.probe:
        _note_probe(walk.probe, len(page.records), created_s)
    if seen is None:
        return
    sample = [*created_s[::SAMPLE], *created_s[-1:]] if keeps else created_s
    seen.note(sample, is_last=page.next is None, rows=len(page.records))
    if not keeps:
        walk.came.clear()
    elif columns:
        walk.came.add(list(zip(*columns[:-1])), created_s)
    elif page.records:
        walk.seen = None  # rows that cannot be told apart, or are at no time


def split_walk(walk: Walk, others: Sequence[Walk], width: int) -> list[Walk]:
    """Walks that together read the range of `walk`; [] when it should go on by itself.

    `others`: the other walks of the scan. The rows that came come again in the parts that hold their second; there they
    are passed over. An open range becomes frozen ones and one that stays open: the newest part if that is short, else
    what is newer than all parts. It does so too when it is long, or may be, and is not cut.
    """
    seen = walk.seen
    if seen is None or seen.is_certain:  # of which no keys are kept
        return []
    newest_pages = LATE_PAGES if walk.is_open else math.inf
    parts = seen.parts([other.seen for other in others if other.seen], width, newest=newest_pages)
    if walk.is_open and not parts and _had_better_be_frozen(seen):
        parts = [Part(seen.low_s, seen.high_s, seen.left)]
    return divided(walk, parts)


def divided(walk: Walk, parts: Sequence[Part]) -> list[Walk]:
    """Walks that together read the range of `walk`, which the parts cover, newest first; [] when there is no part.

    Of an open range the newest part stays open when it `is_short`, else what is newer than all parts is one more.
    """
    window, seen = walk.endpoint.window, walk.seen
    if window is None or seen is None or not parts:
        return []
    if not walk.is_open:
        return [_part_of(walk, window, part) for part in parts]
    newest = parts[0]
    if newest.is_short:
        return [_open_from(walk, window, newest), *(_part_of(walk, window, part) for part in parts[1:])]
    newer = Part(seen.high_s + 1, seen.high_s, None)
    return [*(_part_of(walk, window, part) for part in parts), _open_from(walk, window, newer)]


def _had_better_be_frozen(seen: Seen) -> bool:
    """Whether an open range is so long, or of unknown length, that it might have to be later."""
    is_early = seen.read == 1 or (seen.is_denied and seen.read <= LATE_PAGES)
    return is_early and (seen.left is None or seen.left > LONG_OPEN_PAGES)


def _note_probe(probe: Probe, rows: int, times_s: Sequence[int]) -> None:
    goes_on = rows >= probe.rows and times_s
    length_s = abs(probe.second - times_s[-1]) + 1 if goes_on else probe.length_s
    probe.traffic.note(probe.second, max(rows, 1) / probe.page_rows / length_s)


def probe_for(walk: Walk, share: float) -> Optional[Walk]:
    """A walk that brings no rows, but tells whether it pays to cut `walk`; None when that is known."""
    window, paging, seen = walk.endpoint.window, walk.endpoint.paging, walk.seen
    second = seen.probe_s(share) if seen and paging and paging.size_param else None
    if window is None or paging is None or seen is None or second is None:
        return None
    low_s, high_s = (seen.low_s, second) if seen.falls else (second, seen.high_s)
    first = walk.chain.first.with_param(window.start_param, str(low_s)).with_param(window.end_param, str(high_s))
    page_rows = int(dict(first.params)[paging.size_param])
    rows = min(PROBE_ROWS, page_rows)
    first = first.with_param(paging.size_param, str(rows))
    probe = Probe(second, high_s - low_s + 1, rows, page_rows, seen.traffic)
    chain = replace(walk.chain, first=first, fallback=None, open=False, range_s=None, probes=True)
    return Walk(chain, walk.endpoint, probe=probe)


def _all_there(walk: Walk, records: Sequence[Any], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values of each of these columns; nothing when one is missing or unusable somewhere."""
    try:
        rows = RowReader(walk.endpoint, columns).read(records)
    except RecordError:  # a column that the statement may not want: whoever reads it will say so
        return []
    values = list(zip(*rows))
    return [] if any(None in column for column in values) else values


def _part_of(walk: Walk, window: Window, part: Part) -> Walk:
    first = walk.chain.first.with_param(window.start_param, str(part.low_s))
    first = first.with_param(window.end_param, str(part.high_s))
    # The API took the filter for the whole range, so a part without it would be asked for in vain.
    chain = replace(walk.chain, first=first, fallback=None, open=False, range_s=(part.low_s, part.high_s))
    return _instead(walk, chain, part, part.high_s)


def _open_from(walk: Walk, window: Window, part: Part) -> Walk:
    """The walk over `part` and all that is newer; the part is empty when only that is wanted."""
    first = walk.chain.first.with_param(window.start_param, str(part.low_s))
    range_s = (part.low_s, part.high_s) if part.low_s <= part.high_s else None
    chain = replace(walk.chain, first=first, fallback=None, range_s=range_s)
    return _instead(walk, chain, part, END_OF_TIME_S)


def _instead(walk: Walk, chain: Chain, part: Part, until_s: int) -> Walk:
    """A walk that knows what `walk` knows of `part`, whose rows may be as late as `until_s`."""
    traffic = walk.seen.traffic if walk.seen else None
    already = walk.came.within(part.low_s, until_s)
    return Walk(chain, walk.endpoint, pages=part.pages, already=already, traffic=traffic)
