"""Lookups of host names: they can be given up, and however many are, one thread is left."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cio_fdw import resolving
from cio_fdw.lanes import Lanes, Stop, Stopped
from cio_fdw.resolving import OLD_S, resolve

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]


class Resolver:
    """In place of getaddrinfo: it answers names once it is released. `masks`: of the threads that asked."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.error: Any = None
        self.masks: list[Any] = []
        self._real = socket.getaddrinfo

    @property
    def calls(self) -> int:
        return len(self.masks)

    def __call__(self, host: str, port: int, **options: Any) -> Any:
        if options.get("flags"):
            return self._real(host, port, **options)
        self.masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        assert self.release.wait(10)
        if self.error:
            raise self.error
        return ANSWER


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.release.set()
    for thread in threads():
        thread.join(5)
    assert resolving._under_way == {}


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cio-resolve"]


def give_up(host: str = "api.example") -> float:
    """Seconds that a lookup went on after its scan was over."""
    stop = Stop()
    threading.Timer(0.01, stop.trip).start()
    began_s = time.monotonic()
    with pytest.raises(Stopped):
        resolve(host, 443, stop, 5.0)
    return time.monotonic() - began_s - 0.01


def test_the_thread_has_all_signals_blocked(resolver: Resolver) -> None:
    resolver.release.set()
    lanes: Lanes[Any] = Lanes(1)
    lanes.submit("look up", lambda stop: resolve("api.example", 443, stop, 1.0))
    deadline_s = time.monotonic() + 5
    done = lanes.collect()
    while not done:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
        done = lanes.collect()
    lanes.stop()
    assert done[0].result == ANSWER
    assert resolver.masks == [signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}]


def test_it_gives_up(resolver: Resolver) -> None:
    with pytest.raises(socket.timeout):
        resolve("api.example", 443, Stop(), 0.02)
    with pytest.raises(socket.timeout):
        resolve("api.example", 443, Stop(), 0.0)
    assert give_up() < 0.1


def test_a_hundred_that_gave_up_leave_one_thread_for_each_name(resolver: Resolver) -> None:
    for number in range(100):
        give_up(f"api-{number % 2}.example")
    assert len(threads()) == resolver.calls == 2
    assert all(lookup.waiting == [] for lookup in resolving._under_way.values())
    resolver.release.set()
    assert resolve("api-0.example", 443, Stop(), 5.0) == ANSWER


def test_who_asks_meanwhile_gets_the_same_answer(resolver: Resolver) -> None:
    give_up()
    found: list[Any] = []
    askers = [threading.Thread(target=lambda: found.append(resolve("api.example", 443, Stop(), 5.0))) for _ in range(3)]
    for asker in askers:
        asker.start()
    time.sleep(0.05)
    resolver.release.set()
    for asker in askers:
        asker.join(5)
    assert found == [ANSWER] * 3
    assert resolver.calls == 1


def test_the_next_one_asks_again(resolver: Resolver) -> None:
    resolver.release.set()
    for calls in (1, 2):
        assert resolve("api.example", 443, Stop(), 5.0) == ANSWER
        assert resolver.calls == calls


def test_an_old_answer_is_not_used(resolver: Resolver) -> None:
    """A backend that was idle for hours has the answer of the lookup that it left behind."""
    give_up()
    (lookup,) = resolving._under_way.values()
    lookup.began_s -= OLD_S + 1
    resolver.release.set()
    assert resolve("api.example", 443, Stop(), 5.0) == ANSWER
    assert resolver.calls == 2


def test_errors_are_those_of_the_resolver(resolver: Resolver) -> None:
    resolver.error = socket.gaierror(socket.EAI_AGAIN, "try again")
    resolver.release.set()
    with pytest.raises(socket.gaierror) as caught:
        resolve("api.example", 443, Stop(), 5.0)
    assert caught.value.args == (socket.EAI_AGAIN, "try again")


def test_without_a_thread_nothing_is_left(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            resolve("api.example", 443, Stop(), 5.0)
    resolver.release.set()
    assert resolve("api.example", 443, Stop(), 5.0) == ANSWER


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "\udce9.example"])
def test_what_is_no_name(host: str) -> None:
    with pytest.raises(socket.gaierror, match=r"not a host name|not known"):
        resolve(host, 443, Stop(), 5.0)
