"""One file of the state directory, with locks that end with the process that holds them, whatever ends it.

    file = state_file(directory, "turns-0123456789abcdef", size_bytes)
    with file.locked(stop.sleep):
        data = file.read()
        slot = file.take_slot(3)
        file.write(changed)
    file.free_slot(slot)

The locks are the kernel's, on bytes of the file: one far behind its end for the file as a whole, held for
microseconds, and one for each slot, held as long as a request is under way. Such locks belong to the process, and
closing any descriptor of the file ends them: so there is one StateFile for each file and process.
Errors: StateError, never OSError.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from cio_fdw.errors import StateError
from cio_fdw.state import Sleep, StateDirectory, failure, reserve

LOCK_PATIENCE_S = 10.0
"""A lock is held for microseconds. One that is held this long belongs to a process that was stopped."""
FIRST_LOCK_LOOK_S, LAST_LOCK_LOOK_S = 0.001, 0.032
"""Between tries to lock, doubled each time: hundreds of waiters that try every millisecond leave no processor to the
one that holds the lock."""
BRIEF_LOOKS = 10
BRIEF_LOOK_S = 0.0005
_WHOLE_FILE_BYTE = 2**40
_TAKEN = (errno.EACCES, errno.EAGAIN)

_files: dict[tuple[str, str], StateFile] = {}
_files_lock = threading.Lock()


class BusyError(Exception):
    """The lock was not to be had soon."""


def briefly() -> Sleep:
    """For `StateFile.locked`, of what may be left out: after a few milliseconds it raises BusyError."""
    looks = 0

    def sleep(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks > BRIEF_LOOKS:
            raise BusyError
        time.sleep(BRIEF_LOOK_S)

    return sleep


def state_file(directory: StateDirectory, name: str, size_bytes: int) -> StateFile:
    """The one object of this process for that file. Nothing is opened yet."""
    with _files_lock:
        return _files.setdefault((str(directory.path), name), StateFile(directory, name, size_bytes))


class StateFile:
    """One file of fixed size, shared by threads and processes."""

    def __init__(self, directory: StateDirectory, name: str, size_bytes: int) -> None:
        self._directory = directory
        self._name = name
        self._path = directory.path / name
        self._size_bytes = size_bytes
        self._mutex = threading.Lock()
        self._fd = -1
        self._pid = 0
        self._held: set[int] = set()
        self.is_successor = False
        """Whether this process had another file of this name open: what that said is lost."""

    @contextmanager
    def locked(self, sleep: Sleep) -> Iterator[None]:
        """The file is this thread's alone. Waits through `sleep`, and holds no lock meanwhile."""
        since_s = time.monotonic()
        look_s = FIRST_LOCK_LOOK_S
        while not self._try_lock():
            if time.monotonic() - since_s > LOCK_PATIENCE_S:
                raise StateError(
                    f"{self._path} has been locked by one process for {LOCK_PATIENCE_S:.0f} s",
                    hint="A backend that was stopped (SIGSTOP, a debugger) can hold it: let it go on, or end it.",
                )
            sleep(random.uniform(0.2, 1.0) * look_s)  # noqa: S311 - keeps waiters apart, no secret
            look_s = min(2 * look_s, LAST_LOCK_LOOK_S)
        try:
            yield
        finally:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _WHOLE_FILE_BYTE)
            finally:
                self._mutex.release()

    def read(self, size_bytes: int) -> bytes:
        """The first `size_bytes`; within `locked`."""
        try:
            return os.pread(self._fd, size_bytes, 0)
        except OSError as error:
            raise failure("read", self._path, error) from None

    def peek(self, size_bytes: int) -> bytes:
        """The first `size_bytes` without a lock: a change may be half done."""
        with self._mutex:
            self._make_current()
            return self.read(size_bytes)

    def write(self, data: bytes, offset: int = 0) -> None:
        """Puts `data` at `offset`; within `locked`."""
        try:
            whole = os.pwrite(self._fd, data, offset) == len(data)
        except OSError as error:
            raise failure("write", self._path, error) from None
        if not whole:
            raise failure("write", self._path, OSError(errno.ENOSPC, ""))

    def take_slot(self, slots: int) -> Optional[int]:
        """A slot of 0 … slots - 1 that was free and is held now; within `locked`."""
        return next((slot for slot in range(slots) if self.take(slot)), None)

    def take(self, slot: int) -> bool:
        """Whether this slot was free and is held now; within `locked`."""
        if slot in self._held or not self._try_bytes(slot):
            return False
        self._held.add(slot)
        return True

    def slots_taken(self, slots: int) -> int:
        """How many of the slots 0 … slots - 1 are held, by any process; within `locked`."""
        held = sorted(slot for slot in self._held if slot < slots)
        edges = [-1, *held, slots]
        return len(held) + sum(self._taken_by_others(low + 1, high) for low, high in zip(edges, edges[1:]))

    def _taken_by_others(self, first: int, end: int) -> int:
        """How many of first … end - 1, none of which is held here. A free range costs one look, however long."""
        if first >= end or self._are_free(first, end - first):
            return 0
        if end - first == 1:
            return 1
        middle = (first + end) // 2
        return self._taken_by_others(first, middle) + self._taken_by_others(middle, end)

    def free_slot(self, slot: int) -> None:
        """Gives back a slot. Neither waits for others nor fails."""
        with self._mutex:
            # After the file was replaced, the slots of the former one are gone with its descriptor.
            if slot in self._held and self._pid == os.getpid():
                self._held.discard(slot)
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)

    def _are_free(self, first: int, count: int) -> bool:
        if not self._try_bytes(first, count):
            return False
        fcntl.lockf(self._fd, fcntl.LOCK_UN, count, first)
        return True

    def _try_bytes(self, first: int, count: int = 1) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise failure("lock", self._path, error) from None
        return True

    def _try_lock(self) -> bool:
        if not self._mutex.acquire(blocking=False):
            return False
        locked = False
        try:
            # Of a file that was replaced the lock says nothing, but as a rule it was not: a try costs one call.
            if self._is_open() and not self._try_bytes(_WHOLE_FILE_BYTE):
                return False
            self._make_current()
            locked = self._try_bytes(_WHOLE_FILE_BYTE)
        finally:
            if not locked:
                # A lock of the first try outlives a failure (a full disk), and would keep everybody out.
                if self._is_open():
                    fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _WHOLE_FILE_BYTE)
                self._mutex.release()
        return locked

    def _is_open(self) -> bool:
        return self._fd >= 0 and self._pid == os.getpid()

    def _make_current(self) -> None:
        """Opens the file, again when it was removed or replaced: everybody must use the one that has the name."""
        if self._is_open():
            present = self._stat()
            opened = os.fstat(self._fd)
            if present and (present.st_dev, present.st_ino) == (opened.st_dev, opened.st_ino):
                reserve(self._fd, self._size_bytes, self._path)
                return
            os.close(self._fd)
            self.is_successor = True
        self._fd, self._held = -1, set()
        self._fd = self._directory.open_file(self._name, self._size_bytes)
        self._pid = os.getpid()

    def _stat(self) -> Optional[os.stat_result]:
        try:
            return self._path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure("open", self._path, error) from None
