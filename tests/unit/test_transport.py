"""The transport against real sockets: deadlines, cancel, cut bodies, kept connections, TLS, secrecy."""

from __future__ import annotations

import contextlib
import errno
import gc
import gzip
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
import responses

from cio_fdw import transport as transport_module
from cio_fdw.errors import BodyError, NetworkError, RequestTimeoutError, Where
from cio_fdw.lanes import Lanes, Stop, Stopped
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


class Kit:
    """Starts servers and transports, and ends them."""

    def __init__(self) -> None:
        self.undo = contextlib.ExitStack()

    def server(self, handler: Handler, context: Optional[ssl.SSLContext] = None) -> Server:
        server = Server(handler, context)
        self.undo.callback(server.close)
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
        self.undo.callback(transport.close)
        return transport

    def to(self, server: Server, prefix: str = "") -> Transport:
        return self.transport(f"http://127.0.0.1:{server.port}{prefix}")


@pytest.fixture
def kit() -> Iterator[Kit]:
    kit = Kit()
    with kit.undo:
        yield kit


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


# What is sent and what comes back


def test_the_request_and_the_answer(kit: Kit) -> None:
    server = kit.answering(OK)
    answer = get(kit.to(server, "/prefix"))
    assert (answer.status, answer.body, answer.headers["content-TYPE"]) == (200, b"{}", "application/json")
    first, *headers = server.requests[0].decode().rstrip("\r\n").split("\r\n")
    assert first == "GET /prefix/v1/messages?email=a%40b.example&limit=2 HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: gzip",
        "Accept: application/json",
        f"Authorization: Bearer {KEY}",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: cio_fdw/test",
    ]


@pytest.mark.parametrize("status", [204, 301, 304, 400, 401, 403, 404, 408, 422, 429, 500, 503])
def test_every_status_is_an_answer(kit: Kit, status: int) -> None:
    body = b"" if status in (204, 304) else b"no"
    server = kit.answering(
        b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nRetry-After: 3\r\nContent-Length: %d\r\n\r\n%b"
        % (status, len(body), body)
    )
    answer = get(kit.to(server))
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (status, body, "3")
    assert len(server.requests) == 1


def test_a_redirect_with_a_senseless_location_is_an_answer(kit: Kit) -> None:
    server = kit.answering(b"HTTP/1.1 302 X\r\nLocation: ://[\r\nContent-Length: 2\r\n\r\nno")
    assert get(kit.to(server)).status == 302


def test_proxies_netrc_and_cookies_are_not_used(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = kit.answering(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=me; Path=/\r\n\r\n"))
    transport = kit.to(server)
    get(transport)
    get(transport)
    assert all(f"Bearer {KEY}".encode() in request for request in server.requests)
    assert not any(b"Cookie" in request for request in server.requests)


@responses.activate
def test_the_whole_url_is_base_and_target() -> None:
    responses.get("https://api.example/root/v1/messages", body=b"[]", status=200)
    answer = get(Transport("https://api.example/root", Secret(KEY), user_agent="x"))
    assert (answer.status, answer.body) == (200, b"[]")
    assert responses.calls[0].request.url == "https://api.example/root" + TARGET


# Bodies


def with_body(body: bytes, *headers: bytes, length: Optional[int] = None) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


GZIP = b"Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (gzip.compress(b"[1, 2]" * 50000), b"[1, 2]" * 50000),
        (gzip.compress(b"[1, ") + gzip.compress(b"2]"), b"[1, 2]"),
        (b"", b""),
    ],
    ids=["long", "two members", "empty"],
)
def test_gzip_bodies(kit: Kit, raw: bytes, body: bytes) -> None:
    assert get(kit.to(kit.answering(with_body(raw, GZIP)))).body == body


def test_chunked_bodies(kit: Kit) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
    server = kit.answering(raw)
    transport = kit.to(server)
    assert [get(transport).body for _ in range(2)] == [b"[1,2]"] * 2
    assert server.connections == 1


def test_a_body_that_ends_with_the_connection(kit: Kit) -> None:
    server = kit.answering(b"HTTP/1.1 200 OK\r\n\r\n{}")
    assert get(kit.to(server)).body == b"{}"


