"""No answer at all: nobody listens, no name, no trust, no end of the connect. One error, and the key stays here."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from cio_fdw.simulator.client import Simulator
from tests.certificates import Own
from tests.sql.helpers import Connection, refused, rows, server_option
from tests.unit.http_servers import Kit, full_listener
from tests.unit.test_transport_tls import own

__all__ = ["own"]

QUERY = "select id from customerio.campaigns"
NOT_REACHED = r"cio_fdw: GET /v1/campaigns \(table campaigns\) did not reach the API, attempt {} of {}, after \d\.\d s"
TIMEOUT_S = 0.4


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


def failure(db: Connection, base_url: str, sqlstate: str, retries: int = 1) -> tuple[str, str]:
    """Message and detail of a scan against `base_url`."""
    with (
        server_option(db, "base_url", base_url),
        server_option(db, "max_retries", str(retries)),
        server_option(db, "timeout", str(TIMEOUT_S)),
        refused(sqlstate) as caught,
    ):
        rows(db, QUERY)
    return caught.value.diag.message_primary or "", caught.value.diag.message_detail or ""


def test_nobody_listens(db: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message, detail = failure(db, f"http://127.0.0.1:{port}", "08006")
    assert re.fullmatch(NOT_REACHED.format(2, 2), message)
    assert detail == "Connection refused"


def test_a_name_that_is_none(db: Connection) -> None:
    # .invalid never exists (RFC 2606); how long the resolver takes to say so is not ours to know.
    with server_option(db, "timeout", "30"):
        message, detail = failure(db, "https://api.invalid", "08006", retries=0)
    assert re.fullmatch(NOT_REACHED.format(1, 1), message)
    assert detail.startswith("host name lookup: ")


def test_a_connect_that_does_not_end(db: Connection) -> None:
    with full_listener() as port:
        began_s = time.monotonic()
        message, detail = failure(db, f"http://127.0.0.1:{port}", "08001", retries=0)
    assert TIMEOUT_S <= time.monotonic() - began_s < TIMEOUT_S + 0.5
    assert "timed out, attempt 1 of 1" in message
    assert detail == f"no complete answer within {TIMEOUT_S:g} s"


def test_a_handshake_that_does_not_end(db: Connection, kit: Kit) -> None:
    server = kit.server(lambda _conn, _number: server.over.wait(5) and None)
    message, _detail = failure(db, f"https://127.0.0.1:{server.port}", "08001", retries=0)
    assert "timed out, attempt 1 of 1" in message


def test_a_hiccup_of_tls_is_retried(db: Connection, kit: Kit) -> None:
    server = kit.server(lambda conn, _number: conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    message, detail = failure(db, f"https://127.0.0.1:{server.port}", "08006")
    assert re.fullmatch(NOT_REACHED.format(2, 2), message)
    assert detail.startswith("TLS: ")
    assert server.connections == 2


def test_an_untrusted_certificate_is_final_and_sees_no_key(db: Connection, kit: Kit, own: Own) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    server = kit.server(lambda conn, _number: server.request(conn) and None, context)
    message, detail = failure(db, f"https://localhost:{server.port}", "08006", retries=5)
    assert re.fullmatch(
        r"cio_fdw: GET /v1/campaigns \(table campaigns\) was not sent: the host's TLS certificate is not trusted, "
        r"attempt 1 of 6, after \d\.\d s",
        message,
    )
    assert re.fullmatch("TLS certificate refused: self.signed certificate", detail)
    assert (server.connections, server.requests) == (1, [])


def test_it_recovers(db: Connection, sim: Simulator) -> None:
    with server_option(db, "base_url", "http://127.0.0.1:9"), server_option(db, "max_retries", "0"), refused("08006"):
        rows(db, QUERY)
    assert len(rows(db, QUERY)) == len(sim.data("campaigns"))
