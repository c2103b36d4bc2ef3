"""A Stop ends a get at once, whatever the server does, and reaches no other get."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from cio_fdw import exchange
from cio_fdw.lanes import Stop, Stopped
from tests.unit.http_servers import OK, Kit, Slow, cancel, full_listener, get, hang_before_headers, silent, slow_servers


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


@slow_servers
def test_cancel(kit: Kit, slow: Slow) -> None:
    server = kit.server(lambda conn, _number: slow(server, conn))
    cancel(kit.to(server))


def test_cancel_during_connect(kit: Kit) -> None:
    port = kit.enter_context(full_listener())
    cancel(kit.transport(f"http://127.0.0.1:{port}"))


def test_cancel_during_handshake(kit: Kit) -> None:
    server = kit.server(lambda _conn, _number: silent(server))
    transport = kit.transport(f"https://127.0.0.1:{server.port}")
    transport._context = exchange.tls_context(None)
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
