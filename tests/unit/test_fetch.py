"""One request: its counters, its decoder, the API's own words, and cancel."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Callable, Optional

import pytest

from cio_fdw import exchange, fetch
from cio_fdw.errors import BodyError, RecordError
from cio_fdw.fetch import Fetcher
from cio_fdw.lanes import Lanes, Stop, Stopped
from cio_fdw.stats import Stats
from cio_fdw.throttle import Turn
from cio_fdw.transport import Answer, Transport
from tests.unit.fetch_world import KEY, SETTINGS, TARGET, WHERE, MemoryThrottle, World, answer
from tests.unit.http_servers import OK, Kit


def test_the_first_answer() -> None:
    world = World(answer(200, b'{"a": 1}'))
    assert world.fetch() == {"a": 1}
    assert (world.targets, world.stop.slept_s, world.in_flight) == ([TARGET], [], [1])
    stats = world.stats
    assert (stats.requests, stats.retries, stats.rate_limited, stats.bytes) == (1, 0, 0, 8)
    assert (stats.api_s, stats.throttled_s) == (0.25, 0.0)


# What the decoder makes of the body


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
        assert world.throttle.in_flight == 0
        raise BodyError("not JSON at byte 7", hint="Ask again.", detail="cut")

    world = World(200, 200, max_retries=1)
    error = world.error(decode)
    assert type(error) is BodyError
    assert str(error) == "GET /v1/messages (table messages): not JSON at byte 7, attempt 2 of 2, after 1.0 s"
    assert (error.hint, error.detail) == ("Ask again.", "cut")


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
    assert time.monotonic() - began < 1.0
    assert not worker.is_alive()
    return ended[0]


class Answers:
    """A transport that gives one status to everything."""

    def __init__(self, status: int, **headers: str) -> None:
        self.answer = answer(status, b"{}", **headers)

    def get(self, *_args: Any, take_turn: Callable[[], None], **_options: Any) -> Answer:
        take_turn()
        return self.answer


def fetcher_of(transport: Any, throttle: Optional[MemoryThrottle] = None) -> Fetcher:
    return Fetcher(transport, throttle or MemoryThrottle(time.monotonic), SETTINGS, Stats(), random=lambda: 1.0)


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


def test_a_hiccup_of_the_name_lookup_is_retried(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    server = kit.answering(OK)
    transport = kit.transport(f"http://api.example:{server.port}")
    failures = [socket.gaierror(socket.EAI_AGAIN, "try again"), socket.gaierror(socket.EAI_NONAME, "not known")]

    def resolve(_host: str, port: int, *_rest: object) -> list[Any]:
        if failures:
            raise failures.pop(0)
        return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(exchange, "resolve", resolve)
    monkeypatch.setattr(fetch, "BACKOFF_BASE_S", 0.01)
    fetcher = fetcher_of(transport)
    assert fetcher.fetch(Stop(), WHERE, TARGET, json.loads) == {}
    # Nothing was sent in vain.
    assert (fetcher._stats.requests, fetcher._stats.retries, len(server.requests)) == (1, 2, 1)


class StaleTurns(MemoryThrottle):
    """The first turns are over before they are used."""

    def __init__(self, stale: int) -> None:
        super().__init__(time.monotonic)
        self.stale, self.taken, self.most = stale, 0, 0

    @contextmanager
    def slot(self, sleep: Callable[[float], None]) -> Iterator[Turn]:
        self.taken += 1
        holds = self.taken > self.stale
        with super().slot(sleep) as turn:
            self.most = max(self.most, self.in_flight)
            yield replace(turn, holds=lambda: holds)


def test_a_turn_that_is_over_is_given_back_and_another_taken() -> None:
    throttle = StaleTurns(2)
    fetcher = fetcher_of(Answers(200), throttle)
    assert fetcher.fetch(Stop(), WHERE, TARGET, json.loads) == {}
    assert (throttle.taken, throttle.most, throttle.in_flight) == (3, 1, 0)
    assert fetcher._stats.requests == 1


def test_cancel_while_waiting_for_the_turn() -> None:
    throttle = MemoryThrottle(time.monotonic)
    throttle.pause(60, time.sleep)
    assert isinstance(cancelled(fetcher_of(Answers(200), throttle)), Stopped)
    assert throttle.in_flight == 0


@pytest.mark.parametrize("status", [503, 429])
def test_cancel_during_back_off(status: int) -> None:
    throttle = MemoryThrottle(time.monotonic)
    assert isinstance(cancelled(fetcher_of(Answers(status, Retry_After="60"), throttle)), Stopped)
    assert throttle.in_flight == 0


def test_cancel_while_the_api_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert SETTINGS.key
        transport = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", SETTINGS.key, user_agent="x")
        throttle = MemoryThrottle(time.monotonic)
        assert isinstance(cancelled(fetcher_of(transport, throttle), 0.25), Stopped)
        assert throttle.in_flight == 0
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
        fetcher = Fetcher(transport, MemoryThrottle(time.monotonic), SETTINGS, stats, random=lambda: 0.01)
        assert fetcher.fetch(Stop(), WHERE, TARGET, json.loads) == {"messages": []}
        assert (stats.requests, stats.retries, stats.bytes) == (2, 1, len(body))
        thread.join(1)
        transport.close()
