"""The transport over TLS: verification, kept connections, deadline, cancel."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_fdw.errors import CertificateError, RequestTimeoutError
from tests.certificates import Own, certificates
from tests.unit.http_servers import OK, Kit, Server, Slow, cancel, fails, get, slow_servers


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    """Of localhost."""
    try:
        with certificates() as make:
            yield make("localhost")
    except LookupError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def certificate(own: Own) -> Path:
    return own.certificate


@pytest.fixture
def tls_server(kit: Kit, own: Own) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)

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
    reason = fails(kit.transport(f"https://localhost:{tls_server.port}"), CertificateError)
    assert reason in (
        "TLS certificate refused: self-signed certificate",
        "TLS certificate refused: self signed certificate",
    )
    assert tls_server.requests == []


def test_a_certificate_of_another_host_is_refused(kit: Kit, tls_server: Server, certificate: Path) -> None:
    reason = fails(kit.transport(f"https://127.0.0.1:{tls_server.port}", ca_file=str(certificate)), CertificateError)
    assert reason.startswith("TLS certificate refused: IP address mismatch")
    assert tls_server.requests == []


def test_a_server_without_tls(kit: Kit) -> None:
    server = kit.server(lambda conn, _number: conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert fails(kit.transport(f"https://127.0.0.1:{server.port}")).startswith("TLS: ")


@slow_servers
def test_deadline_and_cancel_within_tls(kit: Kit, tls_server: Server, certificate: Path, slow: Slow) -> None:
    tls_server.handler = lambda conn, _number: slow(tls_server, conn)
    transport = kit.transport(f"https://localhost:{tls_server.port}", ca_file=str(certificate))
    began = time.monotonic()
    fails(transport, RequestTimeoutError, timeout_s=0.15)
    assert time.monotonic() - began < 1.2
    cancel(transport)
