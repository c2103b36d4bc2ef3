"""The journal: what is in it, what is not, and what a harmed ring does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cio_fdw.errors import BodyError
from cio_fdw.journal import RECORD_BYTES, RECORDS, Journal, Sent, shown
from cio_fdw.lanes import Stopped
from cio_fdw.state import StateDirectory
from cio_fdw.statefile import state_file
from tests.unit.fetch_world import SETTINGS, TARGET, World

assert SETTINGS.key
SENT = Sent(
    at_s=1_790_000_000.25,
    key=SETTINGS.key.fingerprint(),
    table="messages",
    path="/v1/messages?limit=1000",
    status=200,
    attempt=1,
    ms=12.5,
    throttled_ms=0.25,
    bytes=2**33,
    rows=1000,
    error="",
    pid=4711,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def journal(place: Path) -> Journal:
    return Journal(StateDirectory(place))


@pytest.fixture
def ring(place: Path) -> Iterator[Path]:
    return place / "requests"


def test_what_goes_in_comes_out(journal: Journal) -> None:
    assert journal.latest() == []
    failed = replace(SENT, status=None, rows=None, error="08001", attempt=70000, pid=2**31)
    for sent in (SENT, failed):
        journal.add(sent)
    assert journal.latest() == [SENT, replace(failed, attempt=2**16 - 1)]


def test_the_oldest_are_overwritten(journal: Journal, ring: Path) -> None:
    for number in range(RECORDS + 10):
        journal.add(replace(SENT, bytes=number))
    assert [sent.bytes for sent in journal.latest()] == list(range(10, RECORDS + 10))
    assert ring.stat().st_size == (RECORDS + 1) * RECORD_BYTES


def test_adding_is_quick(journal: Journal) -> None:
    journal.add(SENT)
    began_s = time.perf_counter()
    for _ in range(200):
        journal.add(SENT)
    assert (time.perf_counter() - began_s) / 200 < 0.001


def test_threads_tear_nothing_and_leave_little_out(journal: Journal) -> None:
    """Far faster than requests are sent: a record for which the lock is not to be had in milliseconds is left out."""

    def work() -> None:
        for _ in range(50):
            journal.add(SENT)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latest = journal.latest()
    assert 150 <= len(latest) <= 200
    assert set(latest) == {SENT}


@pytest.mark.parametrize("at", [3, RECORD_BYTES + 9, RECORD_BYTES + 200])
def test_a_torn_record_is_not_shown_and_a_torn_head_is_mended(journal: Journal, ring: Path, at: int) -> None:
    for number in range(3):
        journal.add(replace(SENT, bytes=number))
    with ring.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5\x5a")
    torn = at > RECORD_BYTES
    assert [sent.bytes for sent in journal.latest()] == [0, 1, 2][torn:]
    journal.add(replace(SENT, bytes=3))
    assert [sent.bytes for sent in journal.latest()] == [0, 1, 2, 3][torn:]


@pytest.mark.parametrize("size_bytes", [0, 100, RECORD_BYTES * 5 + 17])
def test_a_ring_that_was_cut(journal: Journal, ring: Path, size_bytes: int) -> None:
    for _ in range(20):
        journal.add(SENT)
    os.truncate(ring, size_bytes)
    journal.add(replace(SENT, bytes=5))
    assert journal.latest()[-1].bytes == 5


def test_a_journal_that_cannot_be_written_stops_nobody(place: Path, journal: Journal) -> None:
    place.mkdir(0o700)
    (place / "requests").mkdir()
    journal.add(SENT)


def test_nobody_waits_for_a_lock(place: Path, journal: Journal) -> None:
    journal.add(SENT)
    with state_file(StateDirectory(place), "requests", 0).locked(time.sleep):
        began_s = time.perf_counter()
        journal.add(SENT)
        assert time.perf_counter() - began_s < 0.1
    assert len(journal.latest()) == 1


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/v1/messages?limit=1000&start_ts=1&end_ts=2", "/v1/messages?limit=1000&start_ts=1&end_ts=2"),
        ("/v1/messages?type=email&start=djIwOjEwMDA%3D", "/v1/messages?type=email&start=…"),
        (
            "/v1/activities?customer_id=17&id_type=id&name=a%40b.example",
            "/v1/activities?customer_id=…&id_type=…&name=…",
        ),
        ("/v1/campaigns/7/actions", "/v1/campaigns/7/actions"),
        ("/v1/segments/7/membership?start=", "/v1/segments/7/membership?start=…"),
        ("/v1/customers/17/attributes", "/v1/…/…/…"),
        ("/v1/messages/a%40b.example", "/v1/messages/…"),
    ],
)
def test_what_is_shown(target: str, text: str) -> None:
    assert shown(target) == text


def test_a_long_path_is_cut(journal: Journal) -> None:
    journal.add(replace(SENT, path="/v1/" + "ä" * 300))
    (sent,) = journal.latest()
    assert sent.path.startswith("/v1/ää")
    assert sent.path.endswith("ä…")
    assert 80 < len(sent.path) < 100


def test_each_attempt_is_noted() -> None:
    noted: list[Sent] = []
    world = World(503, BodyError("cut"), 200)
    world.fetcher._journal = noted.append
    world.fetch()
    assert [(sent.status, sent.attempt, sent.error) for sent in noted] == [
        (503, 1, "08006"),
        (None, 2, "HV000"),
        (200, 3, ""),
    ]
    assert {sent.path for sent in noted} == {"/v1/messages?email=…"}
    assert "example" in TARGET


def test_a_cancelled_request_is_noted_and_one_that_never_left_is_not() -> None:
    noted: list[Sent] = []
    world = World(200)
    world.fetcher._journal = noted.append

    def stopped(_body: bytes) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        world.fetch(stopped)
    assert [(sent.status, sent.error) for sent in noted] == [(200, "57014")]
    world.stop.trip()
    world.throttle.pause(10, world.stop.sleep)
    with pytest.raises(Stopped):
        world.fetch()
    assert len(noted) == 1
