"""Worker threads: lazy start, blocked signals, wake-up, stop."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cio_fdw import threads
from cio_fdw.lanes import Done, Lanes, Stop, Stopped, connect, stop_all


@pytest.fixture
def lanes() -> Iterator[Lanes[Any]]:
    lanes: Lanes[Any] = Lanes(2)
    yield lanes
    lanes.stop()
    assert lane_threads() == []


def lane_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cio-lane"]


def collect(lanes: Lanes[Any], count: int) -> list[Done[Any]]:
    done: list[Done[Any]] = []
    while len(done) < count:
        assert select.select([lanes.wake_fd], [], [], 2.0)[0], "no wake-up"
        done += lanes.collect()
    return done


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_no_thread_before_the_first_job(lanes: Lanes[Any]) -> None:
    assert lane_threads() == []
    assert lanes.collect() == []
    assert not is_readable(lanes.wake_fd)


def test_results_and_errors_come_back_with_their_tags(lanes: Lanes[Any]) -> None:
    error = ValueError("no")

    def fail(_stop: Stop) -> None:
        raise error

    lanes.submit("good", lambda _stop: 41)
    lanes.submit("bad", fail)
    assert lanes.in_flight == 2
    done = {one.tag: one for one in collect(lanes, 2)}
    assert done == {"good": Done("good", 41, None), "bad": Done("bad", None, error)}
    assert lanes.in_flight == 0
    assert not is_readable(lanes.wake_fd)


def test_at_most_size_threads_run_at_once(lanes: Lanes[Any]) -> None:
    lock = threading.Lock()
    running: list[int] = [0, 0]

    def job(stop: Stop) -> None:
        with lock:
            running[0] += 1
            running[1] = max(running)
        stop.sleep(0.005)
        with lock:
            running[0] -= 1

    for number in range(12):
        lanes.submit(number, job)
    collect(lanes, 12)
    assert running[1] == 2
    assert len(lane_threads()) == 2


def test_one_job_at_a_time_needs_one_thread(lanes: Lanes[Any]) -> None:
    for number in range(5):
        lanes.submit(number, lambda _stop: None)
        collect(lanes, 1)
        deadline = time.monotonic() + 1
        while lanes._idle == 0 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert len(lane_threads()) == 1


def test_workers_have_all_signals_blocked_and_the_caller_keeps_its_mask(lanes: Lanes[Any]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    lanes.submit("mask", lambda _stop: signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    (done,) = collect(lanes, 1)
    assert done.result == signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_stop_ends_sleeping_jobs_at_once(lanes: Lanes[Any]) -> None:
    for number in range(2):
        lanes.submit(number, lambda stop: stop.sleep(30))
    began = time.monotonic()
    lanes.stop()
    assert time.monotonic() - began < 0.1
    assert lane_threads() == []
    lanes.stop()
    assert lanes.collect() == []


def test_queued_jobs_do_not_start_after_stop(lanes: Lanes[Any]) -> None:
    started: list[int] = []
    for number in range(2):
        lanes.submit(number, lambda stop: stop.sleep(30))
    lanes.submit(2, lambda _stop: started.append(2))
    lanes.stop()
    assert started == []


def test_submit_after_stop_is_refused(lanes: Lanes[Any]) -> None:
    lanes.stop()
    with pytest.raises(RuntimeError, match="submit after stop"):
        lanes.submit(1, lambda _stop: 1)


def test_a_straggler_writes_to_no_reused_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cio_fdw.lanes.JOIN_S", 0.02)
    lanes: Lanes[None] = Lanes(1)
    started, release = threading.Event(), threading.Event()

    def deaf(_stop: Stop) -> None:
        started.set()
        release.wait(5)

    lanes.submit("deaf", deaf)
    assert started.wait(1)
    straggler = lane_threads()[0]
    began = time.monotonic()
    lanes.stop()
    assert time.monotonic() - began < 0.2
    reader, writer = os.pipe()  # takes the numbers just closed
    release.set()
    straggler.join(1)
    assert not straggler.is_alive()
    assert not is_readable(reader)
    os.close(reader)
    os.close(writer)


def test_stop_closes_its_descriptors() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        lanes: Lanes[int] = Lanes(2)
        lanes.submit(1, lambda _stop: 1)
        collect(lanes, 1)
        lanes.stop()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_job_leaves_no_reference_behind(lanes: Lanes[Any]) -> None:
    class Page:
        pass

    lanes.submit("page", lambda _stop: Page())
    kept = weakref.ref(collect(lanes, 1)[0].result)
    deadline = time.monotonic() + 1
    while kept() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert kept() is None


def test_stop_all_ends_every_scan() -> None:
    several: list[Lanes[None]] = [Lanes(1) for _ in range(3)]
    for lanes in several:
        lanes.submit(1, lambda stop: stop.sleep(30))
    stop_all()
    assert lane_threads() == []
    assert all(lanes.stop_switch.is_set for lanes in several)


def test_trip_shuts_guarded_sockets_down() -> None:
    stop = Stop()
    near, far = socket.socketpair()
    with near, far:
        threading.Timer(0.02, stop.trip).start()
        with stop.guard(near):
            assert near.recv(1) == b""
        with pytest.raises(Stopped):
            stop.check()


def test_trip_leaves_forgotten_sockets_alone() -> None:
    stop = Stop()
    near, far = socket.socketpair()
    with near, far:
        with stop.guard(near):
            pass
        stop.trip()
        far.send(b"x")
        assert near.recv(1) == b"x"


def test_guard_on_a_tripped_stop_raises() -> None:
    stop = Stop()
    stop.trip()
    stop.trip()
    near, far = socket.socketpair()
    with near, far, pytest.raises(Stopped), stop.guard(near):
        pass


def test_sleep_returns_when_nothing_happens() -> None:
    Stop().sleep(0.001)
    Stop().sleep(-1)


def test_connect_gives_up_after_its_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = fill_backlog(listener)
        with socket.socket() as sock, pytest.raises(TimeoutError, match="timed out"):
            connect(sock, listener.getsockname(), Stop(), 0.05)
        for filler in fillers:
            filler.close()


def test_a_trip_just_before_the_connect_is_not_missed() -> None:
    stop = Stop()

    class Late(socket.socket):
        def connect_ex(self, address: Any) -> int:
            stop.trip()  # finds a socket that is not connected: nothing to shut down
            return super().connect_ex(address)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = fill_backlog(listener)
        began = time.monotonic()
        with Late() as sock, sock.dup() as handle, pytest.raises(Stopped), stop.guard(handle):
            connect(sock, listener.getsockname(), stop, 0.5)
        assert time.monotonic() - began < 0.1
        for filler in fillers:
            filler.close()


def fill_backlog(listener: socket.socket) -> list[socket.socket]:
    """Connections that use up the queue of a listener that accepts none: the next connect hangs."""
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    time.sleep(0.01)
    return fillers


def test_a_thread_without_memory_for_its_first_call_is_not_waited_for(
    lanes: Lanes[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "BEGIN_S", 0.05)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "_bootstrap", lambda _self: None)
        with pytest.raises(MemoryError, match="did not begin"):
            lanes.submit("first", lambda _stop: 1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
    assert lanes.in_flight == 0
    threading._limbo.clear()  # type: ignore[attr-defined]  # where Python lists threads that are about to begin
    lanes.submit("second", lambda _stop: 2)
    assert [done.result for done in collect(lanes, 1)] == [2]


def test_a_job_whose_thread_is_gone_is_not_waited_for(lanes: Lanes[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Lanes, "_finish", fail)
    monkeypatch.setattr(threading, "excepthook", lambda _what: None)
    lanes.submit("lost", lambda _stop: 1)
    for thread in lane_threads():
        thread.join(2)
    with pytest.raises(MemoryError, match="ended before its time"):
        lanes.collect()
