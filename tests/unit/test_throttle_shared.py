"""The limit over processes: threads, cancel, killed and stopped holders, one count per key."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cio_fdw import state, statefile
from cio_fdw.errors import StateError
from cio_fdw.lanes import Stop, Stopped
from cio_fdw.options import resolve
from cio_fdw.state import state_directory
from cio_fdw.throttle import throttle_for
from cio_fdw.throttle.shared import SharedThrottle
from cio_fdw.throttle.turns import WINDOW_S
from tests.unit.throttle_world import line, process, throttle_at, waited


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_a_free_turn_costs_nothing_to_speak_of(place: Path) -> None:
    throttle = throttle_at(place, 1000)
    waited(throttle)
    costs_s = []
    for _ in range(200):
        began_s = time.perf_counter()
        waited(throttle)
        costs_s.append(time.perf_counter() - began_s)
    assert sorted(costs_s)[100] < 0.001


def test_the_wait_is_reported(place: Path) -> None:
    throttle = throttle_at(place, 1)
    assert waited(throttle) < 0.1
    assert WINDOW_S - 0.1 < waited(throttle) < WINDOW_S + 0.3


def test_a_request_that_leaves_late_is_counted_when_it_left(place: Path) -> None:
    throttle = throttle_at(place, 1)
    with throttle.slot(time.sleep) as turn:
        time.sleep(0.4)
        turn.left()
    assert WINDOW_S - 0.1 < waited(throttle) < WINDOW_S + 0.3


def stands_still(place: Path, seconds: float) -> Iterator[str]:
    """A process that stops itself between its turn and its request: "stopped", then whether its turn held."""
    program = """
        import os, signal
        with throttle.slot(time.sleep) as turn:
            say("stopped")
            os.kill(os.getpid(), signal.SIGSTOP)
            say(str(turn.holds()))
    """
    with process(place, program) as child:
        yield line(child)
        time.sleep(seconds)
        child.send_signal(signal.SIGCONT)
        yield line(child)


def test_a_turn_that_was_not_used_in_time_is_over(place: Path) -> None:
    child = stands_still(place, WINDOW_S + 0.1)
    assert next(child) == "stopped"
    # The place of the eleventh: the ten of the window that begins when that turn is forgotten.
    assert next(child) == "False"


def test_a_turn_that_is_used_late_is_one_of_then(place: Path) -> None:
    child = stands_still(place, 0.5)
    assert next(child) == "stopped"
    began_s = time.monotonic()
    assert next(child) == "True"
    throttle = throttle_at(place)
    with throttle._turns(time.sleep) as turns:
        (sent_s,) = turns.sent_s
    assert sent_s >= began_s + 0.5


def test_another_process_counts_too(place: Path) -> None:
    with process(place, "for _ in range(10):\n    with throttle.slot(time.sleep): pass\nsay('done')") as child:
        assert line(child) == "done"
    assert WINDOW_S - 0.2 < waited(throttle_at(place)) < WINDOW_S + 0.3


def test_a_pause_is_for_all_processes_and_a_cancelled_wait_ends_at_once(place: Path) -> None:
    with process(place, "throttle.pause(60, time.sleep); say('paused')") as child:
        assert line(child) == "paused"
    throttle = throttle_at(place)
    stop = Stop()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            with throttle.slot(stop.sleep):
                pytest.fail("the turn was given")
        except Stopped as error:
            ended.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.1)
    began_s = time.monotonic()
    stop.trip()
    worker.join(1)
    assert time.monotonic() - began_s < 2.0
    assert len(ended) == 1
    with throttle._turns(time.sleep) as turns:
        assert not turns.places


def test_threads_share_the_limits(place: Path) -> None:
    throttle = throttle_at(place, 1000, 2)
    lock = threading.Lock()
    inside: list[int] = [0, 0]

    def work() -> None:
        for _ in range(5):
            with throttle.slot(time.sleep):
                with lock:
                    inside[0] += 1
                    inside[1] = max(inside)
                time.sleep(0.002)
                with lock:
                    inside[0] -= 1

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert inside == [0, 2]


def test_the_slot_is_given_back_when_the_request_fails(place: Path) -> None:
    throttle = throttle_at(place, 1000, 1)
    with pytest.raises(ValueError, match="failed"), throttle.slot(time.sleep):
        raise ValueError("failed")
    assert waited(throttle) < 0.5


def test_kill_9_frees_slots_and_places(place: Path) -> None:
    throttle = throttle_at(place, 1000, 3)
    hold = """
        import contextlib, threading
        stack = contextlib.ExitStack()
        for _ in range(3): stack.enter_context(throttle.slot(time.sleep))
        threading.Thread(target=lambda: stack.enter_context(throttle.slot(time.sleep)), daemon=True).start()
        time.sleep(0.1)
        say("holding")
        time.sleep(60)
    """
    with process(place, hold) as child:
        assert line(child) == "holding"
        with throttle._turns(time.sleep) as turns:
            assert (throttle._file.slots_taken(32), len(turns.places)) == (3, 1)
        child.send_signal(signal.SIGKILL)
        began_s = time.monotonic()
        child.wait()
        waited(throttle)
        assert time.monotonic() - began_s < 2.0


def test_a_stopped_holder_of_the_lock_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statefile, "LOCK_PATIENCE_S", 0.3)
    with process(place, "with throttle._turns(time.sleep): say('locked'); time.sleep(60)") as child:
        assert line(child) == "locked"
        with pytest.raises(StateError, match="has been locked by one process"):
            waited(throttle_at(place))


def test_the_default_place_is_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_data_directory", None)
    with pytest.raises(StateError, match="the data directory of the server is not known"):
        state_directory(None)
    state.start(str(tmp_path))
    with pytest.raises(StateError, match="is not known"):
        state_directory(None)
    (tmp_path / "PG_VERSION").write_text("18\n")
    assert state_directory(None).path == tmp_path / "cio_fdw"
    assert state_directory("/elsewhere").path == Path("/elsewhere")
    assert not (tmp_path / "cio_fdw").exists()


def test_one_count_per_key_whatever_the_region_and_limits(place: Path) -> None:
    one = resolve({"region": "us", "state_dir": str(place)}, mapping={"app_api_key": "key-one"})
    for same in (replace(one, base_url="https://api-eu.customer.io"), replace(one, max_concurrency=1)):
        with throttle_for(one).slot(time.sleep):
            other = throttle_for(same)
            assert isinstance(other, SharedThrottle)
            with other._turns(time.sleep):
                assert other._file.slots_taken(32) == 1
    other_key = resolve({"state_dir": str(place)}, mapping={"app_api_key": "key-two"})
    with throttle_for(one).slot(time.sleep), throttle_for(other_key).slot(time.sleep):
        pass
    names = [path.name for path in place.iterdir()]
    assert len(names) == 2
    assert not any("key" in name or b"key-one" in path.read_bytes() for name, path in zip(names, place.iterdir()))
