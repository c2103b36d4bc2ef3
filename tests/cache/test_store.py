"""The store on its own: what several processes, a kill, a full disk and garbage do to it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from cio_fdw.cache import clear
from cio_fdw.cache.store import Kept, Store, store_for
from cio_fdw.errors import StateError
from cio_fdw.state import StateDirectory

KEY = "0123456789abcdef"
ROOM_BYTES = 2**22
FORK = multiprocessing.get_context("fork")


def named(number: int) -> bytes:
    return number.to_bytes(32, "big")


def body(number: int, size_bytes: int = 100_000) -> bytes:
    return number.to_bytes(4, "big") * (size_bytes // 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def opened(path: Path) -> Store:
    """A store as another process has it: with a connection of its own."""
    return Store(StateDirectory(path), KEY)


def put(
    store: Store, number: int, *, left_s: float = 100.0, until_s: float = 1e12, max_bytes: int = ROOM_BYTES
) -> None:
    store.put(named(number), Kept(left_s, body(number)), until_s=until_s, max_bytes=max_bytes, sleep=time.sleep)


def put_many(store: Store) -> None:
    for number in range(2, 9):
        put(store, number)


def get(store: Store, number: int, oldest_s: float = 0.0, now_s: float = 1e12) -> object:
    kept = store.get(named(number), oldest_s, now_s, time.sleep)
    return kept and kept.body == body(number)


def files(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in path.iterdir() if file.suffix == ".db"}


def test_what_is_put_is_there_for_others(path: Path) -> None:
    one, other = opened(path), opened(path)
    assert get(other, 1) is None
    put(one, 1, left_s=100.0)
    assert get(other, 1) is True
    assert get(other, 2) is None
    assert other.get(named(1), 0, 1e12, time.sleep) == Kept(100.0, body(1))


def test_age(path: Path) -> None:
    store = opened(path)
    put(store, 1, left_s=100.0)
    assert get(store, 1, oldest_s=100.0)
    assert get(store, 1, oldest_s=100.5) is None
    assert get(store, 1, now_s=99.0) is None, "of a clock that was set back"
    put(store, 1, left_s=101.0)
    assert get(store, 1, oldest_s=100.5)


def test_files_are_closed_to_others(path: Path) -> None:
    put(opened(path), 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_what_is_over_goes(path: Path) -> None:
    store = opened(path)
    put(store, 1, left_s=100.0, until_s=200.0)
    put(store, 2, left_s=201.0)
    assert (get(store, 1), get(store, 2)) == (None, True)


def test_the_oldest_make_room(path: Path) -> None:
    store = opened(path)
    for number in range(200):
        put(store, number, left_s=float(number))
        assert sum(files(path).values()) <= ROOM_BYTES
    kept = [number for number in range(200) if get(store, number)]
    assert kept == list(range(kept[0], 200))
    assert len(kept) * len(body(0)) > ROOM_BYTES / 2


def test_less_room_than_before(path: Path) -> None:
    store = opened(path)
    for number in range(150):
        put(store, number, left_s=float(number), max_bytes=2**25)
    assert sum(files(path).values()) > 2**23
    put(store, 200, left_s=200.0, max_bytes=2**20)
    assert get(store, 200)
    assert sum(files(path).values()) <= 2**23, "room is given back"


def test_what_is_too_large_is_left_out(path: Path) -> None:
    store = opened(path)
    put(store, 1)
    put(store, 2, max_bytes=len(body(2)) * 3)
    assert (get(store, 1), get(store, 2)) == (True, None)


def test_clear(path: Path) -> None:
    one, other = opened(path), opened(path)
    for number in range(100):
        put(one, number, max_bytes=2**25)
    put(other, 1000)
    assert clear(StateDirectory(path), 500.0, time.sleep) > 0
    assert get(one, 1) is None
    assert sum(files(path).values()) < 2**19
    put(other, 5, left_s=499.0)
    assert get(one, 5) is None, "it was asked for before"
    put(other, 5, left_s=501.0)
    assert get(one, 5)


def garbled(db: Path) -> None:
    db.write_bytes(b"\xa5" * 200_000)


def cut(db: Path) -> None:
    os.truncate(db, db.stat().st_size // 3)


def flipped(db: Path) -> None:
    data = bytearray(db.read_bytes())
    for at in range(40_000, len(data), 5_000):
        data[at] ^= 0xFF
    db.write_bytes(data)


def emptied(db: Path) -> None:
    os.truncate(db, 0)


def removed(db: Path) -> None:
    db.unlink()


def of_another_form(db: Path) -> None:
    with sqlite3.connect(db) as connection:
        connection.execute("drop table answer")


@pytest.mark.parametrize("spoil", [garbled, cut, flipped, emptied, removed, of_another_form])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_spoilt_file_is_made_anew(path: Path, spoil: Callable[[Path], None], is_open: bool) -> None:
    writer = opened(path)
    for number in range(20):
        put(writer, number)
    store = writer if is_open else opened(path)
    (name,) = files(path)
    spoil(path / name)
    answers = [get(store, number) for number in range(20)]
    assert False not in answers, "no answer is better than a wrong one"
    put(store, 30)
    assert get(store, 30)
    assert get(opened(path), 30)
    assert len(files(path)) == 1
    put(writer, 31)
    assert get(store, 31)


def write_many(path: Path, first: int, count: int) -> None:
    store = opened(path)
    for number in range(first, first + count):
        put(store, number, left_s=float(number), max_bytes=2**27)
        get(store, number)


def test_many_writers(path: Path) -> None:
    writers = [FORK.Process(target=write_many, args=(path, 100 * i, 30)) for i in range(6)]
    for writer in writers:
        writer.start()
    reader = opened(path)
    while any(writer.is_alive() for writer in writers):
        assert get(reader, 5) in (None, True)
        time.sleep(0.002)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert all(get(reader, 100 * i + n) for i in range(6) for n in range(30))


def test_killed_writers(path: Path) -> None:
    reader = opened(path)
    for round_ in range(25):
        writer = FORK.Process(target=write_many, args=(path, 1000 * round_, 1000))
        writer.start()
        time.sleep(0.03 + 0.003 * round_)
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        put(reader, 7, left_s=float(round_), max_bytes=2**27)
        assert get(reader, 7)
        for number in range(1000 * round_, 1000 * round_ + 50):
            assert get(reader, number) in (None, True)
    assert list(files(path)) == [f"cache-{KEY}.1.db"], "no kill garbled it"
    assert get(reader, 24_000)


@pytest.fixture
def full_disk(path: Path) -> Iterator[Store]:
    """A store that may not grow: the system lets no file of this process become larger than 300 kB."""
    store = opened(path)
    put(store, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        yield store
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_on_the_disk(full_disk: Store, path: Path) -> None:
    with pytest.raises(StateError) as caught:
        put_many(full_disk)
    assert str(path) in caught.value.message
    assert "cannot be used" in caught.value.message
    assert get(full_disk, 1), "what is there stays of use"


def test_a_python_without_sqlite(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(StateError) as caught:
        put(opened(path), 1)
    assert caught.value.message == "the option cache_ttl needs Python's module sqlite3"


def test_one_object_for_a_store_in_a_process(path: Path) -> None:
    assert store_for(StateDirectory(path), KEY) is store_for(StateDirectory(path), KEY)
    assert store_for(StateDirectory(path), KEY) is not store_for(StateDirectory(path), KEY[::-1])
