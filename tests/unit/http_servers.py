"""Servers that answer badly on purpose, and the gets that meet them: what the tests of the transport share.

    with Kit() as kit:
        server = kit.answering(OK)
        assert get(kit.to(server)).status == 200

A slow server serves one connection without ever completing an answer; `slow_servers` runs a test with each.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from cio_fdw import exchange
from cio_fdw.errors import NetworkError, Where
from cio_fdw.lanes import Lanes, Stop
from cio_fdw.secret import Secret
from cio_fdw.transport import Answer, Transport

KEY = "s3cr3t-k3y"
WHERE = Where("messages", "/v1/messages")
TARGET = "/v1/messages?email=a%40b.example&limit=2"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

Handler = Callable[[socket.socket, int], None]


class Server:
    """A listener on 127.0.0.1 that gives each connection (numbered from 1) to `handler` in a thread of its own."""

    def __init__(self, handler: Handler, context: Optional[ssl.SSLContext] = None) -> None:
        self.handler = handler
        self.context = context
        self.connections = 0
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="test-server", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _address = self.listener.accept()
                self.connections += 1
                self._sockets.append(conn)
                threading.Thread(target=self._serve, args=(conn, self.connections), daemon=True).start()

    def _serve(self, conn: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(conn)
            if self.context:
                conn = stack.enter_context(self.context.wrap_socket(conn, server_side=True))
            self.handler(conn, number)

    def request(self, conn: socket.socket) -> bytes:
        """The next request of the connection, b"" at its end."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = conn.recv(4096)
            if not piece:
                return b""
            head += piece
        self.requests.append(head)
        return head

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(1)


class Kit(contextlib.ExitStack):
    """Starts servers and transports, and ends them on leaving."""

    def server(self, handler: Handler, context: Optional[ssl.SSLContext] = None) -> Server:
        server = Server(handler, context)
        self.callback(server.close)
        return server

    def answering(self, answer: bytes) -> Server:
        """Answers every request of a connection with `answer`."""

        def handler(conn: socket.socket, _number: int) -> None:
            while server.request(conn):
                conn.sendall(answer)
                if b"Content-Length" not in answer and b"chunked" not in answer:
                    return

        server = self.server(handler)
        return server

    def transport(self, url: str, **options: Any) -> Transport:
        transport = Transport(url, Secret(KEY), user_agent="cio_fdw/test", **options)
        self.callback(transport.close)
        return transport

    def to(self, server: Server, prefix: str = "") -> Transport:
        return self.transport(f"http://127.0.0.1:{server.port}{prefix}")


def get(transport: Transport, timeout_s: float = 5.0, stop: Optional[Stop] = None, **options: Any) -> Answer:
    return transport.get(WHERE, TARGET, timeout_s=timeout_s, stop=stop or Stop(), **options)


def assert_no_secret(error: BaseException) -> None:
    """Neither the key nor a query value in anything that can be printed of `error`."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    shown += repr(error) + str(error) + repr(vars(error))
    assert KEY not in shown
    assert "b.example" not in shown
    assert error.__context__ is None
    assert error.__cause__ is None


def fails(transport: Transport, kind: type[Exception] = NetworkError, timeout_s: float = 5.0) -> str:
    """The reason of the error that a get raises."""
    with pytest.raises(kind) as caught:
        get(transport, timeout_s)
    assert_no_secret(caught.value)
    assert type(caught.value) is kind
    return getattr(caught.value, "reason", "") or str(caught.value)


def with_body(body: bytes, *headers: bytes, length: Optional[int] = None) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def hang_before_headers(server: Server, conn: socket.socket) -> None:
    server.request(conn)
    server.over.wait(5)


def drip_headers(server: Server, conn: socket.socket) -> None:
    server.request(conn)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
        conn.send(bytes([byte]))
        if server.over.wait(0.01):
            return


def drip_body(server: Server, conn: socket.socket) -> None:
    server.request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.over.wait(0.01):
        conn.send(b"x")


def drip_last_body(server: Server, conn: socket.socket) -> None:
    server.request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not server.over.wait(0.01):
        conn.send(b"x")


def flood_of_continues(server: Server, conn: socket.socket) -> None:
    server.request(conn)
    while not server.over.wait(0.01):
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def silent(server: Server) -> None:
    server.over.wait(5)


Slow = Callable[[Server, socket.socket], None]
SLOW = [hang_before_headers, drip_headers, drip_body, drip_last_body, flood_of_continues]
slow_servers = pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.__name__)


@contextlib.contextmanager
def full_listener() -> Iterator[int]:
    """Port of a listener whose queue is full: a connect to it hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.01)
        yield listener.getsockname()[1]


def cancel(transport: Transport) -> None:
    """Stops the scan of a hanging get; asserts that its thread ends within 100 ms."""
    exchange.adapter_class()
    lanes: Lanes[Answer] = Lanes(1)
    lanes.submit(1, lambda stop: get(transport, 30.0, stop))
    time.sleep(0.08)
    (worker,) = [thread for thread in threading.enumerate() if thread.name == "cio-lane"]
    began = time.monotonic()
    lanes.stop()
    assert time.monotonic() - began < 0.1
    assert not worker.is_alive()
