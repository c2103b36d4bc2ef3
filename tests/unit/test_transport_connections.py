"""Kept connections: reuse, replacement of those that the server closed, descriptors."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_fdw import transport as transport_module
from cio_fdw.errors import NetworkError, RequestTimeoutError
from tests.unit.http_servers import OK, Kit, fails, get, with_body


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


def test_connections_are_reused_and_the_idle_ones_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_IDLE_CONNECTIONS", 2)
    server = kit.answering(OK)
    transport = kit.to(server)
    for _ in range(10):
        get(transport)
    assert server.connections == 1
    together = threading.Barrier(3)

    def wait_for_all() -> None:
        together.wait(2)

    threads = [threading.Thread(target=get, args=(transport,), kwargs={"take_turn": wait_for_all}) for _ in range(3)]
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
    assert (server.connections, len(server.requests), len(turns)) == (2, 3, 3)


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
    assert time.monotonic() - began < 1.2
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


def test_one_in_use_keeps_no_other_from_growing_old(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide scan leaves several connections. Narrow ones after it use the latest; the others must not stay open."""
    monkeypatch.setattr(transport_module, "MAX_IDLE_S", 0.5)
    server = kit.answering(OK)
    transport = kit.to(server)
    together = threading.Barrier(3)

    def wait_for_all() -> None:
        together.wait(2)

    threads = [threading.Thread(target=get, args=(transport,), kwargs={"take_turn": wait_for_all}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3)
    assert len(transport._idle) == 3
    for _ in range(8):
        time.sleep(0.1)
        get(transport)
    assert len(transport._idle) == 1
    assert server.connections == 3


def test_idle_descriptors_stay_open_while_the_host_copies_them(kit: Kit) -> None:
    """A request under way could close one: the copy would then be of whatever file got its number."""
    transport = kit.to(kit.answering(OK))
    get(transport)
    with transport.idle_fds() as fds:
        assert len(fds) == 1
        closing = threading.Thread(target=transport.close)
        closing.start()
        closing.join(0.1)
        assert closing.is_alive()
        assert all(stat.S_ISSOCK(os.fstat(fd).st_mode) for fd in fds)
    closing.join(2)
    with transport.idle_fds() as fds:
        assert fds == []


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
