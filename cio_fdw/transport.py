"""One GET at a time over kept-alive connections, ended at once by a Stop and in any case by its deadline.

    transport = Transport("https://api.customer.io", key, user_agent="cio_fdw/1.0")
    transport.get(Where("messages", "/v1/messages"), "/v1/messages?limit=1000", timeout_s=60.0, stop=stop)
    -> Answer(status=200, headers={…}, body=b"{…}")

`requests` speaks HTTP, over the sockets of `exchange`, which know the Stop and the deadline. Here are the idle
connections, the body, which is checked to be whole, and the texts of errors.

Every HTTP status is an Answer. Errors: NetworkError, CertificateError, RequestTimeoutError, BodyError (too large),
Stopped. Their texts are not those of requests and urllib3, which hold the query, nor are they chained to those, which
hold the key.
"""

# requests and urllib3 (100 ms) are imported at the first request, not at backend start.
from __future__ import annotations

import contextlib
import os
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from cio_fdw.errors import BodyError, CertificateError, NetworkError, RequestTimeoutError, Where
from cio_fdw.exchange import Exchange, TakeTurn, adapter_class, tls_context
from cio_fdw.lanes import Stop
from cio_fdw.secret import Secret

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection

    from requests import Response
    from requests.adapters import HTTPAdapter

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Largest body after decompression; a page of the API has a few MB."""

MAX_IDLE_CONNECTIONS = 8
MAX_IDLE_S = 30.0
"""Idle connections are closed after this: load balancers drop them silently from 60 s on. Here that happens when the
next request leaves; before it, the host ends those of `idle_fds`."""

_PIECE_BYTES = 1024 * 1024
"""Most pages are one piece, which need not be put together."""


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer. `headers` is case-insensitive; `body` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Kept(NamedTuple):
    """A connection, idle since `since_s` (time.monotonic), and the adapter that sends on it alone."""

    since_s: float
    adapter: HTTPAdapter
    connection: Optional[HTTPConnection]


class Transport:
    """The connections of one backend to one API root with one key. Safe to use from several threads."""

    def __init__(self, base_url: str, key: Secret, *, user_agent: str, ca_file: Optional[str] = None) -> None:
        self._base_url = base_url
        self._key = key
        self._user_agent = user_agent
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._context: Optional[ssl.SSLContext] = None
        self._idle: list[_Kept] = []
        self._closed = False

    def get(
        self, where: Where, target: str, *, timeout_s: float, stop: Stop, take_turn: TakeTurn = lambda: None
    ) -> Answer:
        """The answer to GET `target` (path and query, such as /v1/messages?limit=10), whatever its status.

        `timeout_s` counts from the connect to the last byte of the body. `take_turn` is called when the connection
        stands and before the request leaves, again when it must be sent again; its time is not counted.
        Errors: those of this module, and what `take_turn` raises.
        """
        exchange = Exchange(stop, timeout_s, take_turn)
        try:
            return self._get(where, target, exchange, self._take_adapter())
        except NetworkError:
            if not exchange.met_closed_connection:
                raise
        # A GET may be repeated. It takes a turn of its own: the API may have counted the first before it hung up.
        again = Exchange(stop, timeout_s, take_turn)
        again.deadline_s = exchange.deadline_s
        return self._get(where, target, again, self._new_adapter())

    def close(self) -> None:
        """Closes the idle connections; those in use close when their request ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for kept in idle:
            kept.adapter.close()

    @contextlib.contextmanager
    def idle_fds(self) -> Iterator[list[int]]:
        """The sockets of the idle connections that are open. Inside none is closed, so that the numbers are theirs."""
        with self._lock:
            sockets = [kept.connection.sock for kept in self._idle if kept.connection]
            yield [sock.fileno() for sock in sockets if sock is not None]

    def _get(self, where: Where, target: str, exchange: Exchange, adapter: HTTPAdapter) -> Answer:
        answer: Optional[Answer] = None
        failure: Optional[Exception] = None
        try:
            with exchange:
                answer = self._exchange(where, target, exchange, adapter)
        except Exception as error:  # noqa: BLE001 - sorted by _explain, which gives back what it does not know
            failure = error
        finally:
            if answer is None or exchange.stop.is_set:
                adapter.close()
            else:
                self._keep(adapter, exchange.connection)
        # A shut down socket looks like a network failure or like the end of a body.
        exchange.stop.check()
        if answer is None:
            assert failure is not None
            # Raised outside the handler: the original's __context__ would carry the request with its headers.
            raise _explain(failure, where, exchange)
        return answer

    def _exchange(self, where: Where, target: str, exchange: Exchange, adapter: HTTPAdapter) -> Answer:
        from requests import Request

        exchange.stop.check()
        headers = {
            "User-Agent": self._user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Authorization": self._key.bearer(),
        }
        request = Request("GET", self._base_url + target, headers=headers).prepare()
        response = adapter.send(request, stream=True, timeout=exchange.left_s())
        with contextlib.closing(response):
            body = b"".join(_body(response, where, exchange))
            return Answer(response.status_code, response.headers, body)

    def _take_adapter(self) -> HTTPAdapter:
        now_s = time.monotonic()
        with self._lock:
            stale = [kept for kept in self._idle if now_s - kept.since_s > MAX_IDLE_S]
            self._idle = [kept for kept in self._idle if now_s - kept.since_s <= MAX_IDLE_S]
            latest = self._idle.pop() if self._idle else None
        for kept in stale:
            kept.adapter.close()
        return latest.adapter if latest else self._new_adapter()

    def _new_adapter(self) -> HTTPAdapter:
        with self._lock:
            if self._context is None and self._base_url.startswith("https:"):
                self._context = tls_context(self._ca_file)
        return adapter_class()(self._context)

    def _keep(self, adapter: HTTPAdapter, connection: Optional[HTTPConnection]) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append(_Kept(time.monotonic(), adapter, connection))
                return
        adapter.close()


