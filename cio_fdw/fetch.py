"""One request with its retries: a turn of the throttle, the answer, the decoded page, or one error.

    fetcher.fetch(stop, Where("messages", "/v1/messages"), "/v1/messages?limit=1000", decode) -> decode(body)

Retried, with full-jitter exponential back-off or after the API's Retry-After: 408, 429, 5xx, network errors,
timeouts, bodies that do not decode. Not retried: every other status. Runs in a worker thread.
"""

from __future__ import annotations

import importlib
import json
import random as random_module
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from cio_fdw.cache import Asked, Keep, Responses
from cio_fdw.errors import (
    BodyError,
    CioError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    RedirectError,
    RequestError,
    ServerError,
    UnauthorizedError,
    Where,
)
from cio_fdw.journal import Note, Sent
from cio_fdw.lanes import Stop, Stopped
from cio_fdw.options import Settings
from cio_fdw.pages import Page
from cio_fdw.secret import Secret
from cio_fdw.stats import Stats
from cio_fdw.throttle import Throttle
from cio_fdw.transport import Answer, Transport

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 20.0
MIN_BUDGET_S = 120.0
MAX_DETAIL_CHARS = 200
_MODULES = ("ssl", "http.client", "urllib3", "requests", "tenacity")
"""What the first request of a backend imports, in pieces of at most 40 ms."""
CANCELED = "57014"
"""SQLSTATE of a statement that was cancelled, in the journal."""
_MAX_ERROR_BODY_BYTES = 64 * 1024


def _load_modules(stop: Stop) -> None:
    """Imports what a request needs. A cancel does not end an import, so the Stop is looked at in between."""
    for name in _MODULES:
        stop.check()
        importlib.import_module(name)


class Fetcher:
    """Fetches for the scans of one key. `clock` gives seconds, `random` numbers in [0, 1)."""

    def __init__(
        self,
        transport: Transport,
        throttle: Throttle,
        settings: Settings,
        stats: Stats,
        *,
        journal: Callable[[Sent], None] = lambda _sent: None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
        cache: Optional[Responses] = None,
    ) -> None:
        self._cache = cache
        self._transport = transport
        self._throttle = throttle
        self._settings = settings
        self._stats = stats
        self._journal = journal
        self._clock = clock
        self._random = random

    def fetch(self, stop: Stop, where: Where, target: str, decode: Callable[[bytes], T], *, since_s: float = 0.0) -> T:
        """`decode` of the body of GET `target`, of the cache or of the API. `since_s`: see `cache.Asked`."""
        ask = partial(self._ask, stop, where, target, decode)
        return self._cache.answer(Asked(where, target, since_s), stop, decode, ask) if self._cache else ask()

    def _ask(
        self, stop: Stop, where: Where, target: str, decode: Callable[[bytes], T], keep: Optional[Keep] = None
    ) -> T:
        """`decode` of what the API answers; `keep` gets the body.

        Gives up after max_retries + 1 attempts, or when the next attempt would begin later than three
        timeouts (at least MIN_BUDGET_S) after the first. Waiting for the first turn does not count.
        Errors: RequestError and its children, BodyError, Stopped, and what `decode` raises.
        """
        _load_modules(stop)
        from tenacity import Retrying, retry_if_exception  # noqa: PLC0415 - 40 ms: not at backend start

        plan = _RetryPlan(self._settings, self._clock, self._random, keep)

        def attempt() -> T:
            plan.attempt += 1
            try:
                with self._noted(where, target, plan):
                    return self._attempt(stop, where, target, decode, plan)
            except CioError as error:
                plan.take_in(error)
                if isinstance(error, RateLimitedError):
                    self._stats.add(rate_limited=1)
                    # Others wait no longer than this request may: a senseless Retry-After blocks nobody for a day.
                    self._throttle.pause(min(plan.delay_s, plan.budget_s), stop.sleep)
                raise plan.stamped(error, where) from None

        def before_sleep(state: RetryCallState) -> None:
            limited = state.outcome is not None and isinstance(state.outcome.exception(), RateLimitedError)
            self._stats.add(retries=1, throttled_s=plan.delay_s if limited else 0.0)

        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, CioError) and error.retryable),
            wait=lambda _state: plan.delay_s,
            stop=lambda _state: plan.is_over,
            sleep=stop.sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _attempt(self, stop: Stop, where: Where, target: str, decode: Callable[[bytes], T], plan: _RetryPlan) -> T:
        with ExitStack() as turn:
            # The turn is taken once the connection stands: the API counts requests when they arrive, and
            # those that had to connect first would arrive together with ones sent a TLS handshake later.
            waited_s = 0.0

            def take_turn() -> Callable[[], None]:
                nonlocal waited_s
                while True:
                    # Of a request that is sent again the first turn is over.
                    turn.close()
                    taken = turn.enter_context(self._throttle.slot(stop.sleep))
                    waited_s += taken.waited_s
                    plan.first_turn_taken(taken.waited_s)
                    self._stats.add(throttled_s=taken.waited_s)
                    if taken.holds():
                        plan.note.leaves(waited_s)
                        self._stats.add(requests=1)
                        return taken.left

            began_s = self._clock()
            try:
                answer = self._transport.get(
                    where, target, timeout_s=self._settings.timeout_s, stop=stop, take_turn=take_turn
                )
            finally:
                self._stats.add(api_s=max(0.0, self._clock() - began_s - waited_s))
        self._stats.add(bytes=len(answer.body))
        plan.note.answered(answer.status, len(answer.body))
        error = status_error(where, answer, self._settings.key)
        if error:
            raise error
        decoded = decode(answer.body)
        plan.note.rows = len(decoded.records) if isinstance(decoded, Page) else None
        if plan.keep and answer.status == 200:
            plan.keep(answer.body, plan.note.left_s)
        return decoded

    @contextmanager
    def _noted(self, where: Where, target: str, plan: _RetryPlan) -> Iterator[None]:
        """Notes the attempt in the journal, however it ends, if it left at all."""
        plan.note = note = Note()
        try:
            yield
        except CioError as error:
            note.error = error.sqlstate
            raise
        except Stopped:
            note.error = CANCELED
            raise
        finally:
            if note.left_s and self._settings.key:
                self._journal(note.sent(where, target, plan.attempt, self._settings.key))


