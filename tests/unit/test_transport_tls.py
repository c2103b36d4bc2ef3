"""The transport over TLS: verification, kept connections, deadline, cancel."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_fdw.errors import CertificateError, RequestTimeoutError
from tests.unit.http_servers import OK, Kit, Server, Slow, cancel, fails, get, slow_servers


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


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
