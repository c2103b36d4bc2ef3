"""How large the tables of the API turned out to be, for the planner before ANALYZE.

    sizes = Sizes(state_directory(settings.state_dir), "16384/16401 https://api.customer.io")
    sizes.learn("messages", Seen(rows=522.0, of=184.0))     # a day of 184 has so many
    sizes.of(("campaigns", "messages")) -> {"messages": 522.0}

A statement that reads a whole table, or a day or more of a time-ranged one without other conditions, tells its size
for nothing. What covers most counts, for MAX_AGE_S. These are hints (`recordfile`).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from typing import Callable, NamedTuple, Optional

from cio_fdw.recordfile import RecordFile, name_of
from cio_fdw.state import StateDirectory

FILE_NAME = "sizes"
RECORDS = 512
MAX_AGE_S = 7 * 86_400
MIN_DAYS = 1.0
"""Of a time-ranged table: nights are not like days."""

_BODY = struct.Struct("<ddd")


class Seen(NamedTuple):
    """`rows` of the whole table, or of a day of a time-ranged one; `of`: days that were read, 1 for a whole table."""

    rows: float
    of: float


class Sizes:
    """The tables of one foreign server, which `owner` names. `clock` gives unix seconds."""

    def __init__(self, directory: Optional[StateDirectory], owner: str, clock: Callable[[], float] = time.time) -> None:
        self._file = RecordFile(directory, FILE_NAME, RECORDS, _BODY.size)
        self._owner = owner
        self._clock = clock

    def of(self, names: Iterable[str]) -> dict[str, float]:
        """`rows` of those of the tables that were seen."""
        keys = {name_of(self._owner, name): name for name in names}
        return {keys[key]: _BODY.unpack(body)[0] for key, body in self._file.find(keys).items()}

    def learn(self, name: str, seen: Seen) -> None:
        """Keeps what was seen, unless more was seen not long ago."""
        if seen.of >= MIN_DAYS:
            self._file.update(name_of(self._owner, name), lambda before: self._changed(before, seen))

    def _changed(self, before: Optional[bytes], seen: Seen) -> Optional[bytes]:
        now_s = self._clock()
        if before:
            _, of, at_s = _BODY.unpack(before)
            if of > seen.of and 0 <= now_s - at_s < MAX_AGE_S:
                return None
        return _BODY.pack(*seen, now_s)
