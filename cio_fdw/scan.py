"""A plan, carried out: batches of row tuples as pages arrive.

    for batch in scan(plan, tools): …       # batch: list of tuples of the wanted columns

Up to `max_concurrency` requests are under way at once, but no more than the reader's appetite allows:
the first page is asked for alone, and more at once only when earlier ones were read. So `LIMIT 5` costs
one request, and a full scan reaches full width after two. At most ROUND_PAGES * `max_concurrency` pages are held, or
ROUND_SMALL_PAGES * `max_concurrency` small ones.

None is under way while PostgreSQL has the rows: it then holds Python's lock, worker threads stand still, and a cursor
left open would run requests into their timeouts. A reader that `reads_ahead` takes rows inside `at_work()` too, where
requests leave time for that, and keeps them from PostgreSQL until the next batch outside of it. However the scan ends,
its threads and sockets have ended when it returns.

Raises what fetching, paging and converting raise; a scan never ends early in silence.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, NamedTuple, Optional, Protocol

from cio_fdw.cutting import another, shortened
from cio_fdw.decoder import Record, Row
from cio_fdw.densities import Densities
from cio_fdw.dividing import Division
from cio_fdw.errors import CioError, NotFoundError, RecordError, RequestError, Where
from cio_fdw.fetch import Fetcher
from cio_fdw.lanes import Done, Lanes, Stop
from cio_fdw.pages import Page, parse
from cio_fdw.plan import Plan
from cio_fdw.request import Chain
from cio_fdw.rows import RowReader, records_as
from cio_fdw.stats import Stats
from cio_fdw.traffic import Budget, Traffic
from cio_fdw.walk import Walk

LONGEST_WAIT_S = 1.0

ROUND_PAGES = 3
"""Pages that are fetched before the reader gets them, for each request that may be under way: one that takes longer
than the others then keeps them waiting more rarely."""

ROUND_SMALL_PAGES, SMALL_BYTES = 5, 16 * 1024
"""Likewise where none of the round before was larger: children, mostly. Fifteen requests of a quarter of a second, by
threes, fill the windows of the API's limit, and nine do not (bench/README.md)."""

BATCH_ROWS = 100
"""Rows converted at once: a page's rows as Python objects take five times the memory of its body."""
IDLE_PAGE_S = 0.001
"""Time for each page of a round in which nothing of this process ran. Where there is more, rows are converted in it;
keeping them for that long is no gain where there is less."""
UNKNOWN_CURSOR = (400, 404, 410, 422)
"""What the API may answer where it does not know a cursor."""
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
    """What a scan works with. `clock` gives unix seconds; requests are under way only inside `at_work()`.

    `idle_s`: seconds in which nothing of this process ran; differences count.
    `is_cached`: answers are kept, so that the same statement had better ask the same requests.
    `densities`: what earlier scans showed; None where nothing is to be known of them, or kept for later ones.
    """

    host: Host
    fetcher: Fetcher
    stats: Stats
    wanted: Sequence[str]
    max_concurrency: int
    clock: Callable[[], float] = time.time
    at_work: Callable[[], AbstractContextManager[None]] = nullcontext
    idle_s: Callable[[], float] = lambda: time.monotonic() - time.process_time()
    is_cached: bool = False
    densities: Optional[Densities] = None
    _told: set[str] = field(default_factory=set)

    def notice_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.host.notice(text)


def scan(plan: Plan, tools: Tools, *, reads_ahead: bool = False) -> Generator[list[Row], None, None]:
    """Batches of rows: inside `at_work()` only if the reader `reads_ahead`, and then an empty one outside follows.

    Sends nothing before the first batch is asked for.
    """
    for notice in plan.notices:
        tools.notice_once(notice)
    run = _Run(plan, tools)
    try:
        yield from run.batches(reads_ahead=reads_ahead)
    finally:
        run.lanes.stop()


class _Answer(NamedTuple):
    """A finished request. `constants`: column values that its records lack. `fresh`: which of these have not come
    before, None when all have not. Where it has an error and is not failed, there are no rows."""

    done: Done[Page]
    constants: dict[str, Any]
    fresh: Optional[list[bool]]
    is_failed: bool

    @property
    def size_bytes(self) -> int:
        return self.done.result.size_bytes if self.done.result else 0


