"""A question to Redis in a thread of its own, which can be given up: redis-py itself cannot be interrupted.

    question = Question(lambda: client.ping())
    question.done.wait(0.02)                                # and then `answer` or `error`, or
    question.abandon(0.02)                                  # -> False: it did not answer, and its thread has ended

The thread inherits the blocked signals. Each of its sockets is known to the question's Stop from before the connect, so
that hanging up ends it within milliseconds, whatever it waits for.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack
from functools import cache
from typing import Any, Callable, Optional

from cio_fdw.errors import SharedLimitError
from cio_fdw.lanes import Stop, Stopped, connect
from cio_fdw.resolving import resolve
from cio_fdw.threads import started

CUT_S = 0.2
"""Longest wait for a thread whose line was cut: it takes a millisecond."""


class Question:
    """`answer` and `error` are of use once it is `done`. `undo` gets an answer that came after `abandon`."""

    def __init__(self, job: Callable[[], Any], undo: Callable[[Any], None] = lambda _answer: None) -> None:
        self.done = threading.Event()
        self.answer: Any = None
        self.error: Optional[SharedLimitError] = None
        self._job = job
        self._undo = undo
        self._lock = threading.Lock()
        self._abandoned = False
        self._stop = Stop()
        self._thread = started(self._work, "cio-redis")

    def abandon(self, patience_s: float) -> bool:
        """Nobody waits for the answer any more. Whether it came within `patience_s`; if not, the line is cut."""
        with self._lock:
            self._abandoned = True
            answered = self.done.is_set()
        if answered:
            return bool(self.error) or Question(lambda: self._undo(self.answer)).end(patience_s)
        return self.end(patience_s)

    def end(self, patience_s: float) -> bool:
        """Whether the thread came to its end within `patience_s`; else the line is cut, which ends it.

        It is waited for: once the statement is over, PostgreSQL keeps Python's lock, without which no thread ends.
        """
        self._thread.join(patience_s)
        in_time = not self._thread.is_alive()
        if not in_time:
            self._stop.trip()
            self._thread.join(CUT_S)
        return in_time

    def _work(self) -> None:
        with ExitStack() as held:
            _thread.stop, _thread.held = self._stop, held
            try:
                self.answer = self._job()
                with self._lock:
                    self.done.set()
                    abandoned = self._abandoned
                if abandoned:
                    self._undo(self.answer)
            except SharedLimitError as error:
                self.error = error
            except Stopped:
                self.error = SharedLimitError("the question to Redis was given up")
            finally:
                self.done.set()


class _Thread(threading.local):
    """The question of the calling thread: redis-py passes nothing through to its sockets."""

    stop: Stop
    held: ExitStack


_thread = _Thread()


def _hold(sock: socket.socket) -> None:
    """Lets the Stop end `sock`, through a descriptor that lives as long as the question."""
    handle = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
    _thread.held.enter_context(handle)
    _thread.held.enter_context(_thread.stop.guard(handle))


def _dial(address: tuple[Any, ...], timeout_s: float) -> socket.socket:
    family, kind, protocol, _name, where = address
    with ExitStack() as on_error:
        sock = on_error.enter_context(socket.socket(family, kind, protocol))
        _hold(sock)
        connect(sock, where, _thread.stop, timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout_s)
        on_error.pop_all()
    return sock


@cache
def connection_classes() -> dict[str, Any]:
    """By scheme of the URL. Their connections are used by threads of a Question only."""
    from redis.connection import Connection

    class Plain(Connection):
        def _connect(self) -> socket.socket:
            timeout_s = float(self.socket_connect_timeout or 0)
            addresses = resolve(self.host, self.port, _thread.stop, timeout_s)
            for address in addresses[:-1]:
                try:
                    return _dial(address, timeout_s / len(addresses))
                except OSError:
                    continue
            return _dial(addresses[-1], timeout_s)

        def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:
            # A kept connection, which an earlier question made.
            kept: Optional[socket.socket] = getattr(self, "_sock", None)
            if kept:
                _hold(kept)
            return super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call]

    class TLS(Plain):
        """Verifies certificate and host name: redis-py's own class does the latter from version 6 on only."""

        def _connect(self) -> socket.socket:
            import ssl

            with ExitStack() as on_error:
                sock = on_error.enter_context(super()._connect())
                wrapped = ssl.create_default_context().wrap_socket(sock, server_hostname=self.host)
                on_error.pop_all()
            return wrapped

    return {"redis": Plain, "rediss": TLS}
