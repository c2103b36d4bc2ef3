"""Which answer is good for which request, and that one backend asks for all that want the same.

    responses.answer(Asked(where, target, since_s), stop, decode, ask) -> what decode makes of the body

A request is the same when key, root of the API, path and every parameter are. A page behind a cursor belongs to the
walk that led there: it is good only together with the first page of that walk (`since_s`), as a list may have moved
between two walks.

When the store does not work the query goes on without it: `complaint` tells once, and for AWAY_S it is not tried.
Errors: what `ask` raises, and Stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, Optional, Protocol, TypeVar, cast

from cio_fdw import __version__
from cio_fdw.cache.statement import Body, Statement
from cio_fdw.cache.store import Kept, Store, store_for
from cio_fdw.errors import StateError, Where
from cio_fdw.lanes import Stop
from cio_fdw.options import Settings
from cio_fdw.pages import Page
from cio_fdw.state import state_directory
from cio_fdw.stats import Stats

T = TypeVar("T")

LOOK_S = 0.01
"""How often one looks whether the backend that asks has the answer."""
PATIENCE_TIMEOUTS = 3
"""So many timeouts one waits for that backend, as it may retry; then one asks oneself."""
AWAY_S = 60.0
_CLOCK_SLACK_S = 1.0

_away_until_s: dict[Store, float] = {}
"""Stores that did not work, and until when (of the monotonic clock) they are not tried again."""


@dataclass(frozen=True)
class Asked:
    """One request. `since_s`: when the first page of its walk came, 0 for that page itself."""

    where: Where
    target: str
    since_s: float = 0.0


class Keep(Protocol):
    def __call__(self, body: bytes, left_s: float) -> None:
        """Takes the body of an answer with status 200 that could be decoded; `left_s`: when its request left."""


Ask = Callable[[Keep], T]
"""Asks the API, and hands the answer to a Keep."""


class Responses:
    """The answers that one scan may use. Safe to use from several threads."""

    def __init__(self, settings: Settings, stats: Stats, statement: Statement, parent_lists: Mapping[str, str]) -> None:
        self._settings = settings
        self._stats = stats
        self._statement = statement
        self._parent_lists = parent_lists
        self._key = settings.key.fingerprint() if settings.key else ""
        self._complaint = ""
        stats.caching = settings.cache_ttl_s > 0

    @property
    def complaint(self) -> str:
        """Why the store cannot be used; given once, empty otherwise."""
        text, self._complaint = self._complaint, ""
        return text

    def forget_statement(self) -> None:
        """Lets go of what the statement keeps: the host may give its number to the next one."""
        self._statement = Statement()

    def answer(self, asked: Asked, stop: Stop, decode: Callable[[bytes], T], ask: Ask[T]) -> T:
        """What `decode` makes of an answer that is fresh enough: of the statement, of the store, or of the API."""
        if self._parent_lists.get(asked.where.table) != asked.where.path:
            return self._stored(asked, stop, decode, ask)
        place = (self._key, self._settings.base_url, asked.where.table, asked.target)
        kept = self._statement.bodies.get(place)
        if kept is None:
            return self._remembered(place, asked, stop, decode, ask)
        self._stats.add(cached=1)
        return _dated(decode(kept.body), kept.came_s)

    def _remembered(
        self, place: tuple[str, str, str, str], asked: Asked, stop: Stop, decode: Callable[[bytes], T], ask: Ask[T]
    ) -> T:
        """The answer of the store or of the API, whose body the statement keeps."""
        bodies: list[bytes] = []

        def noting(keep: Keep) -> T:
            def both(body: bytes, left_s: float) -> None:
                bodies.append(body)
                keep(body, left_s)

            return ask(both)

        def decode_kept(body: bytes) -> T:
            bodies.append(body)
            return decode(body)

        decoded = self._stored(asked, stop, decode_kept, noting)
        if bodies:
            came_s = decoded.came_s if isinstance(decoded, Page) else 0.0
            self._statement.bodies[place] = Body(bodies[-1], came_s)
        return decoded

    def _stored(self, asked: Asked, stop: Stop, decode: Callable[[bytes], T], ask: Ask[T]) -> T:
        if not self._settings.cache_ttl_s:
            return ask(_keep_nothing)
        store = store_for(state_directory(self._settings.state_dir), self._key)
        if time.monotonic() < _away_until_s.get(store, 0.0):
            return ask(_keep_nothing)
        with ExitStack() as turn:
            kept = self._wait(store, asked, stop, turn)
            if kept is not None:
                self._stats.add(cached=1)
                return _dated(decode(kept.body), kept.left_s)
            return self._asked(store, asked, stop, ask)

    def _wait(self, store: Store, asked: Asked, stop: Stop, turn: ExitStack) -> Optional[Kept]:
        """The kept answer, if need be once the backend that asks for it has it; None when one must ask oneself.

        In that case others wait until `turn` is left; a backend that is killed leaves it too.
        """
        name = self._name(asked)
        slot = int.from_bytes(name[:4], "big")
        until_s = time.monotonic() + PATIENCE_TIMEOUTS * self._settings.timeout_s
        kept = self._look(store, name, stop)
        while kept is None:
            mine = self._guarded(store, partial(_take, store, slot, stop))
            if mine:
                turn.callback(store.lock.free_slot, slot)
            # With the turn too: the one who had it may have kept the answer since the last look.
            kept = self._look(store, name, stop)
            if mine is not False or time.monotonic() > until_s:
                break
            stop.sleep(LOOK_S if kept is None else 0.0)
        return kept

    def _look(self, store: Store, name: bytes, stop: Stop) -> Optional[Kept]:
        now_s = time.time()
        oldest_s = now_s - self._settings.cache_ttl_s
        return self._guarded(store, partial(store.get, name, oldest_s, now_s + _CLOCK_SLACK_S, stop.sleep))

    def _asked(self, store: Store, asked: Asked, stop: Stop, ask: Ask[T]) -> T:
        came_s = 0.0

        def keep(body: bytes, left_s: float) -> None:
            nonlocal came_s
            came_s = left_s
            put = partial(store.put, self._name(asked), Kept(left_s, body), sleep=stop.sleep)
            until_s = left_s + self._settings.cache_ttl_s
            self._guarded(store, partial(put, until_s=until_s, max_bytes=self._settings.cache_max_bytes))

        return _dated(ask(keep), came_s)

    def _name(self, asked: Asked) -> bytes:
        """A hash of all that makes the answer another one; of a request's values no more is written."""
        parts = (__version__, self._key, "GET", self._settings.base_url, asked.target, repr(asked.since_s))
        return hashlib.sha256("\n".join(parts).encode()).digest()

    def _guarded(self, store: Store, work: Callable[[], Optional[T]]) -> Optional[T]:
        """What `work` gives; None when the store does not work."""
        try:
            return work()
        except StateError as error:
            if store not in _away_until_s:
                self._complaint = f"queries go on without the cache: {error.message}"
            _away_until_s[store] = time.monotonic() + AWAY_S
            return None


def _take(store: Store, slot: int, stop: Stop) -> bool:
    with store.lock.locked(stop.sleep):
        return store.lock.take(slot)


def _keep_nothing(body: bytes, left_s: float) -> None:
    """A Keep for when there is no cache."""


def _dated(decoded: T, left_s: float) -> T:
    """A page with the time it is of: what follows it must be the same for whoever reads it from the cache."""
    return cast(T, replace(decoded, came_s=left_s)) if isinstance(decoded, Page) else decoded
