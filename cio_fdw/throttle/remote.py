"""The limits of one API key over several PostgreSQL servers, kept in Redis.

    redis = Redis("redis://limits.example:6379/0", password)
    with RedisThrottle(redis, "0123456789abcdef", Limits(10, 3), lease_s=65).slot(stop.sleep) as turn: …

The rules are those of `turns`, as scripts (`scripts`). A request under way holds a lease, which ends by itself when
its server dies; of a process of the same machine it is noticed at once.

A thread asks (`asking`), and the one who waits for it sleeps in small steps. A turn that was given in an answer that
nobody waited for is given back: by that thread, or by the next question when the answer did not come at once.
Errors: SharedLimitError, and what `sleep` raises.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit

from cio_fdw.errors import SharedLimitError
from cio_fdw.secret import Secret
from cio_fdw.state import Sleep
from cio_fdw.throttle import scripts
from cio_fdw.throttle.asking import CUT_S, Question, connection_classes
from cio_fdw.throttle.boot import boot_id
from cio_fdw.throttle.protocol import Turn, Usage
from cio_fdw.throttle.turns import GRACE_S, LATE_S, LONGEST_LOOK_S, MAX_PAUSE_S, SLICE_S, WINDOW_S, Limits

if TYPE_CHECKING:
    from redis import Redis as Client

TIMEOUT_S = 1.0
"""Longest wait for Redis to connect, and to answer."""
RETRIES_S = (0.1, 0.3, 1.0)
"""Pauses between the tries of one question."""
LEASE_MARGIN_S = 5.0
NEAR_S, BUSY_S = 0.005, 0.020
"""As in `turns`, but each look is a question over the network."""
_LOOK_FOR_DEAD_S = 0.2
_FRESH_S = 0.1
"""A turn that was asked for longer ago is asked about again before its request leaves."""
HEARD_S = 0.020
"""Redis counts a turn from somewhere between question and answer. A request that left later than this after the
question is counted from when it left: the rest of the window's 30 ms is for the way to the API."""
_RENEWALS = 3
_RELEASE_S = 0.25
"""How long the end of a turn waits for Redis. A thread that outlived the statement would stay until the next one."""
_PATIENCE_S = 0.02
"""How long a cancel waits for Redis before it cuts the line."""
_FORGET_TIMES = 2
_MOST_LOST = 100
"""What is not forgotten ends with its lease."""
_numbers = itertools.count()
"""Tells the waits of a process apart."""
_FIRST_STEP_S, _LONGEST_STEP_S = 0.0003, 0.005


