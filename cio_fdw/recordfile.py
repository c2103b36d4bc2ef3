"""Hints that the backends of the server leave each other: small records in one file of the state directory.

    file = RecordFile(directory, "sizes", records=512, body_bytes=24)
    file.update(name_of("16384/16401", "messages"), lambda before: body)     # before: the body that is there, or None
    file.find([name_of("16384/16401", "messages")])  -> {name: body}

A record lies where its name puts it, over whatever was there; a torn one is known by its checksum. Without the file, or
room, or a lock, there are no hints: nothing here fails, or waits for more than milliseconds.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Callable, Optional

from cio_fdw.errors import StateError
from cio_fdw.state import StateDirectory
from cio_fdw.statefile import BusyError, briefly, state_file

NAME_BYTES, CRC_BYTES = 16, 4


def name_of(*parts: str) -> bytes:
    return hashlib.blake2s("\0".join(parts).encode(), digest_size=NAME_BYTES).digest()


class RecordFile:
    """`records` of `body_bytes` each. `directory`: None when there is no place for hints."""

    def __init__(self, directory: Optional[StateDirectory], file_name: str, records: int, body_bytes: int) -> None:
        self._records, self._body_bytes = records, body_bytes
        self._record_bytes = NAME_BYTES + body_bytes + CRC_BYTES
        self._size_bytes = records * self._record_bytes
        self._file = state_file(directory, file_name, self._size_bytes) if directory else None

    def find(self, names: Iterable[bytes]) -> dict[bytes, bytes]:
        """The bodies of those names that have one. Takes no lock."""
        if self._file is None:
            return {}
        try:
            data = self._file.peek(self._size_bytes)
        except StateError:
            return {}
        found = {name: self._body(data, name) for name in names}
        return {name: body for name, body in found.items() if body is not None}

    def update(self, name: bytes, change: Callable[[Optional[bytes]], Optional[bytes]]) -> None:
        """Puts there what `change` makes of the body that is there; None leaves it."""
        if self._file is None:
            return
        with suppress(BusyError, StateError), self._file.locked(briefly()):
            body = change(self._body(self._file.read(self._size_bytes), name))
            if body is not None:
                record = name + body
                self._file.write(record + zlib.crc32(record).to_bytes(CRC_BYTES, "little"), self._offset(name))

    def _body(self, data: bytes, name: bytes) -> Optional[bytes]:
        record = data[self._offset(name) :][: self._record_bytes]
        is_whole = zlib.crc32(record[:-CRC_BYTES]).to_bytes(CRC_BYTES, "little") == record[-CRC_BYTES:]
        return record[NAME_BYTES:-CRC_BYTES] if is_whole and record.startswith(name) else None

    def _offset(self, name: bytes) -> int:
        return int.from_bytes(name[:4], "little") % self._records * self._record_bytes