CUT = gzip.compress(os.urandom(300))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (with_body(b"[1", length=5), "the body was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1", "the body was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n", "the body was cut off"),
        (with_body(CUT[:-1], GZIP), "the body was cut off"),
        (with_body(CUT[:50], GZIP), "the body was cut off"),
        (with_body(CUT[:-6] + b"\0\0" + CUT[-4:], GZIP), "the body is not valid gzip"),
        (with_body(b"{}", GZIP), "the body is not valid gzip"),
        (b"", "the server closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
    ],
    ids=["length", "chunk", "last chunk", "gzip end", "gzip middle", "gzip sum", "no gzip", "nothing", "ssh"],
)
def test_broken_answers_are_network_errors(kit: Kit, raw: bytes, reason: str) -> None:
    def handler(conn: socket.socket, _number: int) -> None:
        server.request(conn)
        conn.sendall(raw)

    server = kit.server(handler)
    assert fails(kit.to(server)) == reason
    assert server.connections == 1


def test_an_encoding_not_asked_for(kit: Kit) -> None:
    server = kit.answering(with_body(b"x", b"Content-Encoding: br"))
    reason = fails(kit.to(server), BodyError)
    assert reason == "GET /v1/messages (table messages) was answered in an encoding that was not asked for"


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_over_the_cap(kit: Kit, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(transport_module, "MAX_BODY_BYTES", 100_000)
    for size_bytes in (100_000, 100_001):
        body = b" " * size_bytes
        server = kit.answering(with_body(gzip.compress(body), GZIP) if packed else with_body(body))
        if size_bytes == 100_000:
            assert len(get(kit.to(server)).body) == size_bytes
        else:
            reason = fails(kit.to(server), BodyError)
            assert reason == "GET /v1/messages (table messages) was answered with more than 100000 bytes"


def test_a_gzip_bomb_is_not_unpacked(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_BODY_BYTES", 100_000)
    fed: list[int] = []
    real = transport_module._Gunzip.feed

    def feed(self: Any, piece: bytes, room_bytes: int) -> bytes:
        out = real(self, piece, room_bytes)
        fed.append(len(out))
        return out

    monkeypatch.setattr(transport_module._Gunzip, "feed", feed)
    bomb = gzip.compress(b"\0" * 50_000_000)
    fails(kit.to(kit.answering(with_body(bomb, GZIP))), BodyError)
    assert sum(fed) == 100_001


# Errors of the network


def test_refused(kit: Kit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert fails(kit.transport(f"http://127.0.0.1:{port}")) == os.strerror(errno.ECONNREFUSED)


def test_reset(kit: Kit) -> None:
    def handler(conn: socket.socket, _number: int) -> None:
        server.request(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        conn.close()

    server = kit.server(handler)
    assert fails(kit.to(server)) == os.strerror(errno.ECONNRESET)
    assert server.connections == 1


def test_unknown_host(kit: Kit) -> None:
    reason = fails(kit.transport("https://no-such-host.invalid"))
    assert reason.startswith("host name lookup: ")


def test_the_next_address_is_tried(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    server = kit.answering(OK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    addresses = [(999, *stream[1:], dead), (*stream, dead), (*stream, ("127.0.0.1", server.port))]
    monkeypatch.setattr(transport_module, "resolve", lambda *_args: addresses)
    assert get(kit.transport("http://two.example")).status == 200


# The deadline


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


SLOW = [hang_before_headers, drip_headers, drip_body, drip_last_body, flood_of_continues]
slow_servers = pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.__name__)


@slow_servers
def test_the_deadline_is_total(kit: Kit, slow: Callable[[Server, socket.socket], None]) -> None:
    server = kit.server(lambda conn, _number: slow(server, conn))
    began = time.monotonic()
    reason = fails(kit.to(server), RequestTimeoutError, timeout_s=0.15)
    assert reason == "no complete answer within 0.15 s"
    assert 0.14 <= time.monotonic() - began < 0.3


@pytest.fixture
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


def test_the_deadline_covers_the_connect(kit: Kit, full_listener: int) -> None:
    began = time.monotonic()
    fails(kit.transport(f"http://127.0.0.1:{full_listener}"), RequestTimeoutError, timeout_s=0.1)
    assert time.monotonic() - began < 0.2


def test_the_deadline_covers_the_handshake(kit: Kit) -> None:
    server = kit.server(lambda _conn, _number: silent(server))
    began = time.monotonic()
    fails(kit.transport(f"https://127.0.0.1:{server.port}"), RequestTimeoutError, timeout_s=0.15)
    assert time.monotonic() - began < 0.4


def test_waiting_for_the_turn_is_not_counted(kit: Kit) -> None:
    server = kit.answering(OK)
    answer = get(kit.to(server), timeout_s=0.1, take_turn=lambda: time.sleep(0.2))
    assert answer.status == 200


def test_the_turn_is_taken_once_and_after_the_connect(kit: Kit) -> None:
    server = kit.answering(OK)
    turns: list[int] = []

    def take_turn() -> None:
        time.sleep(0.05)  # the server's count follows its accept
        turns.append(server.connections)

    transport = kit.to(server)
    for _ in range(2):
        get(transport, take_turn=take_turn)
    assert turns == [1, 1]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NetworkError):
        get(kit.transport(f"http://127.0.0.1:{port}"), take_turn=lambda: turns.append(99))
    assert turns == [1, 1]


# Cancel


def cancel(transport: Transport) -> None:
    """Stops the scan of a hanging get; asserts that its thread ends within 100 ms."""
    transport_module._adapter_class()
    lanes: Lanes[Answer] = Lanes(1)
    lanes.submit(1, lambda stop: get(transport, 30.0, stop))
    time.sleep(0.08)
    (worker,) = [thread for thread in threading.enumerate() if thread.name == "cio-lane"]
    began = time.monotonic()
    lanes.stop()
    assert time.monotonic() - began < 0.1
    assert not worker.is_alive()


@slow_servers
def test_cancel(kit: Kit, slow: Callable[[Server, socket.socket], None]) -> None:
    server = kit.server(lambda conn, _number: slow(server, conn))
    cancel(kit.to(server))


def test_cancel_during_connect(kit: Kit, full_listener: int) -> None:
    cancel(kit.transport(f"http://127.0.0.1:{full_listener}"))


def test_cancel_during_handshake(kit: Kit) -> None:
    server = kit.server(lambda _conn, _number: silent(server))
    transport = kit.transport(f"https://127.0.0.1:{server.port}")
    transport._context = transport_module._tls_context(None)
    cancel(transport)


def test_cancel_on_a_kept_connection(kit: Kit) -> None:
    def handler(conn: socket.socket, _number: int) -> None:
        server.request(conn)
        conn.sendall(OK)
        hang_before_headers(server, conn)

    server = kit.server(handler)
    transport = kit.to(server)
    assert get(transport).status == 200
    cancel(transport)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_a_stopped_scan_sends_nothing(kit: Kit) -> None:
    server = kit.answering(OK)
    stop = Stop()
    stop.trip()
    with pytest.raises(Stopped):
        get(kit.to(server), stop=stop)
    assert server.connections == 0


def test_an_earlier_scans_stop_does_not_reach_a_kept_connection(kit: Kit) -> None:
    server = kit.answering(OK)
    transport = kit.to(server)
    first = Stop()
    get(transport, stop=first)
    first.trip()
    get(transport)
    assert server.connections == 1


def test_a_body_ended_by_the_stop_is_not_taken_for_whole(kit: Kit) -> None:
    stop = Stop()

    def handler(conn: socket.socket, _number: int) -> None:
        server.request(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n{}")
        time.sleep(0.02)
        stop.trip()
        server.over.wait(5)

    server = kit.server(handler)
    with pytest.raises(Stopped):
        get(kit.to(server), stop=stop)


# Kept connections


def test_connections_are_reused_and_the_idle_ones_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_IDLE_CONNECTIONS", 2)
    server = kit.answering(OK)
    transport = kit.to(server)
    for _ in range(10):
        get(transport)
    assert server.connections == 1
    together = threading.Barrier(3)
    threads = [
        threading.Thread(target=get, args=(transport,), kwargs={"take_turn": lambda: together.wait(2)})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3)
    assert server.connections == 3
    assert len(transport._idle) == 2


def test_a_connection_closed_while_idle_is_replaced(kit: Kit) -> None:
    def handler(conn: socket.socket, _number: int) -> None:
        server.request(conn)
        conn.sendall(OK)

    server = kit.server(handler)
    transport = kit.to(server)
    for _ in range(3):
        assert get(transport).status == 200
        time.sleep(0.02)
    assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("rudely", [False, True])
def test_a_connection_closed_under_the_request_is_retried_once(kit: Kit, rudely: bool) -> None:
    def handler(conn: socket.socket, number: int) -> None:
        server.request(conn)
        conn.sendall(OK)
        if number == 1:
            server.request(conn)
            if rudely:
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    server = kit.server(handler)
    transport = kit.to(server)
    turns: list[None] = []
    for _ in range(2):
        assert get(transport, take_turn=lambda: turns.append(None)).status == 200
    assert (server.connections, len(server.requests), len(turns)) == (2, 3, 2)


def test_only_once(kit: Kit) -> None:
    def handler(conn: socket.socket, number: int) -> None:
        server.request(conn)
        if number == 1:
            conn.sendall(OK)
            server.request(conn)

    server = kit.server(handler)
    transport = kit.to(server)
    get(transport)
    assert fails(transport) == "the server closed the connection without an answer"
    assert (server.connections, len(server.requests)) == (2, 3)


def test_the_second_try_has_the_first_ones_deadline(kit: Kit) -> None:
    def handler(conn: socket.socket, number: int) -> None:
        server.request(conn)
        if number > 1:
            server.over.wait(5)
        conn.sendall(OK)
        server.request(conn)
        time.sleep(0.15)

    server = kit.server(handler)
    transport = kit.to(server)
    get(transport)
    began = time.monotonic()
    assert fails(transport, RequestTimeoutError, timeout_s=0.2) == "no complete answer within 0.2 s"
    assert time.monotonic() - began < 0.3
    assert server.connections == 2


def test_a_body_cut_on_a_kept_connection_is_an_error(kit: Kit) -> None:
    def handler(conn: socket.socket, _number: int) -> None:
        server.request(conn)
        conn.sendall(OK)
        server.request(conn)
        conn.sendall(with_body(b"[", length=9))

    server = kit.server(handler)
    transport = kit.to(server)
    get(transport)
    assert fails(transport) == "the body was cut off"
    assert server.connections == 1


def test_old_idle_connections_are_closed(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_IDLE_S", 0.0)
    server = kit.answering(OK)
    transport = kit.to(server)
    get(transport)
    get(transport)
    assert server.connections == 2


def test_no_descriptor_is_left(kit: Kit) -> None:
    def handler(conn: socket.socket, number: int) -> None:
        while server.request(conn):
            conn.sendall(with_body(b"[", length=9) if number % 2 else OK)
            if number % 2:
                return

    server = kit.server(handler)
    transport = kit.to(server)
    before: set[str] = set()
    for _ in range(6):
        with contextlib.suppress(NetworkError):
            get(transport)
        before = before or descriptors()
    assert len(descriptors()) <= len(before) + 2  # the one connection that is kept, and its other end
    transport.close()


def descriptors() -> set[str]:
    gc.collect()
    time.sleep(0.02)
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with key and self-signed certificate of localhost."""
    if not shutil.which("openssl"):
        pytest.skip("the openssl program is not installed: it makes the certificate of this test")
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    name = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make.split(), *name, "-keyout", file, "-out", file], check=True, capture_output=True)
    return file


@pytest.fixture
def tls_server(kit: Kit, certificate: Path) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handler(conn: socket.socket, _number: int) -> None:
        while server.request(conn):
            conn.sendall(OK)

    server = kit.server(handler, context)
    return server


def test_tls_connections_are_verified_and_kept(kit: Kit, tls_server: Server, certificate: Path) -> None:
    transport = kit.transport(f"https://localhost:{tls_server.port}", ca_file=str(certificate))
    for _ in range(3):
        assert get(transport).body == b"{}"
    assert tls_server.connections == 1


def test_an_unknown_certificate_is_refused(kit: Kit, tls_server: Server) -> None:
    reason = fails(kit.transport(f"https://localhost:{tls_server.port}"))
    assert reason in (
        "TLS certificate refused: self-signed certificate",
        "TLS certificate refused: self signed certificate",
    )
    assert tls_server.requests == []


def test_a_certificate_of_another_host_is_refused(kit: Kit, tls_server: Server, certificate: Path) -> None:
    reason = fails(kit.transport(f"https://127.0.0.1:{tls_server.port}", ca_file=str(certificate)))
    assert reason.startswith("TLS certificate refused: IP address mismatch")
    assert tls_server.requests == []


def test_a_server_without_tls(kit: Kit) -> None:
    server = kit.server(lambda conn, _number: conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert fails(kit.transport(f"https://127.0.0.1:{server.port}")).startswith("TLS: ")


@slow_servers
def test_deadline_and_cancel_within_tls(
    kit: Kit, tls_server: Server, certificate: Path, slow: Callable[[Server, socket.socket], None]
) -> None:
    tls_server.handler = lambda conn, _number: slow(tls_server, conn)
    transport = kit.transport(f"https://localhost:{tls_server.port}", ca_file=str(certificate))
    began = time.monotonic()
    fails(transport, RequestTimeoutError, timeout_s=0.15)
    assert time.monotonic() - began < 0.4
    cancel(transport)


# The module


def test_importing_it_imports_neither_requests_nor_ssl() -> None:
    program = "import sys, cio_fdw.fetch; sys.exit(bool({'requests', 'urllib3', 'ssl', 'tenacity'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