class Redis:
    """One Redis, asked by threads. Its client is made at the first question."""

    def __init__(self, url: str, password: Optional[Secret], retries_s: tuple[float, ...] = RETRIES_S) -> None:
        self._url = url
        self._password = password
        self._retries_s = retries_s
        self._lock = threading.Lock()
        self._client: Optional[Client] = None
        self._scripts: dict[str, Any] = {}
        self._lost: dict[tuple[str, str], int] = {}

    def ask(
        self,
        script: str,
        key: str,
        arguments: tuple[Any, ...],
        sleep: Sleep,
        *,
        undo: Callable[[Any], None] = lambda _answer: None,
        owner: str = "",
    ) -> Any:
        """What `script` gives for the key. Raises SharedLimitError, and what `sleep` raises.

        Then nobody waits for the answer: `undo` gets it, or `owner` is forgotten when it does not come at once.
        """
        for pause_s in (*self._retries_s, None):
            question = Question(partial(self.run, script, key, arguments), undo)
            try:
                return _waited_for(question, sleep)
            except SharedLimitError:
                if pause_s is None:
                    if owner:
                        self._lose(key, owner)
                    raise
                sleep(pause_s)
            except BaseException:
                if not question.abandon(_PATIENCE_S) and owner:
                    self._lose(key, owner)
                raise
        raise AssertionError

    def tell(
        self, script: str, key: str, arguments: tuple[Any, ...], owner: str, sleep: Optional[Sleep] = None
    ) -> None:
        """Runs `script` if that can be done soon, with `sleep`, or at once; else the next question forgets `owner`."""
        question = Question(partial(self.run, script, key, arguments))
        try:
            if sleep:
                _wait_for(question, sleep, _RELEASE_S)
        finally:
            if not question.end(_PATIENCE_S) or question.error:
                self._lose(key, owner)

    def _lose(self, key: str, owner: str) -> None:
        """Of a question whose answer is not known: it may have been carried out, or may yet be."""
        with self._lock:
            self._lost[key, owner] = _FORGET_TIMES
            for old in list(self._lost)[:-_MOST_LOST]:
                del self._lost[old]

    def _forget_lost(self) -> None:
        with self._lock:
            lost = list(self._lost)
        for key, owner in lost:
            self._script(scripts.FORGET)(keys=_names(key), args=(f"|{owner}",))
            with self._lock:
                # Redis may carry out what was lost after this.
                self._lost[key, owner] = self._lost.get((key, owner), 1) - 1
                if self._lost[key, owner] <= 0:
                    del self._lost[key, owner]

    def run(self, script: str, key: str, arguments: tuple[Any, ...]) -> Any:
        """One try, in the calling thread."""
        try:
            import redis
        except ImportError:
            raise SharedLimitError(
                "the option throttle_url needs the Python package redis",
                hint="pip install 'cio-fdw[redis]' for the interpreter of cio_fdw.python.",
            ) from None
        try:
            self._forget_lost()
            return self._script(script)(keys=_names(key), args=arguments)
        except (redis.RedisError, OSError) as error:
            raise self._failure(error) from None

    def _script(self, text: str) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with self._lock:
            if self._client is None:
                pool = redis.ConnectionPool.from_url(
                    self._url,
                    password=self._password.reveal() if self._password else None,
                    socket_timeout=TIMEOUT_S,
                    socket_connect_timeout=TIMEOUT_S,
                    retry=Retry(NoBackoff(), 0),
                    decode_responses=True,
                )
                pool.connection_class = connection_classes()[urlsplit(self._url).scheme]
                self._client = redis.Redis(connection_pool=pool)
            if text not in self._scripts:
                self._scripts[text] = self._client.register_script(text)
            return self._scripts[text]

    def _failure(self, error: Exception) -> SharedLimitError:
        url = urlsplit(self._url)
        return SharedLimitError(
            f"the Redis of throttle_url does not answer: {url.hostname}:{url.port or 6379}, {_why(error)}",
            hint="Check Redis and the option throttle_url (and throttle_password). With the server's option "
            "throttle_fallback 'local' queries go on, each server with the whole limit for itself.",
        )


