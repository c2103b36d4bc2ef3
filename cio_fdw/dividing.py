"""The walks that a scan begins with: long ranges are divided as earlier scans showed, and this one shows it the next.

    division = Division(plan.chains, endpoint, densities, Budget(), width=3)
    division.walks()        # of a range that had 60 pages: six of ten pages each, newest first
    division.keep(now_s)    # at the end of the scan

A part costs up to one page that is not full. So there are no more than a tenth of the pages, and no request is sent
again. Where nothing is known, or it was wrong, ranges are cut as their pages come (`splitting`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional

from cio_fdw.densities import Densities
from cio_fdw.endpoint import Endpoint
from cio_fdw.histogram import Histogram, Sample
from cio_fdw.request import Chain, Request
from cio_fdw.splitting import Part
from cio_fdw.traffic import Budget, Traffic
from cio_fdw.walk import Walk, divided
from cio_fdw.windows import DAY_S, frozen_until_s

PART_PAGES = 10.0
"""One part more for each so many: its last page may be nearly empty."""

WORTH_PAGES = 8.0
"""A list with fewer is not divided, so nothing need be known of it."""

SLACK_PAGES = 0.5
"""What is known may be so much less than there is: a page that is not full, rows that came since."""

NEWER_PAGES = 1.0
"""What came since the last scan is a part of its own when so many pages are expected of it: it may be a burst."""

MAX_SAMPLES = 65_536
"""Of the times of rows, so that a scan of millions does not end with a pause."""

PARTS_EACH = 2
"""For each request that may be under way: where one part is longer than expected, the others make up for it."""

WRONG = 2.0
"""What was known of a short list is replaced when it has so many times as many pages, and as many more, or less."""


class Division:
    """Of the chains of one scan. `densities`: None where nothing is to be known or kept."""

    def __init__(
        self, chains: Sequence[Chain], endpoint: Endpoint, densities: Optional[Densities], budget: Budget, width: int
    ) -> None:
        self._endpoint, self._densities, self._budget, self._width = endpoint, densities, budget, width
        known = self._known(chains)
        keeps = densities is not None and endpoint.window is not None
        self._chains = [
            (chain, Traffic(budget, known.get(_list_of(chain, endpoint)), is_kept=keeps)) for chain in chains
        ]

    def _known(self, chains: Sequence[Chain]) -> dict[str, Histogram]:
        """In pages."""
        lists = {_list_of(chain, self._endpoint): chain for chain in chains if chain.range_s}
        if not self._densities or not lists:
            return {}
        found = self._densities.of(lists)
        return {list_: rows.scaled(1 / _page_rows(lists[list_], self._endpoint)) for list_, rows in found.items()}

    def walks(self) -> list[Walk]:
        pages = [_pages(chain, traffic) for chain, traffic in self._chains]
        parts_a_page = _count(sum(pages), self._width) / (sum(pages) or 1.0)
        walks: list[Walk] = []
        for (chain, traffic), its_pages in zip(self._chains, pages):
            whole = Walk(chain, self._endpoint, traffic=traffic)
            parts = _parts(chain, traffic.known, round(its_pages * parts_a_page))
            for _ in parts[1:]:
                self._budget.cut(again=False, perhaps=False)
            traffic.is_cut = len(parts) > 1
            walks += divided(whole, parts) or [whole]
        return walks

    def keep(self, now_s: int) -> None:
        """What the scan showed of those chains that were read to their ends. `now_s`: unix time."""
        window = self._endpoint.window
        if not self._densities or not window:
            return
        for chain, traffic in self._chains:
            if chain.range_s is None or traffic.read_s != chain.range_s[1] - chain.range_s[0] + 1:
                continue
            seen = Histogram.of(_thinned(traffic.read), *chain.range_s)
            pages = seen.within(*chain.range_s) / _page_rows(chain, self._endpoint)
            if pages >= WORTH_PAGES or _is_wrong(_pages(chain, traffic), pages):
                kept = (now_s - window.kept_days * DAY_S, frozen_until_s(now_s))
                self._densities.learn(_list_of(chain, self._endpoint), seen, kept=kept)


def _list_of(chain: Chain, endpoint: Endpoint) -> str:
    """What is asked for, in whatever range and pages."""
    window, paging = endpoint.window, endpoint.paging
    bounds = {window.start_param, window.end_param} if window else set()
    pages = {paging.param, paging.size_param} if paging else set()
    params = tuple(param for param in chain.first.params if param[0] not in bounds | pages)
    return Request(chain.first.path, params).target


def _page_rows(chain: Chain, endpoint: Endpoint) -> int:
    paging = endpoint.paging
    asked = dict(chain.first.params).get(paging.size_param) if paging else None
    return int(asked) if asked else (paging.page_size if paging else 0) or endpoint.typical_rows


def _pages(chain: Chain, traffic: Traffic) -> float:
    """How many pages are known to be in its range, as far as anything is known of it."""
    if traffic.known is None or chain.range_s is None:
        return 0.0
    low_s, high_s = chain.range_s
    return traffic.known.within(low_s, min(high_s, traffic.known.end_s - 1))


def _is_wrong(expected: float, pages: float) -> bool:
    return not (expected + 1) / WRONG <= pages + 1 <= WRONG * (expected + 1) if expected else False


def _thinned(pages: Sequence[Sample]) -> Iterator[Sample]:
    """As many as MAX_SAMPLES tell enough of."""
    step = sum(len(seconds) for seconds, _ in pages) // MAX_SAMPLES + 1
    return ((seconds[::step], rows) for seconds, rows in pages)


def _count(pages: float, width: int) -> int:
    """In how many parts so many pages are read: as many for each request that may be under way."""
    if width < 2:
        return 1
    count = min(int(1 + (pages + SLACK_PAGES) / PART_PAGES), PARTS_EACH * width)
    return count - count % width if count > width else count


def _parts(chain: Chain, known: Optional[Histogram], count: int) -> list[Part]:
    """Newest first, when there is more than one. What is not known of the range is a part by itself."""
    if known is None or chain.range_s is None or count < 2:
        return []
    low_s, high_s = chain.range_s
    begin_s, end_s = max(low_s, known.begin_s), min(high_s, known.end_s - 1)
    if known.mean * (high_s - end_s) < NEWER_PAGES:
        end_s = high_s
    newer = [Part(end_s + 1, high_s, None, is_new=True)] if end_s < high_s else []
    older = [Part(low_s, begin_s - 1, None)] if low_s < begin_s else []
    return [*newer, *(Part(*part) for part in known.cut(begin_s, end_s, count)), *older]