class _Run:
    """One pass over a plan. `_read` counts the pages that the reader has dealt with."""

    def __init__(self, plan: Plan, tools: Tools) -> None:
        self._plan = plan
        self._tools = tools
        self._read = 0
        self._leaves_time = False
        """Whether the latest round left time in which nothing of this process ran."""
        self._round_pages = ROUND_PAGES
        """Of the next round, for each request that may be under way."""
        self._led: set[Any] = set()
        self._reader = RowReader(plan.endpoint, tools.wanted)
        self._records_as = records_as(plan.endpoint, tools.wanted)
        self._budget = Budget()
        self._in_step = tools.is_cached and any(chain.range_s for chain in plan.chains)
        """How ranges are cut must not depend on which answer is the faster: next time it might be another."""
        # For the same reason a statement that may be repeated knows nothing of others.
        densities = None if tools.is_cached else tools.densities
        self._division = Division(plan.chains, plan.endpoint, densities, self._budget, tools.max_concurrency)
        self._pending: deque[Walk] = deque(self._division.walks())
        self.lanes: Lanes[Page] = Lanes(tools.max_concurrency)
        self._under_way: list[Walk] = []
        if plan.parents:
            self._pending.extend(Walk(chain, plan.parents.endpoint) for chain in plan.parents.chains)

    def _walk(self, chain: Chain) -> Walk:
        return Walk(chain, self._plan.endpoint, traffic=Traffic(self._budget))

    def batches(self, *, reads_ahead: bool) -> Iterator[list[Row]]:
        """Rows of answers: of one round after the other, as long as there is something to ask for."""
        while self._pending or self.lanes.in_flight:
            later: list[_Answer] = []
            failure: Optional[CioError] = None
            idle_before_s, came, largest_bytes = self._tools.idle_s(), 0, 0
            with self._tools.at_work():
                for answer in self._round():
                    came += 1
                    largest_bytes = max(largest_bytes, answer.size_bytes)
                    if not (reads_ahead and self._leaves_time and self.lanes.in_flight):
                        later.append(answer)
                        continue
                    try:
                        for batch in self._rows_of(answer):
                            yield batch
                            self._tools.host.wait(0.0)
                    except CioError as error:
                        failure = error
                        self.lanes.stop()
                        break
                self._leaves_time = self._tools.idle_s() - idle_before_s > IDLE_PAGE_S * came
            if came > len(later):
                yield []
            if failure:
                raise failure
            for answer in later:
                yield from self._rows_of(answer)
            self._read += came
            self._round_pages = ROUND_SMALL_PAGES if largest_bytes <= SMALL_BYTES else ROUND_PAGES
        self._division.keep(int(self._tools.clock()))

    def _round(self) -> Iterator[_Answer]:
        """Requests as they finish, until none is under way: as many as the reader's appetite. The last may have failed.

        Now the reader waits, so at least one request must be under way.
        """
        most = min(2 ** min(self._read, MAX_DOUBLINGS), self._round_pages * self._tools.max_concurrency)
        self._submit(most)
        while self.lanes.in_flight:
            answers = [self._answer(done) for done in self._finished()]
            most -= len(answers)
            is_failed = any(answer.is_failed for answer in answers)
            if is_failed:
                self.lanes.stop()
            else:
                self._submit(most)
            yield from answers
            if is_failed:
                return

    def _finished(self) -> list[Done[Page]]:
        """The requests that finished while waiting; all that were under way, in their order, where they go in step."""
        finished: list[Done[Page]] = []
        while True:
            self._tools.host.wait(LONGEST_WAIT_S, self.lanes.wake_fd)
            finished += self.lanes.collect()
            if not self._in_step or not self.lanes.in_flight or any(map(_is_failed, finished)):
                return sorted(finished, key=lambda done: self._under_way.index(done.tag)) if self._in_step else finished

    def _answer(self, done: Done[Page]) -> _Answer:
        """What is needed for the rows of a finished request; what follows it is queued."""
        walk: Walk = done.tag
        constants, fresh, is_failed = {}, None, _is_failed(done)
        if done.result:
            self._tools.stats.add(ranges=walk.begins_range)
            constants = walk.constants(done.result)
            fresh = walk.take_in(done.result) if walk.chain.brings_rows else None
        self._follow(done)
        return _Answer(done, constants, fresh, is_failed)

    def _submit(self, most: int) -> None:
        """Sends pending requests while fewer than `most` are under way, and no more than may be."""
        width = self._tools.max_concurrency
        while self.lanes.in_flight < min(most, width):
            if len(self._pending) + len(self._under_way) < min(most, width):
                part = another(self._pending, self._under_way, width)
                self._pending.extend([part] if part else [])
            if not self._pending:
                return
            walk = min(self._pending, key=lambda pending: pending.urgency)  # of equal ones the first
            self._pending.remove(walk)
            part = shortened(walk)
            self._pending.extend([part] if part else [])
            walk.prepare()
            self._under_way.append(walk)
            record = self._records_as if walk.chain.brings_rows else None
            self.lanes.submit(walk, partial(_fetch, self._tools, walk, record))

    def _follow(self, done: Done[Page]) -> None:
        """Queues what is to be asked after this answer."""
        walk: Walk = done.tag
        self._under_way.remove(walk)
        if _is_refused(done):
            self._pending.appendleft(self._instead_of(walk))
        if done.error is not None or done.result is None:
            return
        if walk.chain.leads:
            self._pending.extend(self._children(walk, done.result))
        if walk.advance(done.result, int(self._tools.clock())):
            self._pending.appendleft(walk)

    def _rows_of(self, answer: _Answer) -> Iterator[list[Row]]:
        """The rows of one answer, in batches."""
        done = answer.done
        walk: Walk = done.tag
        if answer.is_failed and done.error is not None:
            raise done.error
        page = done.result
        if page is None:
            return
        if page.dropped_nuls:
            self._tools.notice_once(
                f"{walk.endpoint.name}: the API sent NUL characters, which PostgreSQL cannot store; they are left out"
            )
        if walk.chain.brings_rows:
            yield from self._batches(page, answer.constants, answer.fresh)

    def _instead_of(self, walk: Walk) -> Walk:
        """The walk to go on with when the API refuses the request of `walk`."""
        if walk.is_joining:
            walk.refuse()
            return walk
        if walk.chain.fallback is None:
            raise ValueError("a walk without a fallback was refused")
        self._tools.notice_once(
            f"{walk.endpoint.name}: this workspace does not take the request GET {walk.chain.first.path} with "
            f"{_left_out(walk.chain)}, so every row is read"
        )
        return Walk(replace(walk.chain, first=walk.chain.fallback, fallback=None), walk.endpoint)

    def _children(self, walk: Walk, page: Page) -> list[Walk]:
        name = self._plan.names
        children: list[Walk] = []
        for (value,) in RowReader(walk.endpoint, (name,)).read(page.records):
            if value is None:
                raise RecordError(f"table {walk.endpoint.name}: a record has no {name}, which names what to ask next")
            # A parent that paging gives twice must not give its rows twice.
            if value not in self._led:
                self._led.add(value)
                children += map(self._walk, self._plan.children(value))
        return children

    def _batches(self, page: Page, constants: dict[str, Any], fresh: Optional[list[bool]]) -> Iterator[list[Row]]:
        records = page.records if fresh is None else list(itertools.compress(page.records, fresh))
        self._tools.stats.add(pages=1, rows=len(records))
        for start in range(0, len(records), BATCH_ROWS):
            yield self._reader.read(records[start : start + BATCH_ROWS], constants)


