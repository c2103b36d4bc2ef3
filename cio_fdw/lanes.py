"""Worker threads of one scan: jobs go in, finished results come out, one switch ends them all.

    lanes = Lanes(3)
    lanes.submit("page 1", lambda stop: fetcher.fetch(stop, where, target, decode))
    host.wait(1.0, lanes.wake_fd)          # the main thread waits; readable once a job is done
    for done in lanes.collect(): ...       # Done(tag="page 1", result=…, error=None)
    lanes.stop()

The main thread alone touches PostgreSQL and calls everything here. A worker runs with every signal
blocked, so that PostgreSQL's handlers never run on it, and ends with its scan: `stop()` trips the
switch, which shuts down the socket a worker is blocked in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Generic, Optional, TypeVar

from cio_fdw.errors import NoThreadError
from cio_fdw.threads import started

T = TypeVar("T")

JOIN_S = 1.0
"""Longest total wait of `Lanes.stop` for its threads. Tripped workers end within milliseconds."""


_SIGNALS = signal.valid_signals()
"""Kept: making the set takes longer than starting a thread."""


class Stopped(BaseException):
    """Raised inside a worker when its scan is over. Not an Exception, so that nothing retries it."""


class Stop:
    """The one switch of a scan's workers. Once tripped it stays tripped."""

    def __init__(self) -> None:
        self._tripped = threading.Event()
        self._lock = threading.Lock()
        self._handles: dict[int, socket.socket] = {}

    @property
    def is_set(self) -> bool:
        return self._tripped.is_set()

    def check(self) -> None:
        """Raises Stopped when tripped."""
        if self._tripped.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Returns after `seconds`; raises Stopped as soon as the switch is tripped."""
        self._tripped.wait(max(0.0, seconds))
        self.check()

    @contextlib.contextmanager
    def guard(self, handle: socket.socket) -> Iterator[None]:
        """While inside, `trip` shuts `handle` down, which ends a connect, handshake or read blocked in it.

        Close `handle` only after leaving: its number could otherwise be another file by the time of the trip.
        """
        with self._lock:
            self.check()
            self._handles[id(handle)] = handle
        try:
            yield
        finally:
            with self._lock:
                del self._handles[id(handle)]

    def trip(self) -> None:
        """Ends every sleep and every guarded socket. Idempotent, from any thread."""
        with self._lock:
            self._tripped.set()
            for handle in self._handles.values():
                # Not connected yet, or closed by the other side: there is nothing to end.
                with contextlib.suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)


def connect(sock: socket.socket, address: Any, stop: Stop, wait_s: float) -> None:
    """Connects `sock`, of which `stop` guards a duplicate. Raises OSError, Stopped; leaves it non-blocking."""
    sock.setblocking(False)
    code = sock.connect_ex(address)
    # A trip before connect_ex had nothing to shut down and is seen here; a later one ends the poll.
    stop.check()
    if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        ready = select.poll()
        ready.register(sock, select.POLLOUT)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready.poll(wait_s * 1000) else errno.ETIMEDOUT
        stop.check()
    if code:
        raise OSError(code, os.strerror(code))


@dataclass(frozen=True)
class Done(Generic[T]):
    """A finished job: `result`, or the `error` it raised."""

    tag: Any
    result: Optional[T]
    error: Optional[BaseException]


class Lanes(Generic[T]):
    """At most `size` threads of one scan. None is started before the first `submit`."""

    def __init__(self, size: int) -> None:
        self.stop_switch = Stop()
        self._size = size
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._in_flight = 0
        self._jobs: deque[tuple[Any, Callable[[Stop], T]]] = deque()
        self._done: list[Done[T]] = []
        self._open = True
        self._changed = threading.Condition(threading.Lock())
        self.wake_fd, self._tell_fd = os.pipe()
        _live.add(self)

    @property
    def in_flight(self) -> int:
        """Jobs submitted and not yet collected."""
        return self._in_flight

    def submit(self, tag: Any, job: Callable[[Stop], T]) -> None:
        """Queues `job`; `tag` comes back with its result. Raises RuntimeError after `stop`."""
        with self._changed:
            if not self._open:
                raise RuntimeError("submit after stop")
            if self._idle <= len(self._jobs) and len(self._threads) < self._size:
                self._start_thread()
            self._jobs.append((tag, job))
            self._in_flight += 1
            self._changed.notify()

    def _start_thread(self) -> None:
        # PostgreSQL's handlers set latches of the backend and must run on its main thread. A thread
        # inherits the mask of its creator, so everything is blocked around the start.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._threads.append(started(self._work, "cio-lane"))
        except (NoThreadError, MemoryError):
            # The system has no thread left: go on with those there are, if any.
            if not self._threads:
                raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def collect(self) -> list[Done[T]]:
        """The jobs finished since the last call, in the order they finished. Never blocks.

        Raises MemoryError when a thread is gone: its job will never finish.
        """
        with self._changed:
            if self._open and not self._done and not all(thread.is_alive() for thread in self._threads):
                raise MemoryError("a thread has ended before its time")
            if self._done and self._open:
                os.read(self.wake_fd, 1)
            done, self._done = self._done, []
            self._in_flight -= len(done)
            return done

    def stop(self) -> None:
        """Ends every job and thread. Idempotent; never raises.

        Waits at most JOIN_S in all. A thread that is then still busy (a long stretch of C code that
        knows no Stop) ends by itself as a daemon: what it produces is dropped, and it writes to no descriptor.
        """
        with self._changed:
            self.stop_switch.trip()
            self._jobs.clear()
            if self._open:
                self._open = False
                os.close(self.wake_fd)
                os.close(self._tell_fd)
            self._changed.notify_all()
        deadline_s = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        _live.discard(self)

    def _work(self) -> None:
        while True:
            claimed = self._next_job()
            if claimed is None:
                return
            self._finish(*claimed)
            # An idle thread must not keep a page's rows alive.
            del claimed

    def _next_job(self) -> Optional[tuple[Any, Callable[[Stop], T]]]:
        with self._changed:
            self._idle += 1
            while self._open and not self._jobs:
                self._changed.wait()
            self._idle -= 1
            return self._jobs.popleft() if self._open else None

    def _finish(self, tag: Any, job: Callable[[Stop], T]) -> None:
        done: Done[T]
        try:
            done = Done(tag, job(self.stop_switch), None)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it, whatever it is
            done = Done(tag, None, error)
        with self._changed:
            # `_open` is looked at under the lock: after `stop` the descriptor's number may be another file's.
            if not self._open:
                return
            if not self._done:
                # One byte stands for a non-empty list, so the pipe can neither fill up nor block.
                os.write(self._tell_fd, b"\0")
            self._done.append(done)


_live: weakref.WeakSet[Lanes[Any]] = weakref.WeakSet()


def stop_all() -> None:
    """Stops every scan's threads: for backend exit. Never raises."""
    for lanes in list(_live):
        lanes.stop()