def _body(response: Response, where: Where, exchange: Exchange) -> Iterator[bytes]:
    """The decompressed body in pieces, checked to be whole. Raises BodyError, NetworkError."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("gzip", "x-gzip", "identity", ""):
        raise BodyError(f"{where} was answered in an encoding that was not asked for")
    gunzip = _Gunzip() if "gzip" in encoding else None
    received_bytes = size_bytes = 0
    for raw_piece in response.raw.stream(_PIECE_BYTES, decode_content=False):
        exchange.left_s()
        received_bytes += len(raw_piece)
        piece = gunzip.feed(raw_piece, MAX_BODY_BYTES - size_bytes) if gunzip else raw_piece
        size_bytes += len(piece)
        if size_bytes > MAX_BODY_BYTES:
            raise BodyError(f"{where} was answered with more than {MAX_BODY_BYTES} bytes")
        yield piece
    announced = response.headers.get("Content-Length", "")
    is_short = announced.isdecimal() and received_bytes < int(announced) and response.status_code not in (204, 304)
    if is_short or (gunzip and received_bytes and not gunzip.member.eof):
        raise NetworkError(where, reason="the body was cut off")


class _Gunzip:
    """Decompresses gzip piece by piece. urllib3's decoder takes a stream that ends too early for a whole one."""

    def __init__(self) -> None:
        self.member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, piece: bytes, room_bytes: int) -> bytes:
        """What `piece` decompresses to; cut off once it exceeds `room_bytes`. Raises zlib.error."""
        parts = []
        while piece:
            if self.member.eof:
                self.member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            parts.append(self.member.decompress(piece, room_bytes + 1))
            piece = self.member.unused_data
        return b"".join(parts)


def _explain(error: Exception, where: Where, exchange: Exchange) -> Exception:
    """The error of ours that stands for `error`; what does not come from the network is given back as it is."""
    from http.client import HTTPException

    from urllib3.exceptions import HTTPError

    if not isinstance(error, (OSError, HTTPError, HTTPException, zlib.error)):
        return error
    if exchange.deadline_s - time.monotonic() <= 0.005:  # a wait may end a clock tick early
        return RequestTimeoutError(where, reason=f"no complete answer within {exchange.timeout_s:g} s")
    name, reason = _reason(error)
    return (CertificateError if name == _UNTRUSTED else NetworkError)(where, reason=reason)


_UNTRUSTED = "ssl.SSLCertVerificationError"
_REASONS: dict[str, Callable[[Any], str]] = {
    _UNTRUSTED: lambda error: f"TLS certificate refused: {error.verify_message}",
    "ssl.SSLError": lambda error: f"TLS: {error.reason or error.strerror}",
    "socket.gaierror": lambda error: f"host name lookup: {error.strerror}",
    "http.client.RemoteDisconnected": lambda _error: "the server closed the connection without an answer",
    "http.client.IncompleteRead": lambda _error: "the body was cut off",
    "urllib3.exceptions.ProtocolError": lambda _error: "the body was cut off",
    "http.client.HTTPException": lambda _error: "the answer is not HTTP",
    "zlib.error": lambda _error: "the body is not valid gzip",
}
"""By class name, so that nothing need be imported; the nearest ancestor counts."""


def _reason(error: BaseException) -> tuple[str, str]:
    """The innermost known cause of `error`: its name in _REASONS, and a few words that hold nothing of the URL."""
    causes = [error]
    for cause in causes:
        # requests and urllib3 keep causes in `args` and `reason` too.
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        causes += [one for one in inner if isinstance(one, BaseException) and one not in causes]
    for cause in reversed(causes):
        names = (f"{kind.__module__}.{kind.__name__}" for kind in type(cause).__mro__)
        known = next((name for name in names if name in _REASONS), None)
        if known:
            return known, _REASONS[known](cause)
        if isinstance(cause, OSError) and cause.errno:
            return "", os.strerror(cause.errno)
    return "", type(error).__name__
