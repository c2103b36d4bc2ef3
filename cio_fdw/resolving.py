"""Addresses of host names, with at most one lookup of a name under way in a process.

    resolve("api.customer.io", 443, stop, 5.0)      what getaddrinfo gives

getaddrinfo can be neither interrupted nor given a deadline. So it runs in a thread of its own, which inherits the
blocked signals, touches nothing of the scan, and is left behind as a daemon when the scan cannot wait: the resolver's
own timeouts end it. Who asks for the same name meanwhile waits for that thread instead of starting another, so that
one is left behind however many statements are cancelled.
Errors: socket.gaierror, socket.timeout, Stopped.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any, Optional

from cio_fdw.lanes import Stop

OLD_S = 60.0
"""A thread that was left behind gets Python's lock back when the next statement waits: an answer of a lookup that began
earlier than this is not used."""

Name = tuple[str, int]


class _Lookup:
    """One call of getaddrinfo. What is in `waiting` is closed once it has returned."""

    def __init__(self, name: Name) -> None:
        self.began_s = time.monotonic()
        self.found: Optional[list[Any]] = None
        self.failure: tuple[Any, ...] = (socket.EAI_FAIL, "no answer")
        self.waiting: list[socket.socket] = []
        self._name = name

    def run(self) -> None:
        try:
            self.found = socket.getaddrinfo(*self._name, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            self.failure = error.args
        except (OSError, UnicodeError):
            self.failure = (socket.EAI_NONAME, "not a host name")
        finally:
            with _lock:
                del _under_way[self._name]
                for far in self.waiting:
                    far.close()
                self.waiting.clear()


_under_way: dict[Name, _Lookup] = {}
_lock = threading.Lock()
"""Guards `_under_way` and the `waiting` of each lookup."""


def resolve(host: str, port: int, stop: Stop, wait_s: float) -> list[Any]:
    """The addresses of `host`, as getaddrinfo gives them."""
    with contextlib.suppress(socket.gaierror, UnicodeError):  # a name, not an address
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    asked_s = time.monotonic()
    while True:
        lookup = _waited_for((host, port), stop, asked_s + wait_s)
        if lookup.began_s < asked_s - OLD_S:
            continue
        if lookup.found is None:
            raise socket.gaierror(*lookup.failure)
        return lookup.found


def _waited_for(name: Name, stop: Stop, deadline_s: float) -> _Lookup:
    """A lookup that has ended."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise socket.timeout("deadline")
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(left_s)
        lookup = _joined(name, far)
        try:
            with stop.guard(near):
                near.recv(1)
        finally:
            with _lock, contextlib.suppress(ValueError):  # it has ended
                lookup.waiting.remove(far)
    stop.check()
    return lookup


def _joined(name: Name, far: socket.socket) -> _Lookup:
    """The lookup of the name that is under way, or a new one; it closes `far` when it ends."""
    with _lock:
        lookup = _under_way.get(name)
        if lookup is None:
            lookup = _Lookup(name)
            threading.Thread(target=lookup.run, name="cio-resolve", daemon=True).start()
            _under_way[name] = lookup
        lookup.waiting.append(far)
        return lookup
