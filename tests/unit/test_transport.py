"""The transport against real sockets: requests, answers, bodies, failures, secrecy."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses

from cio_fdw import exchange
from cio_fdw import transport as transport_module
from cio_fdw.errors import BodyError
from cio_fdw.secret import Secret
from cio_fdw.transport import Transport
from tests.unit.http_servers import KEY, OK, TARGET, Kit, fails, get, with_body


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


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
    monkeypatch.setattr(exchange, "resolve", lambda *_args: addresses)
    assert get(kit.transport("http://two.example")).status == 200


# The module


def test_importing_it_imports_neither_requests_nor_ssl() -> None:
    program = "import sys, cio_fdw.fetch; sys.exit(bool({'requests', 'urllib3', 'ssl', 'tenacity'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
