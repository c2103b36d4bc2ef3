"""The strict limit: at most n requests in any one second, refused ones not counted."""

from __future__ import annotations

import random
import socket
import threading
import time

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from cio_fdw.simulator import arrivals
from cio_fdw.simulator.arrivals import DatedSocket, came_s
from cio_fdw.simulator.ledger import SlidingLimit, busiest


@given(st.lists(st.integers(0, 400), max_size=120), st.integers(1, 12))
def test_never_more_than_the_rate_in_any_second(gaps_ms, per_s):
    limit, accepted_ms, at_ms = SlidingLimit(per_s), [], 0
    for gap_ms in gaps_ms:
        at_ms += gap_ms
        inside = sum(at_ms - 1000 < earlier for earlier in accepted_ms)
        let_in = limit.accepts(at_ms / 1000 + 1e6)
        assert let_in == (inside < per_s)
        if let_in:
            accepted_ms.append(at_ms)


def test_refused_requests_do_not_count():
    limit = SlidingLimit(2)
    assert [limit.accepts(t) for t in (0.0, 0.1, 0.2, 0.9, 0.99, 1.0, 1.05, 1.1)] == [
        True, True, False, False, False, True, False, True,
    ]  # fmt: skip


def test_zero_is_no_limit():
    limit = SlidingLimit(0)
    assert all(limit.accepts(1.0) for _ in range(1000))


def test_busiest_counts_a_window_that_crosses_the_whole_second():
    assert busiest([]) == 0
    assert busiest([0.1, 0.9, 1.0, 1.05, 1.85, 1.95]) == 4
    assert busiest([0.0, 1.0, 2.0]) == 1


def test_over_the_rate_is_429_with_retry_after_and_the_error_body(api, get):
    api.set_rate(3)
    answers = [get("/v1/campaigns") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].headers["Retry-After"] == "1"
    [error] = answers[3].json()["errors"]
    assert error["status"] == "429"
    assert error["detail"].startswith("rate limited to 3 requests per 1s (reference ")
    assert (api.stats()["rate_limited"], api.stats()["max_per_s"], api.stats()["max_accepted_per_s"]) == (2, 5, 3)


def test_the_window_slides(api, get):
    api.set_rate(1)
    assert get("/v1/campaigns").status_code == 200
    time.sleep(0.6)
    assert get("/v1/campaigns").status_code == 429
    time.sleep(0.45)
    assert get("/v1/campaigns").status_code == 200


def test_a_wrong_key_counts_too(api, session):
    api.set_rate(1)
    session.headers["Authorization"] = "Bearer wrong"
    assert [session.get(api.url + "/v1/campaigns", timeout=9).status_code for _ in range(2)] == [401, 429]


def test_many_threads_never_get_more_than_the_rate(api):
    api.set_rate(10)
    headers = {"Authorization": f"Bearer {api.key}"}

    def hammer(seed: int) -> None:
        rng = random.Random(seed)
        with requests.Session() as session:
            session.trust_env = False
            until_s = time.monotonic() + 1.6
            while time.monotonic() < until_s:
                session.get(api.url + "/v1/messages", headers=headers, timeout=9)
                time.sleep(rng.random() * 0.05)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = api.stats()
    assert stats["max_accepted_per_s"] == 10
    assert stats["rate_limited"] > 0
    assert 1 <= stats["max_in_flight"] <= stats["connections"] == 4


def test_control_requests_are_neither_limited_nor_logged(api, get):
    api.set_rate(1)
    for _ in range(5):
        api.stats()
    assert get("/v1/campaigns").status_code == 200
    assert [entry["path"] for entry in api.log()] == ["/v1/campaigns"]


def test_a_request_is_dated_as_it_came_however_late_it_is_read():
    with DatedSocket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _address = listener.accept()
            with accepted:
                for late_s in (0.3, 0.0):
                    sent_s = time.monotonic()
                    client.send(b"x")
                    left_s = time.monotonic()
                    time.sleep(late_s)
                    assert accepted.recv(10) == b"x"
                    assert sent_s - 0.01 <= came_s(accepted.fileno()) <= left_s + 0.05


def test_where_the_kernel_does_not_date_packets_the_time_of_reading_has_to_do(monkeypatch):
    monkeypatch.setattr(arrivals, "SO_TIMESTAMPNS", 9999)
    with DatedSocket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        with pytest.raises(OSError, match="not available"):
            listener.setsockopt(socket.SOL_SOCKET, 9999, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _address = listener.accept()
            with accepted:
                client.send(b"x")
                time.sleep(0.3)
                read_s = time.monotonic()
                assert accepted.recv(10) == b"x"
                assert came_s(accepted.fileno()) >= read_s


def test_requests_that_are_told_of_in_another_order_are_counted_where_they_came():
    limit = SlidingLimit(2)
    assert [limit.accepts(t) for t in (5.5, 5.0, 4.6, 4.0, 6.2)] == [True, True, False, True, True]
    assert busiest([5.5, 5.0, 6.2, 4.0]) == 2
