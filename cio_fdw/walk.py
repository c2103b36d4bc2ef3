"""One chain of requests being walked: which request is next, which rows of its answer are new, when the chain ends.

    walk = Walk(chain, endpoint)
    walk.prepare()
    walk.request        GET /v1/messages?…                first
    walk.take_in(page)  -> None: all of its rows are new; or [True, False, …]
    walk.advance(page)  -> True: walk.request is now GET /v1/messages?…&start=<cursor>; False: the end

    newer_half, older_half = walk, split_off(walk, Cut(edge_s=1767312000, pages=20.0))

Raises PagingError when a cursor comes back: the API restarts a list at page one when it is asked past
the end (OBSERVED.md, messages), which would never stop. Nor would empty pages that always name a next one.
RecordError when rows that may come again have no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from typing import Any, Callable, Optional, TypeVar

from cio_fdw.endpoint import NEXT_PAGE, PAGE, Endpoint, Window
from cio_fdw.errors import PagingError, RecordError
from cio_fdw.joining import END_OF_TIME_S, Place
from cio_fdw.pages import Page
from cio_fdw.ranges import US
from cio_fdw.request import Chain
from cio_fdw.rows import RowReader
from cio_fdw.splitting import Cut, Part, Seen
from cio_fdw.traffic import Traffic
from cio_fdw.windows import FREEZE_LAG_S

T = TypeVar("T")
Key = tuple[Any, ...]
Times = list[Optional[int]]
"""Unix seconds."""

SAMPLE = 20
"""One record in so many tells how densely the rows of a page lie."""

MAX_OPEN_PAGES = 256
"""An open range that has more pages may grow as fast as it is read, and the keys of its rows take too much memory."""

MAX_EMPTY_PAGES = 100
"""In a row. An empty page with a next one is odd, but no end."""


class Walk:
    """The state of one chain. `not_before_s`: unix time before which `request` must not be sent."""

    def __init__(
        self, chain: Chain, endpoint: Endpoint, *, pages: Optional[float] = None, traffic: Optional[Traffic] = None
    ) -> None:
        """`pages`: how many are expected."""
        self.chain = chain
        self.endpoint = endpoint
        self._repeats = chain.open or chain.may_shift or endpoint.may_shift
        self.seen: Optional[Seen] = None
        self._place: Optional[Place] = None
        if chain.range_s and endpoint.window and endpoint.paging:
            self.seen = Seen(*chain.range_s, pages, traffic=traffic, is_open=chain.open)
            range_s = (chain.range_s[0], END_OF_TIME_S if chain.open else chain.range_s[1])
            paging = (endpoint.window, endpoint.paging.param)
            self._place = Place(chain.first, paging, range_s, self.seen.traffic.budget, shifts=self._repeats)
        self.request = chain.first
        self.not_before_s = 0.0
        self.since_s = 0.0
        """When the first page of `request`'s walk came, if it may come from the cache again."""
        self.page_number = 1
        self.is_open = chain.open
        self.is_cut = False
        """Whether other walks bring some of its rows."""
        self._nameless = False
        """Whether a row of the latest page has no key."""
        self._empty_pages = 0
        self._cursors: set[str] = set()
        """Of the pages that came."""
        self._known: set[Any] = set()
        """Keys of the rows that came in this walk, where one may come twice in it."""
        self._awaited: set[Any] = set()
        """Keys of the rows that came before it was frozen, and will come again."""

    @property
    def left_pages(self) -> float:
        """How many requests this walk is expected to take yet; 0 when that is not known."""
        return (self.seen.left or 0.0) if self.seen else 0.0

    @property
    def urgency(self) -> tuple[int, float]:
        """What sorts walks: first pages show how long their ranges are. Of the others the longest, so that all end
        together."""
        return (0, 0.0) if self.seen and self.page_number == 1 else (1, -self.left_pages)

    @property
    def begins_range(self) -> bool:
        """Whether its request is the first for the rows of a range of time."""
        return self.chain.brings_rows and self.page_number == 1 and (self.chain.open or self.chain.range_s is not None)

    @property
    def has_begun(self) -> bool:
        """Whether a page came."""
        return self.page_number > 1

    @property
    def asks_again(self) -> bool:
        """Whether the first cut may make it ask for a page again (`joining`)."""
        joins = self.seen.traffic.budget.joins if self.seen else None
        return self.has_begun and (self._repeats or (not joins and not self.is_cut))

    @property
    def may_be_cut(self) -> bool:
        if self.seen is None or self.seen.is_certain or (self._place and self._place.stays):
            return False
        # Whether the API takes the filter is known when a page came, whether cursors lead on when that was tried.
        return self.seen.traffic.budget.joins is not False if self.has_begun else not self.chain.fallback

    @property
    def is_joining(self) -> bool:
        """Whether the present request may be refused, as it takes a cursor elsewhere; then `refuse`."""
        return self._place is not None and self._place.is_joining

    def refuse(self) -> None:
        """The present request was: the next one does without."""
        if self._place:
            self._place.refuse()

    def prepare(self) -> None:
        """Makes `request` what is to be sent now."""
        if self._place:
            self.request = self._place.request()

    def keep(self, low_s: int, high_s: int) -> None:
        """Other walks bring the rows beyond these seconds."""
        if self._place and self.seen:
            self.is_cut = True
            self._place.range_s = (low_s, high_s)
            self.seen.keep(low_s, min(high_s, self.seen.high_s))

    def constants(self, page: Page) -> dict[str, Any]:
        """Column values of the rows in `page`, the answer to the present request, that their records lack."""
        known = dict(self.chain.constants)
        if self.endpoint.by_page and self.endpoint.paging:
            asked = self.chain.first if self.chain.one_page else self.request
            known[PAGE] = dict(asked.params).get(self.endpoint.paging.param, "")
            known[NEXT_PAGE] = page.next
        return known

    def take_in(self, page: Page) -> Optional[list[bool]]:
        """For each record of `page` whether it is one of this walk's rows and has not come before; None: all are.

        Learns from them how long the walk still is.
        """
        place, records = self._place, page.records
        if place is None:
            return self.first_time(self._keys(page)) if self.may_repeat else None
        is_cuttable = self.seen is not None and not self.seen.is_certain and page.next is not None
        keys: Optional[list[Key]] = None
        times_s: Optional[Times] = None
        if self.may_repeat:
            keys = self._keys(page)
        elif place.is_joining or (place.wants_keys and (is_cuttable or place.is_narrowed)):
            keys = _if_all_are_there(self._keys, page)
        if place.is_wider:
            times_s = self._all_times_s(records)
        elif place.is_narrowed or is_cuttable:
            times_s = _if_all_are_there(self._times_s, records)
        fresh = place.sift(len(records), keys, times_s, is_last=page.next is None)
        if place.is_ignored:
            return fresh
        if self.may_repeat:
            fresh = _both(fresh, self.first_time(keys or []))
        if is_cuttable and (times_s is None or (keys is None and place.wants_keys)):
            self.seen = None  # rows that cannot be told apart, or are at no time
            place.stays = True
        if self.seen:
            self._note(self.seen, page, times_s, fresh, is_last=page.next is None or place.is_over)
        return fresh

    def _note(
        self, seen: Seen, page: Page, times_s: Optional[Times], fresh: Optional[list[bool]], *, is_last: bool
    ) -> None:
        """Shows `seen` what the page brought; an answer that only says where it joins is none."""
        if times_s is None:
            rows = len(page.records)
            shown = _if_all_are_there(self._times_s, [*page.records[::SAMPLE], *page.records[-1:]]) or []
        else:
            brought = [second for second in (compress(times_s, fresh) if fresh else times_s) if second is not None]
            rows = len(brought)
            if brought:
                seen.reaches(min(brought), max(brought))
            shown = [*brought[::SAMPLE], *brought[-1:]]
        if rows or is_last or not page.records:
            seen.note(shown, is_last=is_last, rows=rows)

    def _keys(self, page: Page) -> list[Key]:
        return RowReader(self.endpoint, self.endpoint.key).read(page.records, self.constants(page))

    def _times_s(self, records: Sequence[Any]) -> Times:
        window = self.endpoint.window
        if window is None:
            raise ValueError(f"{self.endpoint.name} has no window")
        times = RowReader(self.endpoint, (window.column,)).read(records)
        return [None if time is None else time // US for (time,) in times]

    def _all_times_s(self, records: Sequence[Any]) -> Times:
        """Of rows of which some are another walk's. Raises RecordError where one cannot be told."""
        times_s = self._times_s(records)
        if None in times_s and self.endpoint.window:
            raise RecordError(
                f"table {self.endpoint.name}: a record has no {self.endpoint.window.column}, so that it could not be "
                "told which part of the range it belongs to",
                hint="With max_concurrency '1' a range that ends in the past is read in one piece.",
            )
        return times_s

    def advance(self, page: Page, now_s: int) -> bool:
        """Whether there is a next request after `page`, which was the answer to the present one."""
        place = self._place
        if place and place.is_ignored:
            place.is_ignored = False
            return True
        if page.next is None or self.endpoint.paging is None or (place and place.is_over):
            return False
        if self.chain.one_page and page.records:
            return False
        if place and place.has_moved:
            place.has_moved = False
            self._cursors.clear()
        if page.next in self._cursors:
            raise PagingError(
                f"table {self.endpoint.name}: page {self.page_number} of GET {self.request.path} "
                "leads back to an earlier page",
                hint="The API's paging loops; ask for less at once, or try again later.",
            )
        if self.chain.open and self._repeats and self._nameless:
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
        self.page_number += 1
        if place:
            place.follow(page.next)
        self.request = self.request.with_param(self.endpoint.paging.param, page.next)
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
        self.request = self.chain.first
        if window.end_param not in dict(self.request.params):
            self.request = self.request.with_param(window.end_param, str(now_s))
        if self._place:
            low_s = self._place.range_s[0]
            self.request = self.request.with_param(window.start_param, str(low_s))
            self._place.restart(self.request, (low_s, now_s))

    @property
    def may_repeat(self) -> bool:
        """Whether records may come twice: of an open range, a list that shifts, a range that was open."""
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


def _both(some: Optional[list[bool]], others: list[bool]) -> list[bool]:
    return [one and other for one, other in zip(some, others)] if some else others


def _if_all_are_there(read: Callable[[T], list[Any]], what: T) -> Optional[list[Any]]:
    """The values, each a tuple or a number; None when one is missing or unusable somewhere."""
    try:
        values = read(what)
    except RecordError:  # a column that the statement may not want: whoever reads it will say so
        return None
    return None if any(value is None or (isinstance(value, tuple) and None in value) for value in values) else values


def split_off(walk: Walk, cut: Cut) -> Walk:
    """A walk over what lies beyond the cut; `walk` keeps the rest of its range, where it is."""
    window, seen = walk.endpoint.window, walk.seen
    if window is None or seen is None:
        raise ValueError(f"{walk.endpoint.name} has no range to cut")
    low_s, high_s, edge_s = seen.low_s, seen.high_s, cut.edge_s
    if seen.falls:
        walk.keep(edge_s + 1, END_OF_TIME_S if walk.is_open else high_s)
        return _part_of(walk, window, Part(low_s, edge_s, cut.pages))
    walk.keep(low_s, edge_s - 1)
    if walk.is_open:
        walk.is_open = False
        return _open_from(walk, window, Part(edge_s, high_s, cut.pages))
    return _part_of(walk, window, Part(edge_s, high_s, cut.pages))


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


def _part_of(walk: Walk, window: Window, part: Part) -> Walk:
    first = walk.chain.first.with_param(window.start_param, str(part.low_s))
    first = first.with_param(window.end_param, str(part.high_s))
    # The API took the filter for the whole range, so a part without it would be asked for in vain.
    return _instead(walk, replace(walk.chain, first=first, open=False, range_s=(part.low_s, part.high_s)), part)


def _open_from(walk: Walk, window: Window, part: Part) -> Walk:
    """The walk over `part` and all that is newer; the part is empty when only that is wanted."""
    first = walk.chain.first.with_param(window.start_param, str(part.low_s))
    range_s = (part.low_s, part.high_s) if part.low_s <= part.high_s else None
    return _instead(walk, replace(walk.chain, first=first, open=True, range_s=range_s), part)


def _instead(walk: Walk, chain: Chain, part: Part) -> Walk:
    """A walk that knows what `walk` knows of `part`."""
    traffic = walk.seen.traffic if walk.seen else None
    return Walk(replace(chain, fallback=None), walk.endpoint, pages=part.pages, traffic=traffic)
