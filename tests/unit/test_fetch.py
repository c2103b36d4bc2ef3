"""Retries, back-off, deadlines, statuses, counters and cancel of one request."""

from __future__ import annotations

import json
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, Callable, Optional, Union

import pytest
from requests.structures import CaseInsensitiveDict

from cio_fdw.errors import (
    BodyError,
    CioError,
    ForbiddenError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RecordError,
    RedirectError,
    RequestError,
    RequestTimeoutError,
    ServerError,
    UnauthorizedError,
    Where,
)
from cio_fdw.fetch import Fetcher
from cio_fdw.lanes import Lanes, Stop, Stopped
from cio_fdw.options import resolve
from cio_fdw.stats import Stats
from cio_fdw.throttle import LocalThrottle
from cio_fdw.transport import Answer, Transport

KEY = "s3cr3t-k3y"
WHERE = Where("messages", "/v1/messages")
TARGET = "/v1/messages?email=a%40b.example"
SETTINGS = resolve({"timeout": "60"}, mapping={"app_api_key": KEY})

Step = Union[int, Answer, Exception]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class ClockStop(Stop):
    """A Stop whose sleep moves the clock instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.check()
        self.slept_s.append(seconds)
        self.clock.now_s += seconds


class World:
    """A fetcher between scripted answers and a fake clock. Each answer takes `answer_s` seconds."""

    def __init__(self, *steps: Step, answer_s: float = 0.25, random: float = 1.0, **changes: Any) -> None:
        self.steps = list(steps)
        self.answer_s = answer_s
        self.clock = Clock()
        self.stop = ClockStop(self.clock)
        self.stats = Stats()
        self.throttle = LocalThrottle(1000, 3, self.clock)
        self.pauses_s: list[float] = []
        self.in_flight: list[int] = []
        self.targets: list[str] = []
        changed = replace(SETTINGS, **changes)
        transport: Any = self
        self.fetcher = Fetcher(transport, self, changed, self.stats, clock=self.clock, random=lambda: random)

    # the transport

    def get(self, where: Where, target: str, *, timeout_s: float, stop: Stop, take_turn: Callable[[], None]) -> Answer:
        assert (where, timeout_s, stop) == (WHERE, self.fetcher._settings.timeout_s, self.stop)
        take_turn()
        self.in_flight.append(self.throttle._in_flight)
        self.targets.append(target)
        self.clock.now_s += self.answer_s
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return answer(step) if isinstance(step, int) else step

    # the throttle

    @contextmanager
    def slot(self, sleep: Callable[[float], None]) -> Iterator[float]:
        with self.throttle.slot(sleep) as waited_s:
            yield waited_s

    def pause(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.throttle.pause(seconds)

    def fetch(self, decode: Callable[[bytes], Any] = json.loads) -> Any:
        return self.fetcher.fetch(self.stop, WHERE, TARGET, decode)

    def error(self, decode: Callable[[bytes], Any] = json.loads) -> CioError:
        with pytest.raises(CioError) as caught:
            self.fetch(decode)
        shown = "".join(traceback.format_exception(CioError, caught.value, caught.value.__traceback__))
        assert KEY not in shown + repr(vars(caught.value))
        assert "b.example" not in shown
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert self.throttle._in_flight == 0
        return caught.value


def answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, CaseInsensitiveDict(named), body)


def test_the_first_answer() -> None:
    world = World(answer(200, b'{"a": 1}'))
    assert world.fetch() == {"a": 1}
    assert (world.targets, world.stop.slept_s, world.in_flight) == ([TARGET], [], [1])
    stats = world.stats
    assert (stats.requests, stats.retries, stats.rate_limited, stats.bytes) == (1, 0, 0, 8)
    assert (stats.api_s, stats.throttled_s) == (0.25, 0.0)


# Which outcomes are retried


@pytest.mark.parametrize(
    "step",
    [408, 429, 500, 502, 503, 504, 599, NetworkError(WHERE), RequestTimeoutError(WHERE), BodyError("bad")],
    ids=str,
)
def test_retried(step: Step) -> None:
    world = World(step, step, 200, max_retries=2)
    assert world.fetch() == {}
    assert (world.stats.requests, world.stats.retries) == (3, 2)
    assert world.in_flight == [1, 1, 1]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (302, RedirectError, "was answered with a redirect, which is not followed: HTTP 302"),
        (400, RequestError, "was not answered as expected: HTTP 400"),
        (401, UnauthorizedError, "was refused: bad App API key or wrong region: HTTP 401"),
        (403, ForbiddenError, "is not allowed with this App API key: HTTP 403"),
        (404, NotFoundError, "was not found: HTTP 404"),
        (405, RequestError, "was not answered as expected: HTTP 405"),
        (422, RequestError, "was not answered as expected: HTTP 422"),
    ],
)
def test_not_retried(status: int, kind: type[CioError], message: str) -> None:
    world = World(status, 200)
    error = world.error()
    assert type(error) is kind
    assert str(error) == f"GET /v1/messages (table messages) {message}, attempt 1 of 6, after 0.2 s"
    assert (world.stats.requests, world.stats.retries, world.stop.slept_s) == (1, 0, [])


def test_a_decoder_may_raise_what_is_not_retried() -> None:
    def decode(_body: bytes) -> None:
        raise RecordError("column created of record 7: not a number")

    world = World(200, 200)
    assert str(world.error(decode)) == "column created of record 7: not a number"
    assert world.stats.requests == 1


def test_a_programming_error_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        World(200, 200).fetch(lambda _body: 1 // 0)


def test_a_body_that_never_decodes() -> None:
    def decode(_body: bytes) -> None:
        assert world.throttle._in_flight == 0
        raise BodyError("not JSON at byte 7", hint="Ask again.", detail="cut")

    world = World(200, 200, max_retries=1)
    error = world.error(decode)
    assert type(error) is BodyError
    assert str(error) == "GET /v1/messages (table messages): not JSON at byte 7, attempt 2 of 2, after 1.0 s"
    assert (error.hint, error.detail) == ("Ask again.", "cut")


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (503, ServerError),
        (408, ServerError),
        (429, RateLimitedError),
        (NetworkError(WHERE, reason="Connection refused"), NetworkError),
        (RequestTimeoutError(WHERE), RequestTimeoutError),
    ],
    ids=str,
)
def test_exhausted(step: Step, kind: type[RequestError]) -> None:
    world = World(*[step] * 3, max_retries=2)
    error = world.error()
    assert type(error) is kind
    assert isinstance(error, RequestError)
    # Two back-offs of 0.5 and 1 s, three answers of 0.25 s.
    assert (error.attempt, error.attempts, error.after_s) == (3, 3, 2.25)
    assert error.reason == (step.reason if isinstance(step, NetworkError) else None)


def test_no_retries() -> None:
    error = World(503, 200, max_retries=0).error()
    assert "attempt 1 of 1" in str(error)


# How long it waits


def test_back_off_doubles_up_to_its_cap() -> None:
    world = World(*[503] * 8, 200, max_retries=8)
    world.fetch()
    assert world.stop.slept_s == [0.5, 1, 2, 4, 8, 16, 20, 20]


@pytest.mark.parametrize("random", [0.0, 0.5])
def test_the_jitter_is_full(random: float) -> None:
    world = World(503, 503, 200, random=random)
    world.fetch()
    assert world.stop.slept_s == [0.5 * random, 1.0 * random]


def test_no_slot_is_held_while_sleeping() -> None:
    world = World(503, 200)
    seen: list[int] = []
    sleep = world.stop.sleep

    def watched(seconds: float) -> None:
        seen.append(world.throttle._in_flight)
        sleep(seconds)

    world.stop.sleep = watched  # type: ignore[method-assign]
    world.fetch()
    assert seen == [0]


def test_gives_up_before_a_sleep_that_would_cross_the_deadline() -> None:
    world = World(*[503] * 100, answer_s=30.0, max_retries=50, timeout_s=30.0)
    error = world.error()
    assert isinstance(error, ServerError)
    # 4 answers of 30 s and 0.5 + 1 + 2 s between them; the next sleep of 4 s would end after 120 s.
    assert (error.attempt, error.attempts, error.after_s) == (4, 51, 123.5)
    assert world.stop.slept_s == [0.5, 1, 2]


def test_the_deadline_grows_with_the_timeout() -> None:
    world = World(*[RequestTimeoutError(WHERE)] * 100, answer_s=100.0, max_retries=50, timeout_s=100.0)
    error = world.error()
    assert isinstance(error, RequestError)
    assert (error.attempt, error.after_s) == (3, 301.5)


def test_waiting_for_the_first_turn_is_not_counted() -> None:
    world = World(503, 503, max_retries=1)
    world.throttle.pause(500)
    error = world.error()
    assert isinstance(error, RequestError)
    assert error.after_s == pytest.approx(1.0)
    assert world.stats.throttled_s == pytest.approx(500)
    assert world.stats.api_s == pytest.approx(0.5)


# 429


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        *(("7", 7.0), (" 2 ", 2.0), ("1.5", 1.5), ("0", 0.5), ("-3", 0.5), ("soon", 0.5), ("", 0.5), ("nan", 0.5)),
        *(("1e3", 0.5), ("٣", 0.5), ("Mon, 99 Foo 2026", 0.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5)),
    ],
)
def test_retry_after(text: str, wait_s: float) -> None:
    world = World(answer(429, Retry_After=text), 200)
    world.fetch()
    assert world.pauses_s == [wait_s]
    assert world.stop.slept_s == [wait_s]
    stats = world.stats
    assert (stats.requests, stats.retries, stats.rate_limited, stats.throttled_s) == (2, 1, 1, wait_s)


def test_retry_after_as_a_date() -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=30)
    world = World(answer(429, Retry_After=format_datetime(moment, usegmt=True)), 200)
    world.fetch()
    assert 28 < world.stop.slept_s[0] <= 30


def test_a_429_without_a_header_backs_off_and_its_body_is_not_read() -> None:
    world = World(answer(429, b"<html>"), answer(429, b"\xff"), 200)
    world.fetch()
    assert world.pauses_s == [0.5, 1.0]


def test_everybody_of_the_key_pauses() -> None:
    world = World(answer(429, Retry_After="9"), max_retries=0)
    world.error()
    with world.slot(world.stop.sleep) as waited_s:
        assert waited_s == pytest.approx(9)


def test_a_retry_after_beyond_the_deadline_fails_now_and_blocks_nobody_for_long() -> None:
    world = World(answer(429, Retry_After="86400"), 200, timeout_s=10.0)
    error = world.error()
    assert isinstance(error, RateLimitedError)
    assert (error.attempt, error.retry_after_s, world.stop.slept_s) == (1, 86400, [])
    assert world.pauses_s == [120.0]


# What the API says about a bad request


@pytest.mark.parametrize("status", [400, 422])
def test_the_detail_of_a_bad_request(status: int) -> None:
    body = json.dumps({"errors": [{"detail": f"bad\nstart {KEY}", "status": "400"}, {"detail": "x" * 300}]})
    error = World(answer(status, body.encode())).error()
    assert error.detail == ("bad start ***; " + "x" * 300)[:200]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"404 page not found", b"[]", b"{}", b'{"errors": null}', b'{"errors": [1]}', b'{"errors": [{}]}'),
        *(b'{"errors": [{"detail": 5}]}', b"\xff", b"[" * 30000, b'{"errors": [{"detail": "%b"}]}' % (b"x" * 70000)),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_other_bodies_give_no_detail(body: bytes) -> None:
    assert World(answer(400, body)).error().detail is None


# Cancel, with real threads, sockets and clocks


def cancelled(fetcher: Fetcher, after_s: float = 0.08) -> BaseException:
    """The error of a job whose scan is stopped after `after_s`; asserts that its thread ends within 100 ms."""
    ended: list[BaseException] = []

    def job(stop: Stop) -> None:
        try:
            fetcher.fetch(stop, WHERE, TARGET, json.loads)
        except BaseException as error:
            ended.append(error)
            raise

    lanes: Lanes[None] = Lanes(1)
    lanes.submit(1, job)
    time.sleep(after_s)
    (worker,) = [thread for thread in threading.enumerate() if thread.name == "cio-lane"]
    began = time.monotonic()
    lanes.stop()
    assert time.monotonic() - began < 0.1
    assert not worker.is_alive()
    return ended[0]


class Answers:
    """A transport that gives one status to everything."""

    def __init__(self, status: int, **headers: str) -> None:
        self.answer = answer(status, b"{}", **headers)

    def get(self, *_args: Any, take_turn: Callable[[], None], **_options: Any) -> Answer:
        take_turn()
        return self.answer


def fetcher_of(transport: Any, throttle: Optional[LocalThrottle] = None) -> Fetcher:
    return Fetcher(transport, throttle or LocalThrottle(10, 3), SETTINGS, Stats(), random=lambda: 1.0)


def test_cancel_while_waiting_for_the_turn() -> None:
    throttle = LocalThrottle(10, 3)
    throttle.pause(60)
    assert isinstance(cancelled(fetcher_of(Answers(200), throttle)), Stopped)
    assert not throttle._queue


@pytest.mark.parametrize("status", [503, 429])
def test_cancel_during_back_off(status: int) -> None:
    throttle = LocalThrottle(10, 3)
    assert isinstance(cancelled(fetcher_of(Answers(status, Retry_After="60"), throttle)), Stopped)
    assert throttle._in_flight == 0


def test_cancel_while_the_api_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert SETTINGS.key
        transport = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", SETTINGS.key, user_agent="x")
        throttle = LocalThrottle(10, 3)
        assert isinstance(cancelled(fetcher_of(transport, throttle), 0.25), Stopped)
        assert throttle._in_flight == 0
        transport.close()


def test_a_request_end_to_end() -> None:
    body = b'{"messages": []}'
    replies = [b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"]
    replies.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            conn, _address = listener.accept()
            with conn:
                for reply in replies:
                    conn.recv(4096)
                    conn.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert SETTINGS.key
        transport = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", SETTINGS.key, user_agent="x")
        stats = Stats()
        fetcher = Fetcher(transport, LocalThrottle(10, 3), SETTINGS, stats, random=lambda: 0.01)
        assert fetcher.fetch(Stop(), WHERE, TARGET, json.loads) == {"messages": []}
        assert (stats.requests, stats.retries, stats.bytes) == (2, 1, len(body))
        thread.join(1)
        transport.close()
