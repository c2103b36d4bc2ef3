"""One chain of requests being walked: which request is next, and when the chain ends.

    walk = Walk(chain, endpoint)
    walk.request        GET /v1/messages?…                first
    walk.advance(page)  -> True: walk.request is now GET /v1/messages?…&start=<cursor>; False: the end

Raises PagingError when a cursor comes back: the API restarts a list at page one when it is asked past
the end (OBSERVED.md, messages), which would never stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cio_fdw.endpoint import NEXT_PAGE, PAGE, Endpoint
from cio_fdw.errors import PagingError
from cio_fdw.pages import Page
from cio_fdw.plan import Chain
from cio_fdw.windows import FREEZE_LAG_S


class Walk:
    """The state of one chain. `not_before_s`: unix time before which `request` must not be sent."""

    def __init__(self, chain: Chain, endpoint: Endpoint) -> None:
        self.chain = chain
        self.endpoint = endpoint
        self.request = chain.first
        self.not_before_s = 0.0
        self.page_number = 1
        self._open = chain.tail
        self._cursors: set[str] = set()
        self._seen: set[Any] = set()

    def constants(self, page: Page) -> dict[str, Any]:
        """Column values of the rows in `page`, the answer to the present request, that their records lack."""
        known = dict(self.chain.constants)
        if self.endpoint.by_page and self.endpoint.paging:
            known[PAGE] = dict(self.request.params).get(self.endpoint.paging.param, "")
            known[NEXT_PAGE] = page.next
        return known

    def advance(self, page: Page, now_s: int) -> bool:
        """Whether there is a next request after `page`, which was the answer to the present one."""
        if page.next is None or self.endpoint.paging is None or self.chain.one_page:
            return False
        if self._open:
            self._freeze(now_s)
            return True
        if page.next in self._cursors:
            raise PagingError(
                f"table {self.endpoint.name}: page {self.page_number} of GET {self.request.path} "
                "leads back to an earlier page",
                hint="The API's paging loops; ask for less at once, or try again later.",
            )
        self._cursors.add(page.next)
        self.request = self.request.with_param(self.endpoint.paging.param, page.next)
        self.page_number += 1
        return True

    def _freeze(self, now_s: int) -> None:
        """Starts the tail again as a frozen range, as its rows do not fit one page.

        Rows made since the first page would shift the offsets of the second. So the range ends now, and
        is asked for when this second has elapsed; `first_time` tells what the first page had already.
        """
        window = self.endpoint.window
        if window is None:
            raise ValueError(f"{self.endpoint.name} has a tail without a window")
        end_s = now_s
        for name, value in self.chain.first.params:
            if name == window.end_param:
                end_s = min(end_s, int(value))
        self._open = False
        self.not_before_s = end_s + FREEZE_LAG_S
        self.request = self.chain.first.with_param(window.end_param, str(end_s))

    @property
    def may_repeat(self) -> bool:
        """Whether records may come twice in this walk: a tail asked for again, a list that moves meanwhile."""
        return self.chain.tail or self.endpoint.moves

    def first_time(self, keys: Sequence[tuple[Any, ...]]) -> list[bool]:
        """For each record's key whether it has not come in this walk before. One with a null tells nothing apart."""
        fresh = []
        for key in keys:
            fresh.append(None in key or key not in self._seen)
            self._seen.add(key)
        return fresh
