"""The total deadline of a get, and what counts towards it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from cio_fdw.errors import NetworkError, RequestTimeoutError
from tests.unit.http_servers import OK, Kit, Slow, fails, full_listener, get, silent, slow_servers


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit() as kit:
        yield kit


@slow_servers
def test_the_deadline_is_total(kit: Kit, slow: Slow) -> None:
    server = kit.server(lambda conn, _number: slow(server, conn))
    began = time.monotonic()
    reason = fails(kit.to(server), RequestTimeoutError, timeout_s=0.15)
    assert reason == "no complete answer within 0.15 s"
    assert 0.14 <= time.monotonic() - began < 1.2


def test_the_deadline_covers_the_connect(kit: Kit) -> None:
    port = kit.enter_context(full_listener())
    began = time.monotonic()
    fails(kit.transport(f"http://127.0.0.1:{port}"), RequestTimeoutError, timeout_s=0.1)
    assert time.monotonic() - began < 1.1


def test_the_deadline_covers_the_handshake(kit: Kit) -> None:
    server = kit.server(lambda _conn, _number: silent(server))
    began = time.monotonic()
    fails(kit.transport(f"https://127.0.0.1:{server.port}"), RequestTimeoutError, timeout_s=0.15)
    assert time.monotonic() - began < 1.2


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