class RedisThrottle:
    """One server's limits for one key. `key` is the key's fingerprint, `lease_s` the longest a request can take."""

    def __init__(self, redis: Redis, key: str, limits: Limits, lease_s: float) -> None:
        self._redis = redis
        self._key = key
        self._limits = limits
        self._lease_s = lease_s
        self._looked_for_dead_s = 0.0

    @contextmanager
    def slot(self, sleep: Sleep) -> Iterator[Turn]:
        """Waits for a turn, through `sleep` only; leaving ends the turn. Raises SharedLimitError."""
        began_s = time.monotonic()
        taken = self._wait_turn(sleep)
        try:
            yield Turn(taken.at_s - began_s, partial(self._holds, taken, sleep), partial(self._left, taken, sleep))
        except BaseException:
            self._release(taken)
            raise
        self._release(taken, sleep)

    def pause(self, seconds: float, sleep: Sleep) -> None:
        """Nobody sends with this key for `seconds` from now, on any server."""
        self._ask(scripts.PAUSE, sleep, min(seconds, MAX_PAUSE_S) * 1000, scripts.KEPT_S)

    def usage(self, sleep: Sleep) -> Usage:
        """What is in use now, by every server."""
        used, in_flight, waiting, paused_ms = self._ask(scripts.USAGE, sleep, GRACE_S * 1000)
        return Usage(used, in_flight, waiting, float(paused_ms) / 1000, "redis")

    def _holds(self, taken: _Taken, sleep: Sleep) -> bool:
        # A Redis that always takes that long to answer must not keep it from leaving for ever.
        for _ in range(_RENEWALS):
            if time.monotonic() - taken.asked_s <= _FRESH_S:
                return True
            taken.asked_s = time.monotonic()
            if not self._ask(scripts.RENEW, sleep, taken.ticket, self._lease_s * 1000, WINDOW_S * 1000):
                return False
            taken.at_s = time.monotonic()
        return True

    def _left(self, taken: _Taken, sleep: Sleep) -> None:
        left_s = time.monotonic()
        if left_s - taken.at_s > LATE_S or left_s - taken.asked_s > HEARD_S:
            self._ask(scripts.LEFT_LATE, sleep, taken.ticket)

    def _wait_turn(self, sleep: Sleep) -> _Taken:
        look = _Look("", 0, 0.0, is_busy=False)
        owner = f"{_owner()}:{next(_numbers)}"
        try:
            while True:
                asked_s = time.monotonic()
                look = self._look(look, owner, sleep)
                if look.delay_s == 0.0:
                    return _Taken(look.ticket, asked_s, time.monotonic())
                if look.is_busy:
                    self._free_the_dead(sleep)
                sleep(look.delay_s)
        except BaseException:
            if look.ticket:
                self._redis.tell(scripts.LEAVE, self._key, (_flow(), look.ticket, look.round), owner)
            raise

    def _look(self, look: _Look, owner: str, sleep: Sleep) -> _Look:
        limits = self._limits
        times_s = (self._lease_s, WINDOW_S, NEAR_S, BUSY_S, SLICE_S, LONGEST_LOOK_S, GRACE_S)
        times_ms = tuple(seconds * 1000 for seconds in times_s)
        arguments = (_flow(), owner, look.ticket, look.round, limits.requests_per_second, limits.max_concurrency)

        def undo(answer: list[Any]) -> None:
            self._redis.run(scripts.RELEASE, self._key, (answer[0],))
            self._redis.run(scripts.LEAVE, self._key, (_flow(), answer[0], answer[1]))

        answer = self._redis.ask(
            scripts.ASK, self._key, (*arguments, *times_ms, scripts.KEPT_S), sleep, undo=undo, owner=owner
        )
        ticket, round_, delay_ms, is_busy = answer
        return _Look(ticket, int(float(round_)), float(delay_ms) / 1000, bool(is_busy))

    def _free_the_dead(self, sleep: Sleep) -> None:
        """Ends the leases of processes of this machine that are gone."""
        if time.monotonic() - self._looked_for_dead_s < _LOOK_FOR_DEAD_S:
            return
        self._looked_for_dead_s = time.monotonic()
        dead = [ticket for ticket in self._ask(scripts.HOLDERS, sleep) if _is_dead(ticket.partition("|")[2])]
        if dead:
            self._ask(scripts.RELEASE, sleep, *dead)

    def _ask(self, script: str, sleep: Sleep, *arguments: Any) -> Any:
        return self._redis.ask(script, self._key, arguments, sleep)

    def _release(self, taken: _Taken, sleep: Optional[Sleep] = None) -> None:
        self._redis.tell(scripts.RELEASE, self._key, (taken.ticket,), taken.ticket.partition("|")[2], sleep)


@dataclass
class _Taken:
    """A turn that Redis gave between `asked_s` and `at_s`."""

    ticket: str
    asked_s: float
    at_s: float


class _Look(NamedTuple):
    """A look at the queue. `delay_s`: until the next one; 0.0 when the turn is taken."""

    ticket: str
    round: int
    delay_s: float
    is_busy: bool


def _waited_for(question: Question, sleep: Sleep) -> Any:
    """The answer; meanwhile `sleep` may end the wait. Raises SharedLimitError."""
    _wait_for(question, sleep, float("inf"))
    question.end(CUT_S)
    if question.error:
        raise question.error
    return question.answer


def _wait_for(question: Question, sleep: Sleep, longest_s: float) -> None:
    step_s, until_s = _FIRST_STEP_S, time.monotonic() + longest_s
    while not question.done.is_set() and time.monotonic() < until_s:
        sleep(step_s)
        step_s = min(step_s * 1.5, _LONGEST_STEP_S)


def _why(error: BaseException) -> str:
    """Its kind, and the system's words for what caused it. Not those of redis-py, which repeat arguments."""
    import ssl

    kind, cause, inner = type(error).__name__, error, error.__context__
    while inner and not cause.__suppress_context__:
        cause, inner = inner, inner.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{kind}: TLS certificate refused: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"{kind}: TLS: {cause.reason or cause.strerror}"
    if isinstance(cause, OSError) and cause.strerror:
        return f"{kind}: {'host name lookup: ' if isinstance(cause, socket.gaierror) else ''}{cause.strerror}"
    return kind


def _names(key: str) -> list[str]:
    return [f"cio_fdw:{{{key}}}:{name}" for name in scripts.KEYS]


@cache
def _machine() -> str:
    """Tells machines apart, and containers: process ids mean something within one only."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{boot_id().hex()[:12]}.{namespace:x}"


def _owner() -> str:
    return f"{_machine()}:{os.getpid()}"


_flow = _owner


def _is_dead(owner: str) -> bool:
    machine, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
