"""Which outcomes of a request are retried, how long it waits between, when it gives up."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from cio_fdw.errors import (
    BodyError,
    CioError,
    ForbiddenError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RedirectError,
    RequestError,
    RequestTimeoutError,
    ServerError,
    UnauthorizedError,
)
from tests.unit.fetch_world import WHERE, Step, World, answer

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


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize("body", [b'{"errors": [{"detail": "no such cam', b'  {"errors', b"{"])
def test_an_error_whose_explanation_is_cut_is_retried(status: int, body: bytes) -> None:
    """What it says decides: of a 404 whether it means no rows, of a 400 whether another request is made instead."""
    whole = b'{"errors": [{"detail": "no such campaign"}]}'
    world = World(answer(status, body), answer(status, whole))
    error = world.error()
    assert isinstance(error, RequestError)
    assert error.reason == "no such campaign"
    assert world.stats.retries == 1


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
        seen.append(world.throttle.in_flight)
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
    world.throttle.pause(500, world.stop.sleep)
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


@pytest.mark.parametrize("days", [-400, 0, 400])
def test_retry_after_as_a_date_is_one_of_the_apis_clock(days: int) -> None:
    there = datetime.now(timezone.utc) + timedelta(days=days)
    until = there + timedelta(seconds=30)
    dates = {"Date": format_datetime(there, usegmt=True), "Retry_After": format_datetime(until, usegmt=True)}
    world = World(answer(429, **dates), 200)
    world.fetch()
    assert world.stop.slept_s == [30]


@pytest.mark.parametrize("status", [408, 500, 503])
def test_retry_after_of_other_statuses_holds_for_this_request_only(status: int) -> None:
    world = World(answer(status, Retry_After="7"), 200)
    world.fetch()
    assert (world.stop.slept_s, world.pauses_s) == ([7.0], [])
    assert (world.stats.rate_limited, world.stats.throttled_s) == (0, 0.0)


def test_a_429_without_a_header_backs_off_and_its_body_is_not_read() -> None:
    world = World(answer(429, b"<html>"), answer(429, b"\xff"), 200)
    world.fetch()
    assert world.pauses_s == [0.5, 1.0]


def test_everybody_of_the_key_pauses() -> None:
    world = World(answer(429, Retry_After="9"), max_retries=0)
    world.error()
    with world.slot(world.stop.sleep) as turn:
        assert turn.waited_s == pytest.approx(9)


def test_a_retry_after_beyond_the_deadline_fails_now_and_blocks_nobody_for_long() -> None:
    world = World(answer(429, Retry_After="86400"), 200, timeout_s=10.0)
    error = world.error()
    assert isinstance(error, RateLimitedError)
    assert (error.attempt, error.retry_after_s, world.stop.slept_s) == (1, 86400, [])
    assert world.pauses_s == [120.0]