def _is_failed(done: Done[Page]) -> bool:
    return done.error is not None and not _is_gone(done) and not _is_refused(done)


def _is_refused(done: Done[Page]) -> bool:
    """Whether the API does not take this walk's request, and there is another that brings its rows too."""
    walk: Walk = done.tag
    if not isinstance(done.error, RequestError):
        return False
    if walk.is_joining:
        return done.error.status in UNKNOWN_CURSOR
    return walk.chain.fallback is not None and done.error.status in (400, 404)


def _left_out(chain: Chain) -> str:
    """The names of the parameters that the fallback does without."""
    kept = {name for name, _ in chain.fallback.params} if chain.fallback else set()
    return " and ".join(name for name, _ in chain.first.params if name not in kept)


def _is_gone(done: Done[Page]) -> bool:
    """Whether the API says that what this walk asks for is not there, and that means no rows."""
    walk: Walk = done.tag
    if not isinstance(done.error, RequestError) or not done.error.reason:
        return False
    is_malformed = done.error.status == 400 and walk.chain.may_be_malformed and walk.page_number == 1
    return is_malformed or (isinstance(done.error, NotFoundError) and walk.chain.may_be_missing)


def _fetch(tools: Tools, walk: Walk, record: Optional[Record], stop: Stop) -> Page:
    """Runs in a worker thread. `record`: what the records may be decoded to."""
    stop.sleep(max(walk.not_before_s - tools.clock(), 0.0))
    return tools.fetcher.fetch(
        stop,
        Where(walk.endpoint.name, walk.request.path),
        walk.request.target,
        partial(parse, walk.endpoint, row_key=walk.chain.row_key, record=record),
        since_s=walk.since_s,
    )
