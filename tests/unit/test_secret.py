"""A secret does not show itself, and a key file is taken only when it is safe."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path

import pytest

from cio_fdw.errors import KeyFileError
from cio_fdw.options import resolve
from cio_fdw.secret import MAX_KEY_FILE_BYTES, Secret, read_key_file

KEY = "s3cr3t-k3y"
HINT = "Make it a regular file of the server's user: chown postgres FILE; chmod 600 FILE."


def key_file(path: Path, content: bytes = KEY.encode(), mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "text",
    [str(Secret(KEY)), repr(Secret(KEY)), f"{Secret(KEY)}", f"{Secret(KEY):>40}", "%s" % Secret(KEY)],  # noqa: UP031
)
def test_every_text_of_a_secret_is_stars(text: str) -> None:
    assert text.strip() == "***"


def test_a_secret_inside_something_stays_hidden() -> None:
    settings = resolve({}, mapping={"app_api_key": KEY})
    assert KEY not in repr(settings)
    assert KEY not in repr([Secret(KEY), {"key": Secret(KEY)}])


def test_the_header_hides_itself_too() -> None:
    header = Secret(KEY).bearer()
    assert header == f"Bearer {KEY}"
    assert repr({"Authorization": header}) == "{'Authorization': ***}"


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_a_secret_is_not_copied_out(leak) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret(KEY))
    assert KEY not in str(caught.value)


def test_equality_and_fingerprint() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY), Secret("other")}) == 2
    assert Secret(KEY).reveal() == KEY
    assert Secret(KEY).fingerprint() == Secret(KEY).fingerprint() != Secret("other").fingerprint()
    assert len(Secret(KEY).fingerprint()) == 16
    assert KEY not in Secret(KEY).fingerprint()


@pytest.mark.parametrize("content", [b"s3cr3t-k3y", b"s3cr3t-k3y\n", b"  s3cr3t-k3y \r\n# the key of production\n"])
def test_the_key_is_the_first_line(tmp_path: Path, content: bytes) -> None:
    assert read_key_file(key_file(tmp_path / "key", content)) == Secret(KEY)


def test_a_symlink_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    key_file(tmp_path / "key")
    (tmp_path / "link").symlink_to("key")
    assert read_key_file(str(tmp_path / "link")).reveal() == KEY


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_modes_closed_to_others_are_taken(tmp_path: Path, mode: int) -> None:
    assert read_key_file(key_file(tmp_path / "key", mode=mode)).reveal() == KEY


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    refuse(key_file(tmp_path / "key", mode=mode), "the key file is open to every user of the machine")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refuse(str(tmp_path / "none"), "cannot open the key file: No such file or directory")


def test_a_dangling_or_circling_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refuse(str(tmp_path / "loop"), "cannot open the key file: Too many levels of symbolic links")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    refuse(str(tmp_path), "the key file is not a regular file")


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    refuse(str(tmp_path / "fifo"), "the key file is not a regular file")


def test_a_device_is_refused() -> None:
    refuse("/dev/null", "the key file is not a regular file")


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "fifo"])
def test_a_symlink_to_a_device_or_fifo_is_refused_at_once(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "link").symlink_to(target)
    refuse(str(tmp_path / "link"), "the key file is not a regular file")


def test_what_takes_the_place_of_the_file_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path / "key")
    real = os.open

    def late_open(name: str, flags: int) -> int:
        Path(path).unlink()
        os.mkfifo(path, 0o600)
        return real(name, flags)

    monkeypatch.setattr(os, "open", late_open)
    refuse(path, "the key file is not a regular file")


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nkey-on-the-second-line\n"])
def test_an_empty_first_line_is_refused(tmp_path: Path, content: bytes) -> None:
    refuse(key_file(tmp_path / "key", content), "the key file is empty", hint="Its first line must be the App API key.")


def test_bytes_that_are_no_utf8_do_not_break_reading(tmp_path: Path) -> None:
    assert read_key_file(key_file(tmp_path / "key", b"\xff\xfe")).reveal() == "\ufffd\ufffd"


def test_only_the_beginning_of_a_huge_file_is_read(tmp_path: Path) -> None:
    path = key_file(tmp_path / "key", b"x" * (10 * MAX_KEY_FILE_BYTES))
    assert len(read_key_file(path).reveal()) == MAX_KEY_FILE_BYTES


def refuse(path: str, message: str, hint: str = HINT) -> None:
    """Asserts the whole error, and that no descriptor stays open."""
    before = open_descriptors()
    with pytest.raises(KeyFileError) as caught:
        read_key_file(path)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert open_descriptors() == before
