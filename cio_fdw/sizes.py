"""How large the tables of the API turned out to be, for the planner before ANALYZE.

    sizes = Sizes(state_directory(settings.state_dir), "16384/16401 https://api.customer.io")
    sizes.learn("messages", Seen(rows=522.0, of=184.0))     # a day of 184 has so many
    sizes.of(("campaigns", "messages")) -> {"messages": 522.0}

A statement that reads a whole table, or a day or more of a time-ranged one without other conditions, tells its size
for nothing. What covers most counts, for MAX_AGE_S. A record lies where the hash of its name puts it, over whatever was
there; a torn one is known by its checksum. These are hints: without the file, or room, or a lock, there are none.
"""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Callable, NamedTuple, Optional

from cio_fdw.errors import StateError
from cio_fdw.state import StateDirectory, state_directory
from cio_fdw.statefile import BusyError, briefly, state_file

FILE_NAME = "sizes"
RECORDS = 512
MAX_AGE_S = 7 * 86_400
MIN_DAYS = 1.0
"""Of a time-ranged table: nights are not like days."""

_RECORD = struct.Struct("<16sddd")
_CRC = struct.Struct("<I")
_RECORD_BYTES = _RECORD.size + _CRC.size
_SIZE_BYTES = RECORDS * _RECORD_BYTES


class Seen(NamedTuple):
    """`rows` of the whole table, or of a day of a time-ranged one; `of`: days that were read, 1 for a whole table."""

    rows: float
    of: float


class Sizes:
    """The tables of one foreign server, which `owner` names. `clock` gives unix seconds."""

    def __init__(self, directory: Optional[StateDirectory], owner: str, clock: Callable[[], float] = time.time) -> None:
        self._file = state_file(directory, FILE_NAME, _SIZE_BYTES) if directory else None
        self._owner = owner
        self._clock = clock

    @classmethod
    def kept_in(cls, state_dir: Optional[str], owner: str) -> Sizes:
        """Those of the option state_dir; none are known when there is no such place."""
        try:
            return cls(state_directory(state_dir), owner)
        except StateError:
            return cls(None, owner)

    def of(self, names: Iterable[str]) -> dict[str, float]:
        """`rows` of those of the tables that were seen. Takes no lock."""
        if self._file is None:
            return {}
        try:
            data = self._file.peek(_SIZE_BYTES)
        except StateError:
            return {}
        found = {name: self._record(data, name) for name in names}
        return {name: record[0].rows for name, record in found.items() if record}

    def learn(self, name: str, seen: Seen) -> None:
        """Keeps what was seen, unless more was seen not long ago. Never fails, and waits for milliseconds at most."""
        if self._file is None or seen.of < MIN_DAYS:
            return
        with suppress(BusyError, StateError), self._file.locked(briefly()):
            now_s = self._clock()
            before = self._record(self._file.read(_SIZE_BYTES), name)
            if before and before[0].of > seen.of and 0 <= now_s - before[1] < MAX_AGE_S:
                return
            body = _RECORD.pack(self._key(name), seen.rows, seen.of, now_s)
            self._file.write(body + _CRC.pack(zlib.crc32(body)), self._offset(name))

    def _record(self, data: bytes, name: str) -> Optional[tuple[Seen, float]]:
        """What was seen of a table, and when."""
        record = data[self._offset(name) :][:_RECORD_BYTES]
        if len(record) < _RECORD_BYTES or _CRC.unpack_from(record, _RECORD.size)[0] != zlib.crc32(record[: -_CRC.size]):
            return None
        key, rows, of, at_s = _RECORD.unpack_from(record)
        return (Seen(rows, of), at_s) if key == self._key(name) else None

    def _key(self, name: str) -> bytes:
        return hashlib.blake2s(f"{self._owner}\0{name}".encode(), digest_size=16).digest()

    def _offset(self, name: str) -> int:
        return int.from_bytes(self._key(name)[:4], "little") % RECORDS * _RECORD_BYTES