class _RetryPlan:
    """When to try again, and when no more: what tenacity's wait and stop look at. `keep` gets what was good."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], random: Callable[[], float], keep: Optional[Keep]
    ) -> None:
        self.keep = keep
        self.attempt = 0
        self.note = Note()
        self.attempts = settings.max_retries + 1
        self.budget_s = max(3 * settings.timeout_s, MIN_BUDGET_S)
        self.delay_s = 0.0
        self._clock = clock
        self._random = random
        self._began_s = clock()
        self._turn_taken = False

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._began_s

    @property
    def is_over(self) -> bool:
        return self.attempt >= self.attempts or self.elapsed_s + self.delay_s > self.budget_s

    def first_turn_taken(self, waited_s: float) -> None:
        """Leaves the wait for the first turn out: a busy key is no failure of this request."""
        if not self._turn_taken:
            self._turn_taken = True
            self._began_s += waited_s

    def take_in(self, error: CioError) -> None:
        """Sets the delay before the next attempt after `error`."""
        asked_s = error.retry_after_s if isinstance(error, RequestError) else None
        if asked_s:
            self.delay_s = asked_s
        else:
            self.delay_s = self._random() * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (self.attempt - 1))

    def stamped(self, error: CioError, where: Where) -> CioError:
        """`error` with the attempt it came from."""
        if isinstance(error, RequestError):
            return error.at(attempt=self.attempt, attempts=self.attempts, after_s=self.elapsed_s)
        if isinstance(error, BodyError):
            place = "" if where.path in error.message else f"{where}: "
            count = f"attempt {self.attempt} of {self.attempts}, after {self.elapsed_s:.1f} s"
            return type(error)(f"{place}{error.message}, {count}", hint=error.hint, detail=error.detail)
        return error


def status_error(where: Where, answer: Answer, key: Optional[Secret] = None) -> Optional[CioError]:
    """The error that the status of `answer` means, None for 2xx; BodyError when its body was cut."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if status == 429:
        return RateLimitedError(where, status=status, retry_after_s=_retry_after_s(answer))
    if status == 408 or status >= 500:
        return ServerError(where, status=status, retry_after_s=_retry_after_s(answer))
    if status in (400, 404, 422):
        return _explained(where, answer, key)
    if 300 <= status < 400:
        return RedirectError(where, status=status)
    kinds: dict[int, type[RequestError]] = {401: UnauthorizedError, 403: ForbiddenError}
    return kinds.get(status, RequestError)(where, status=status)


def _explained(where: Where, answer: Answer, key: Optional[Secret]) -> CioError:
    """The error of a status that the body explains."""
    if _is_cut(answer.body):
        return BodyError(f"HTTP {answer.status} with JSON that ends too early", detail=f"{len(answer.body)} bytes")
    # Of a 404 too: the API says which object is not there, an unknown path gets plain text (OBSERVED.md).
    kind = NotFoundError if answer.status == 404 else RequestError
    return kind(where, status=answer.status, reason=_detail(answer.body, key))


def _retry_after_s(answer: Answer) -> Optional[float]:
    """Seconds of the Retry-After header (a number or an HTTP date); None when absent, unusable or 0.

    A date is one of the API's clock, which the Date header tells: ours may be another.
    """
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        return float(text) or None
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(answer.headers.get("Date", "")) or datetime.now(timezone.utc)
    return max(0.0, (until - now).total_seconds()) or None


def _http_date(text: str) -> Optional[datetime]:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _is_cut(body: bytes) -> bool:
    """Whether a body begins as a JSON object does and is none: the API's own errors are; others send text or HTML."""
    if not body.lstrip().startswith(b"{"):
        return False
    try:
        json.loads(body)
    except RecursionError:
        return False
    except ValueError:
        return True
    return False


def _detail(body: bytes, key: Optional[Secret]) -> Optional[str]:
    """The `errors[].detail` texts of the API's error body on one line; None for any other body."""
    if len(body) > _MAX_ERROR_BODY_BYTES:
        return None
    try:
        errors = json.loads(body)["errors"]
        details = [error["detail"] for error in errors if isinstance(error["detail"], str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    text = " ".join("; ".join(details).split())
    if key:
        text = text.replace(key.reveal(), "***")
    return text[:MAX_DETAIL_CHARS] or None
