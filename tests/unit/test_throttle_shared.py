"""The limit over processes: threads, cancel, files that are gone, garbled, hostile or without room, killed holders."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from cio_fdw import state, statefile
from cio_fdw.errors import StateError
from cio_fdw.lanes import Stop, Stopped
from cio_fdw.options import resolve
from cio_fdw.state import StateDirectory, state_directory
from cio_fdw.throttle import throttle_for
from cio_fdw.throttle.shared import SharedThrottle
from cio_fdw.throttle.turns import WINDOW_S, Limits

KEY = "0123456789abcdef"
ROOT = Path(statefile.__file__).parents[1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


def throttle_at(place: Path, per_s: int = 10, at_once: int = 3, key: str = KEY) -> SharedThrottle:
    return SharedThrottle(StateDirectory(place), key, Limits(per_s, at_once))


def file_of(place: Path) -> Path:
    return place / f"turns-{KEY}"


@contextmanager
def process(place: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with `throttle`; its output can be read line by line."""
    head = f"""
        import sys, time
        from pathlib import Path
        from cio_fdw.state import StateDirectory
        from cio_fdw.throttle.shared import SharedThrottle
        from cio_fdw.throttle.turns import Limits
        directory = StateDirectory(Path({str(place)!r}))
        throttle = SharedThrottle(directory, {KEY!r}, Limits(10, 3))
        def say(text):
            sys.stdout.write(text + "\\n"); sys.stdout.flush()
    """
    program = textwrap.dedent(head) + textwrap.dedent(body)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def waited(throttle: SharedThrottle) -> float:
    with throttle.slot(time.sleep) as turn:
        return turn.waited_s


def use_up(throttle: SharedThrottle, turns: int = 10) -> None:
    for _ in range(turns):
        waited(throttle)


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


def garble(file: Path) -> None:
    file.write_bytes(b"garbage " * 3000)


def cut_short(file: Path) -> None:
    os.truncate(file, 20)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def remove(file: Path) -> None:
    file.unlink()


def remove_all(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()


def tear(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[30] ^= 0xFF
    file.write_bytes(whole)


@pytest.mark.parametrize("harm", [garble, cut_short, empty, remove, remove_all, tear])
def test_a_harmed_file_is_made_anew(place: Path, harm: Callable[[Path], None]) -> None:
    throttle = throttle_at(place)
    waited(throttle)
    harm(file_of(place))
    # At worst all turns of the last second are taken for used.
    assert waited(throttle) < WINDOW_S + 0.3
    use_up(throttle, 9)
    assert file_of(place).stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("harm", [remove, remove_all])
def test_what_a_removed_file_said_is_supposed_to_be_the_worst(place: Path, harm: Callable[[Path], None]) -> None:
    """The turns of the last second are lost with it; so nobody leaves before they are over."""
    throttle = throttle_at(place)
    use_up(throttle)
    harm(file_of(place))
    began_s = time.monotonic()
    waited(throttle)
    assert time.monotonic() - began_s > 0.9


def test_a_failure_after_the_lock_was_had_keeps_nobody_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    throttle = throttle_at(place)
    waited(throttle)

    def full(*_args: object) -> None:
        raise StateError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(statefile, "reserve", full)
        with pytest.raises(StateError, match="no room"):
            waited(throttle)
        with process(place, "with throttle.slot(time.sleep): say('a turn')") as child:
            assert line(child) == "a turn"


def test_requests_under_way_stay_counted_when_the_record_is_lost(place: Path) -> None:
    throttle = throttle_at(place, 1000, 3)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(throttle.slot(time.sleep))
        tear(file_of(place))
        stack.enter_context(throttle.slot(time.sleep))
        with throttle._turns(time.sleep):
            assert throttle._file.slots_taken(32) == 3


def other_mode(place: Path) -> None:
    place.mkdir(0o755)
    place.chmod(0o755)


def link(place: Path) -> None:
    target = place.with_name("elsewhere")
    target.mkdir(0o700)
    place.symlink_to(target)


def plain_file(place: Path) -> None:
    place.write_text("")


def file_is_link(place: Path) -> None:
    place.mkdir(0o700)
    victim = place.with_name("victim")
    victim.write_text("precious")
    file_of(place).symlink_to(victim)


def file_is_hard_link(place: Path) -> None:
    place.mkdir(0o700)
    victim = place.with_name("victim")
    victim.write_text("precious")
    file_of(place).hardlink_to(victim) if hasattr(Path, "hardlink_to") else os.link(victim, file_of(place))


def file_is_fifo(place: Path) -> None:
    place.mkdir(0o700)
    os.mkfifo(file_of(place), 0o600)


def file_is_directory(place: Path) -> None:
    place.mkdir(0o700)
    file_of(place).mkdir()


@pytest.mark.parametrize(
    "trick", [other_mode, link, plain_file, file_is_link, file_is_hard_link, file_is_fifo, file_is_directory]
)
def test_tricks_are_refused(place: Path, trick: Callable[[Path], None]) -> None:
    trick(place)
    with pytest.raises(StateError, match=str(place)) as caught:
        waited(throttle_at(place))
    assert caught.value.sqlstate == "58030"
    assert caught.value.hint
    assert caught.value.__cause__ is None
    victim = place.with_name("victim")
    assert not victim.exists() or victim.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make directories of others")
def test_a_directory_of_somebody_else_is_refused(place: Path) -> None:
    place.mkdir(0o700)
    os.chown(place, 65534, 65534)
    with pytest.raises(StateError, match="must belong to the server's operating system user"):
        waited(throttle_at(place))


def test_no_room_is_a_clear_error_and_ends_when_there_is(place: Path) -> None:
    program = """
        import resource, signal
        from cio_fdw.errors import StateError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
        try:
            with throttle.slot(time.sleep): say("a turn")
        except StateError as error:
            say(error.message)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with throttle.slot(time.sleep): say("a turn")
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
        try:
            with throttle.slot(time.sleep): say("a turn")
        except StateError as error:
            say(error.message)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with throttle._turns(time.sleep): say(str(throttle._file.slots_taken(32)))
    """
    complaint = f"cannot write {file_of(place)}: {os.strerror(errno.EFBIG)}"
    with process(place, program) as child:
        assert [line(child) for _ in range(4)] == [complaint, "a turn", complaint, "0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_full_disk(place: Path) -> None:
    place.mkdir(0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", place], check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        with pytest.raises(StateError, match=os.strerror(errno.ENOSPC)):
            waited(throttle_at(place))
        subprocess.run(["mount", "-o", "remount,size=1m", place], check=True)
        throttle = throttle_at(place)
        waited(throttle)
        filled = subprocess.run(["dd", "if=/dev/zero", f"of={place}/filler"], capture_output=True, check=False)
        assert b"No space" in filled.stderr
        # Its room was reserved.
        use_up(throttle, 5)
    finally:
        for file in statefile._files.values():
            if file._path.parent == place and file._fd >= 0:
                os.close(file._fd)
                file._fd = -1
        subprocess.run(["umount", place], check=True)


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
