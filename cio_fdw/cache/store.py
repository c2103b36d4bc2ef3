"""The answers of one API key in one SQLite file of the state directory, shared by all backends of the server.

    store = store_for(state_directory(settings.state_dir), key.fingerprint())
    store.put(name, Kept(left_s, body), until_s=left_s + 300, max_bytes=256 * 2**20, sleep=stop.sleep)
    store.get(name, oldest_s=now_s - 300, sleep=stop.sleep) -> Kept(left_s, body), or None

The file is 0600 in a directory that is 0700: bodies hold personal data. Of requests it has hashes only.

A killed backend leaves a journal, which the next one rolls back. Nothing is flushed to the disk, as answers can be
asked for again; what a crash of the machine garbles is noticed by SQLite or by the checksum of each answer, and the
file is made anew, under the next number: SQLite's journals go by name, so that a name is never used twice.

Errors: StateError, also for a full disk; and what `sleep` raises.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, TypeVar

from cio_fdw.errors import StateError
from cio_fdw.state import Sleep, StateDirectory, failure
from cio_fdw.statefile import StateFile, state_file

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

FILE_PREFIX = "cache-"
_PAGE_BYTES = 32 * 1024
_BUSY_S = 0.05
"""How long SQLite itself waits for another backend: it cannot be interrupted."""
_TRIES = 20
_TRY_S = 0.005
_FORM = """
    pragma page_size = {page_bytes};
    pragma auto_vacuum = incremental;
    pragma synchronous = off;
    pragma temp_store = memory;
    pragma trusted_schema = off;
    create table if not exists answer (
        name blob primary key, left_s real not null, until_s real not null, crc integer not null, body blob not null
    );
    create index if not exists answer_left_s on answer (left_s);
    create index if not exists answer_until_s on answer (until_s);
    create table if not exists cleared (at_s real not null);
