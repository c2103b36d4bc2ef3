"""A plan, carried out: batches of row tuples as pages arrive.

    for batch in scan(plan, tools): …       # batch: list of tuples of the wanted columns

Up to `max_concurrency` requests are under way at once, but no more than the reader's appetite allows:
the first page is asked for alone, and more at once only when earlier ones were read. So `LIMIT 5` costs
one request, and a full scan reaches full width after two. At most `max_concurrency` pages are held.

None is under way while the reader has the rows: PostgreSQL then holds Python's lock, worker threads stand
still, and a cursor left open would run requests into their timeouts. However the scan ends, its threads
and sockets have ended when it returns.

Raises what fetching, paging and converting raise; a scan never ends early in silence.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Protocol

from cio_fdw.decoder import Row
from cio_fdw.errors import NotFoundError, RecordError, Where
from cio_fdw.fetch import Fetcher
from cio_fdw.lanes import Done, Lanes, Stop
from cio_fdw.pages import Page, parse
from cio_fdw.plan import Plan
from cio_fdw.rows import RowReader
from cio_fdw.stats import Stats
from cio_fdw.walk import Walk

LONGEST_WAIT_S = 1.0

BATCH_ROWS = 100
"""Rows converted at once: a page's rows as Python objects take five times the memory of its body."""
MAX_DOUBLINGS = 10
"""The appetite stops growing here, far above any max_concurrency."""


class Host(Protocol):
    """What a door lends to the main thread."""

    def wait(self, seconds: float, fd: int = -1) -> bool:
        """Waits until `fd` is readable (True) or the time is over. Raises Interrupted to end the statement."""

    def notice(self, text: str) -> None:
        """Tells the client."""


@dataclass
class Tools:
    """What a scan works with. `clock` gives unix seconds."""

    host: Host
    fetcher: Fetcher
    stats: Stats
    wanted: Sequence[str]
    max_concurrency: int
    clock: Callable[[], float] = time.time
    _told: set[str] = field(default_factory=set)

    def notice_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.host.notice(text)


def scan(plan: Plan, tools: Tools) -> Iterator[list[Row]]:
    """Non-empty batches of rows. Sends nothing before the first batch is asked for."""
    for notice in plan.notices:
        tools.notice_once(notice)
    run = _Run(plan, tools)
    try:
        yield from run.batches()
    finally:
        run.lanes.stop()


class _Run:
    """One pass over a plan. `_read` counts the pages that the reader has dealt with."""

    def __init__(self, plan: Plan, tools: Tools) -> None:
        self._plan = plan
        self._tools = tools
        self._read = 0
        self._parent_ids: set[Any] = set()
        self._reader = RowReader(plan.endpoint, tools.wanted)
        self.lanes: Lanes[Page] = Lanes(tools.max_concurrency)
        self._pending: deque[Walk] = deque(Walk(chain, plan.endpoint) for chain in plan.chains)
        if plan.parents:
            self._pending.extend(Walk(chain, plan.parents.endpoint) for chain in plan.parents.chains)

    def batches(self) -> Iterator[list[Row]]:
        while self._pending or self.lanes.in_flight:
            # Now the reader waits: at least one request must be under way.
            self._submit(2 ** min(self._read, MAX_DOUBLINGS))
            for done in self._all_finished():
                yield from self._take(done)
                self._read += 1

    def _submit(self, appetite: int) -> None:
        """Sends pending requests while fewer than `appetite` are under way."""
        while self._pending and self.lanes.in_flight < min(appetite, self._tools.max_concurrency):
            walk = self._pending.popleft()
            self.lanes.submit(walk, partial(_fetch, self._tools, walk))

    def _all_finished(self) -> list[Done[Page]]:
        """The requests under way, once all have finished, in that order; waits as long as it takes."""
        done = self.lanes.collect()
        while self.lanes.in_flight and not any(one.error and not _is_gone(one) for one in done):
            self._tools.host.wait(LONGEST_WAIT_S, self.lanes.wake_fd)
            done += self.lanes.collect()
        return done

    def _take(self, done: Done[Page]) -> Iterator[list[Row]]:
        """The rows of one answer, in batches; queues what follows from it."""
        walk: Walk = done.tag
        if _is_gone(done):
            return
        if done.error is not None:
            raise done.error
        page = done.result
        if page is None:
            raise ValueError("a request ended without a page")
        if page.dropped_nuls:
            self._tools.notice_once(
                f"{walk.endpoint.name}: the API sent NUL characters, which PostgreSQL cannot store; they are left out"
            )
        constants = walk.constants(page)
        if walk.advance(page, int(self._tools.clock())):
            self._pending.appendleft(walk)
        if self._is_parent(walk):
            self._pending.extend(self._children(walk, page))
            return
        yield from self._batches(walk, page, constants)

    def _is_parent(self, walk: Walk) -> bool:
        return walk.endpoint is not self._plan.endpoint

    def _children(self, walk: Walk, page: Page) -> list[Walk]:
        parent = self._plan.endpoint.parent
        if parent is None:
            raise ValueError(f"{self._plan.endpoint.name} has no parent")
        children = []
        for (id_,) in RowReader(walk.endpoint, (parent.key,)).read(page.records):
            if id_ is None:
                raise RecordError(f"table {walk.endpoint.name}: a record has no {parent.key}, which names its children")
            # A parent that paging gives twice must not give its rows twice.
            if id_ not in self._parent_ids:
                self._parent_ids.add(id_)
                children.append(Walk(self._plan.child(id_), self._plan.endpoint))
        return children

    def _batches(self, walk: Walk, page: Page, constants: dict[str, Any]) -> Iterator[list[Row]]:
        records = page.records
        if walk.may_repeat:
            keys = RowReader(walk.endpoint, walk.endpoint.key).read(records, constants)
            records = [record for record, fresh in zip(records, walk.first_time(keys)) if fresh]
        self._tools.stats.add(pages=1, rows=len(records))
        for start in range(0, len(records), BATCH_ROWS):
            yield self._reader.read(records[start : start + BATCH_ROWS], constants)


def _is_gone(done: Done[Page]) -> bool:
    """Whether the API says that what this walk asks for is not there, and that means no rows."""
    walk: Walk = done.tag
    return isinstance(done.error, NotFoundError) and bool(done.error.reason) and walk.chain.may_be_missing


def _fetch(tools: Tools, walk: Walk, stop: Stop) -> Page:
    """Runs in a worker thread."""
    stop.sleep(max(walk.not_before_s - tools.clock(), 0.0))
    return tools.fetcher.fetch(
        stop,
        Where(walk.endpoint.name, walk.request.path),
        walk.request.target,
        partial(parse, walk.endpoint, row_key=walk.chain.row_key),
    )
