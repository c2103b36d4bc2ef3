"""The file that processes share their limit by: gone, garbled, hostile, or without room."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import pytest

from cio_fdw import statefile
from cio_fdw.errors import StateError
from cio_fdw.throttle.turns import WINDOW_S
from tests.unit.throttle_world import file_of, line, process, throttle_at, use_up, waited


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


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
