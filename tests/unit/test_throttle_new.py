"""A state file that is new: the first of a key, or one in place of another that was removed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cio_fdw.journal import Journal, Sent
from cio_fdw.state import StateDirectory
from cio_fdw.throttle import shared
from tests.unit.throttle_world import KEY, file_of, line, process, throttle_at, use_up, waited

TAKE_ONE = """
    with throttle.slot(time.sleep) as turn: say(str(turn.waited_s))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


def journal_tells(place: Path) -> None:
    Journal(StateDirectory(place)).add(Sent(time.time(), KEY, "messages", "/v1/messages", 200, 1, 10.0, 0.0))


def test_the_first_of_a_server_waits_for_nothing(place: Path) -> None:
    with process(place, TAKE_ONE) as child:
        assert float(line(child)) < 0.5


def test_a_new_process_after_the_file_was_removed(place: Path) -> None:
    """It cannot know what the file said; but requests were sent a moment ago."""
    throttle = throttle_at(place)
    use_up(throttle)
    journal_tells(place)
    file_of(place).unlink()
    with process(place, TAKE_ONE) as child:
        assert float(line(child)) > 0.9


def test_a_new_key_of_a_server_that_was_idle(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RECENT_S", 0.2)
    journal_tells(place)
    time.sleep(0.3)
    assert waited(throttle_at(place, key="f" * 16)) < 0.5


def test_looking_at_a_key_that_was_never_used(place: Path) -> None:
    journal_tells(place)
    usage = throttle_at(place).usage(time.sleep)
    assert (usage.used, usage.in_flight, usage.waiting) == (0, 0, 0)
