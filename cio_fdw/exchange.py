"""One HTTP request under way, and the sockets that know it: what `requests` lacks, added in the layer below it.

    with Exchange(stop, timeout_s=60.0, take_turn=throttle) as exchange:
        adapter_class()(context).send(request, stream=True, timeout=exchange.left_s())

Each socket is known to the Stop from before its connect until the answer is complete, and each read gets what
is left of one total deadline. A kept connection serves one exchange after the other; its socket takes the
deadline from the exchange of the thread that reads.

Errors, raised inside `send` or the reading of the body, where urllib3 wraps them: OSError, socket.timeout at the
deadline. Stopped passes through.
"""

# requests, urllib3 and ssl (100 ms) are imported at the first request, not at backend start.
from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, Optional

from cio_fdw.lanes import Stop, connect
from cio_fdw.resolving import resolve

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection

    from requests.adapters import HTTPAdapter

_LATE_S = 0.05
_SURELY_OPEN_S = 1.0
"""A connection that idled longer may have been closed by the server meanwhile."""

TakeTurn = Callable[[], Optional[Callable[[], None]]]
"""Waits until a request may leave; gives what to call once it has left, if anything."""


def _say_nothing() -> None:
    pass


class Exchange:
    """One request under way: the Stop that ends it, the deadline it has, the sockets it uses.

    Inside `with`, it is the exchange of the calling thread. Leaving takes its sockets from the Stop.
    """

    def __init__(self, stop: Stop, timeout_s: float, take_turn: TakeTurn) -> None:
        self.stop = stop
        self.timeout_s = timeout_s
        self.deadline_s = time.monotonic() + timeout_s
        self.on_new_connection = self.heard = self._idled = False
        self.connection: Optional[HTTPConnection] = None
        """The one that the request left on."""
        self._take_turn = take_turn
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Exchange:
        _thread.exchange = self
        return self

    def __exit__(self, *_error: object) -> None:
        del _thread.exchange
        self._held.close()

    def left_s(self) -> float:
        """Seconds until the deadline, above 0. Raises socket.timeout after it."""
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            raise socket.timeout("deadline")
        return left_s

    def hold(self, sock: socket.socket) -> None:
        """Lets the Stop shut `sock` down, through a descriptor that lives as long as this exchange.

        The socket's own descriptor does not: TLS detaches it, and http.client closes it before the body
        is read when the server will close the connection.
        """
        handle = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
        self._held.enter_context(handle)
        self._held.enter_context(self.stop.guard(handle))

    def take_turn(self) -> Callable[[], None]:
        """Waits until the request may leave; call the result once it has. The wait does not use up the deadline."""
        began_s = time.monotonic()
        left = self._take_turn() or _say_nothing
        waited_s = time.monotonic() - began_s
        self.deadline_s += waited_s
        self._idled = waited_s > _SURELY_OPEN_S or not self.on_new_connection
        return left

    @property
    def met_closed_connection(self) -> bool:
        """Whether a failure means no more than that the server had closed a connection while it was idle."""
        return self._idled and not self.heard


class _Thread(threading.local):
    """The exchange of the calling thread: sockets are made deep inside urllib3, which passes nothing through."""

    exchange: Exchange


_thread = _Thread()


class _TimedSocket(socket.socket):
    """Gives each read what is left of the exchange's deadline."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        left_s = _thread.exchange.left_s()
        # Each change is a system call, so a read may last a little longer than what is left.
        if not left_s <= (self.gettimeout() or 0.0) <= left_s + _LATE_S:
            self.settimeout(left_s)
        count = super().recv_into(*args, **kwargs)
        _thread.exchange.heard = _thread.exchange.heard or count > 0
        return count


def _dial(host: str, port: int, exchange: Exchange) -> socket.socket:
    """A socket connected to the first address of `host` that answers. Raises OSError, Stopped."""
    addresses = resolve(host, port, exchange.stop, exchange.left_s())
    for left in range(len(addresses), 0, -1):
        try:
            # An address that swallows packets must leave time for the next one.
            return _dial_address(addresses[-left], exchange.left_s() / left, exchange)
        except OSError:
            if left == 1:
                raise
    raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


def _dial_address(info: tuple[Any, ...], wait_s: float, exchange: Exchange) -> socket.socket:
    family, kind, protocol, _name, address = info
    with contextlib.ExitStack() as on_error:
        sock = on_error.enter_context(_TimedSocket(family, kind, protocol))
        exchange.hold(sock)
        connect(sock, address, exchange.stop, wait_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(exchange.left_s())
        on_error.pop_all()
    return sock


def tls_context(ca_file: Optional[str]) -> ssl.SSLContext:
    """Verifies against the system's certificates, as curl does, or against certifi's where it has none."""
    import ssl

    import certifi

    class TimedTLSSocket(_TimedSocket, ssl.SSLSocket):
        pass

    context = ssl.create_default_context(cafile=ca_file)
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    context.sslsocket_class = TimedTLSSocket
    return context


@lru_cache(maxsize=1)
def adapter_class() -> Callable[[Optional[ssl.SSLContext]], HTTPAdapter]:
    """Makes adapters of one connection: requests without its Session, so no cookies, redirects, proxies, .netrc."""
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.exceptions import NewConnectionError

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            exchange = _thread.exchange
            exchange.on_new_connection = True
            try:
                return _dial(self._dns_host, self.port or self.default_port, exchange)
            except OSError as error:
                # urllib3 takes some OSErrors inside `request` for a server that answers before it has read all.
                raise NewConnectionError(self, "") from error

        def request(self, *args: Any, **kwargs: Any) -> None:
            exchange = _thread.exchange
            exchange.connection = self
            if self.sock is None:
                self.connect()
            elif not exchange.on_new_connection:
                exchange.hold(self.sock)
            super().request(*args, **kwargs)

        def send(self, data: Any) -> None:
            # A GET leaves in one piece. Its turn is taken as the last thing before that: nothing may come in between.
            left = _thread.exchange.take_turn()
            super().send(data)
            left()

    class TLS(Plain, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TLSPool(HTTPSConnectionPool):
        ConnectionCls = TLS

    class Adapter(HTTPAdapter):
        def __init__(self, context: Optional[ssl.SSLContext]) -> None:
            self._context = context
            super().__init__(pool_connections=1, pool_maxsize=1)

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TLSPool}

        def cert_verify(self, conn: Any, *_args: Any, **_kwargs: Any) -> None:
            # The context has its certificates; requests would load certifi's into it at every connect.
            conn.cert_reqs = "CERT_REQUIRED"

    return Adapter
