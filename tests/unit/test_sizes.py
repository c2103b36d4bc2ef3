"""What scans found is kept for the planner: the widest of a week, per table and server; hints, never an error."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from cio_fdw import sizes as module
from cio_fdw.sizes import MAX_AGE_S, Seen, Sizes
from cio_fdw.state import StateDirectory


class Clock:
    now_s = 1_767_312_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def test_what_was_seen(place: StateDirectory, clock: Clock) -> None:
    sizes = Sizes(place, "1/2 customerio", clock)
    assert sizes.of(("messages", "campaigns")) == {}
    sizes.learn("messages", Seen(522.5, 184))
    sizes.learn("campaigns", Seen(0, 1))
    assert Sizes(place, "1/2 customerio").of(("messages", "campaigns", "segments")) == {
        "messages": 522.5,
        "campaigns": 0,
    }
    assert Sizes(place, "1/3 customerio").of(("messages", "campaigns")) == {}


def test_the_widest_of_a_week_counts(place: StateDirectory, clock: Clock) -> None:
    sizes = Sizes(place, "", clock)

    def after(rows: float, days: float) -> float:
        sizes.learn("messages", Seen(rows, days))
        return sizes.of(("messages",))["messages"]

    assert after(100, 30) == 100
    assert after(5, 2) == 100
    assert after(200, 30) == 200
    clock.now_s += MAX_AGE_S
    assert after(5, 2) == 5
    assert after(3, 0.5) == 5, "less than a day tells nothing"


def test_a_torn_record_is_none(place: StateDirectory, clock: Clock) -> None:
    sizes = Sizes(place, "", clock)
    sizes.learn("messages", Seen(7, 30))
    file = place.path / module.FILE_NAME
    data = bytearray(file.read_bytes())
    data[next(i for i, byte in enumerate(data) if byte)] ^= 1
    file.write_bytes(bytes(data))
    assert sizes.of(("messages",)) == {}
    sizes.learn("messages", Seen(8, 2))
    assert sizes.of(("messages",)) == {"messages": 8}


def test_another_record_in_the_same_place(place: StateDirectory, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS", 1)
    sizes = Sizes(place, "", clock)
    sizes.learn("messages", Seen(7, 30))
    sizes.learn("campaigns", Seen(9, 1))
    assert sizes.of(("messages", "campaigns")) == {"campaigns": 9}


def test_without_a_place_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sizes = Sizes(StateDirectory(tmp_path / "file"), "")
    sizes.learn("messages", Seen(7, 30))
    assert sizes.of(("messages",)) == {}


def _learn(path: Path, number: int) -> None:
    sizes = Sizes(StateDirectory(path), "")
    for i in range(200):
        sizes.learn(f"table {number}", Seen(i, 1))


def test_writers_at_once(place: StateDirectory) -> None:
    Sizes(place, "").of(())
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_learn, args=(place.path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    found = Sizes(place, "").of([f"table {number}" for number in range(4)])
    assert len(found) == 4
    assert all(100 < rows < 200 for rows in found.values())