"""

_stores: dict[tuple[str, str], Store] = {}
_stores_lock = threading.Lock()


class Kept(NamedTuple):
    """One answer. `left_s`: unix seconds when its request left, so that it is never older than that tells."""

    left_s: float
    body: bytes


def store_for(directory: StateDirectory, key: str) -> Store:
    """The one object of this process for the answers of that key (its fingerprint). Nothing is opened yet."""
    with _stores_lock:
        return _stores.setdefault((str(directory.path), key), Store(directory, key))


def clear(directory: StateDirectory, now_s: float, sleep: Sleep) -> int:
    """Removes the answers of every key; returns how many. What was asked before `now_s` is not kept any more."""
    keys = {name[len(FILE_PREFIX) :].split(".")[0] for name in directory.names() if name.startswith(FILE_PREFIX)}
    return sum(store_for(directory, key).clear(now_s, sleep) for key in sorted(keys))


class Store:
    """The answers of one key. Safe to use from several threads and processes."""

    def __init__(self, directory: StateDirectory, key: str) -> None:
        self._directory = directory
        self._prefix = f"{FILE_PREFIX}{key}."
        self._mutex = threading.Lock()
        self._name = ""
        self._connection: Optional[sqlite3.Connection] = None
        self._opened: Optional[tuple[int, int]] = None
        self.lock: StateFile = state_file(directory, f"{self._prefix}lock", 1)
        """For one writer at a time; and a byte of it for each request under way (`responses`)."""

    def get(self, name: bytes, oldest_s: float, now_s: float, sleep: Sleep) -> Optional[Kept]:
        """The answer of that name whose request left between `oldest_s` and `now_s`."""

        def read(db: sqlite3.Connection) -> Optional[Kept]:
            query = "select left_s, body, crc from answer where name = ? and left_s between ? and ?"
            row = db.execute(query, (name, oldest_s, now_s)).fetchone()
            if row is None:
                return None
            if _checksum(name, row[1]) != row[2]:
                raise _GarbledError
            return Kept(row[0], row[1])

        return self._mended(read, sleep)

    def put(self, name: bytes, kept: Kept, *, until_s: float, max_bytes: int, sleep: Sleep) -> None:
        """Keeps an answer; the oldest ones make room. One that no store of `max_bytes` should hold is left out."""
        if len(kept.body) > max_bytes // 4:
            return

        def write(db: sqlite3.Connection) -> None:
            with _transaction(db):
                if db.execute("select 1 from cleared where at_s >= ?", (kept.left_s,)).fetchone():
                    return
                db.execute("delete from answer where until_s < ?", (kept.left_s,))
                _make_room(db, max_bytes - len(kept.body) - 2 * _PAGE_BYTES)
                row = (name, kept.left_s, until_s, _checksum(name, kept.body), kept.body)
                db.execute("insert or replace into answer values (?, ?, ?, ?, ?)", row)
            _give_back(db)

        with self.lock.locked(sleep):
            self._mended(write, sleep, locked=True)

    def clear(self, now_s: float, sleep: Sleep) -> int:
        """Removes every answer, and gives the room back."""

        def write(db: sqlite3.Connection) -> int:
            with _transaction(db):
                db.execute("delete from cleared")
                db.execute("insert into cleared values (?)", (now_s,))
                count = db.execute("delete from answer").rowcount
            _give_back(db)
            return int(count)

        with self.lock.locked(sleep):
            return self._mended(write, sleep, locked=True) or 0

    def _mended(self, work: Callable[[sqlite3.Connection], T], sleep: Sleep, *, locked: bool = False) -> Optional[T]:
        """What `work` gives; None when others kept the file busy. A file that is garbled is made anew, once."""
        try:
            return self._tried(work, sleep)
        except _GarbledError:
            with contextlib.nullcontext() if locked else self.lock.locked(sleep):
                self._replace()
        try:
            return self._tried(work, sleep)
        except _GarbledError:
            raise self._failure("it is garbled again as soon as it is made anew") from None

    def _tried(self, work: Callable[[sqlite3.Connection], T], sleep: Sleep) -> Optional[T]:
        try:
            import sqlite3
        except ImportError:
            raise StateError(
                "the option cache_ttl needs Python's module sqlite3",
                hint="This Python was built without it; name another interpreter with cio_fdw.python.",
            ) from None
        for _ in range(_TRIES):
            with self._mutex:
                try:
                    return work(self._current())
                except sqlite3.Error as error:
                    if not _is_busy(error):
                        self._close()
                        if _is_garbled(error):
                            raise _GarbledError from None
                        raise self._failure(str(error)) from None
            sleep(_TRY_S)
        return None

    def _current(self) -> sqlite3.Connection:
        """The connection to the newest file, opened again when another backend replaced it."""
        if self._connection is None or self._inode() != self._opened:
            self._close()
            self._connection = self._open()
        return self._connection

    def _inode(self) -> Optional[tuple[int, int]]:
        try:
            about = (self._directory.path / self._name).lstat()
        except OSError:
            return None
        return about.st_dev, about.st_ino

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        self._name = max(self._files(), key=_number, default=f"{self._prefix}1.db")
        # Made, or checked to be a plain file of ours, before SQLite opens it by name; closed before SQLite locks it.
        os.close(self._directory.open_file(self._name, 0))
        path, self._opened = self._directory.path / self._name, self._inode()
        db = sqlite3.connect(str(path), timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            db.executescript(_FORM.format(page_bytes=_PAGE_BYTES))
        except BaseException:
            db.close()
            raise
        return db

    def _replace(self) -> None:
        """Makes the present file's successor, unless another backend did, and removes all before; within the lock."""
        with self._mutex:
            self._close()
            *old, newest = sorted(self._files(), key=_number) or [""]
            if newest == self._name:
                old.append(newest)
                os.close(self._directory.open_file(f"{self._prefix}{_number(newest) + 1}.db", 0))
            for name in old:
                self._remove(name)
                self._remove(f"{name}-journal")

    def _remove(self, name: str) -> None:
        try:
            (self._directory.path / name).unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise failure("remove", self._directory.path / name, error) from None

    def _files(self) -> list[str]:
        return [name for name in self._directory.names() if name.startswith(self._prefix) and name.endswith(".db")]

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failure(self, why: str) -> StateError:
        return StateError(
            f"the cache {self._directory.path / self._name} cannot be used: {why}",
            hint="Make room, remove the file, or name another place with the server's option state_dir.",
        )


class _GarbledError(Exception):
    """The file is not what was written to it."""


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
        db.execute("commit")
    finally:
        if db.in_transaction:
            db.execute("rollback")


def _make_room(db: sqlite3.Connection, most_bytes: int) -> None:
    """Deletes the oldest answers until the rest take at most `most_bytes`."""
    excess = _used_bytes(db) - most_bytes
    last_s: Optional[float] = None
    oldest = db.execute("select left_s, length(body) from answer order by left_s")
    while excess > 0 and (row := oldest.fetchone()):
        last_s, size_bytes = row
        excess -= size_bytes
    oldest.close()
    if last_s is not None:
        db.execute("delete from answer where left_s <= ?", (last_s,))


def _give_back(db: sqlite3.Connection) -> None:
    """Makes the file smaller when most of it is room that answers had which are gone."""
    pages, free = _pages(db)
    if free > pages // 2:
        # As a script: `execute` takes a single step of it, which is a single page.
        db.executescript("pragma incremental_vacuum")


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free = _pages(db)
    return (pages - free) * _PAGE_BYTES


def _pages(db: sqlite3.Connection) -> tuple[int, int]:
    """Pages of the file, and how many of them are free."""
    pages, free = (int(db.execute(f"pragma {name}").fetchone()[0]) for name in ("page_count", "freelist_count"))
    return pages, free


def _checksum(name: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(name))


def _number(name: str) -> int:
    digits = name.split(".")[1]
    return int(digits) if digits.isdecimal() else 0


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error)


def _is_garbled(error: sqlite3.Error) -> bool:
    """SQLITE_CORRUPT and SQLITE_NOTADB have no class of their own (and no code before Python 3.11)."""
    return type(error).__name__ == "DatabaseError" or "no such" in str(error)
