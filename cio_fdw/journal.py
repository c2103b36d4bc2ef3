"""The last requests of the whole server, in a ring of fixed-size records in the state directory.

    journal = Journal(state_directory(settings.state_dir))
    journal.add(Sent(at_s=…, key="0123456789abcdef", table="messages", path=shown("/v1/messages?limit=9"), …))
    journal.latest() -> [Sent(…), …]        # oldest first

It is written outside of any transaction, so an aborted query's requests are in it too, and nobody waits for it: a
record for which no lock or room is to be had is left out. A torn record is known by its checksum and not shown.
Neither key nor person is in it: see `shown`.
"""

from __future__ import annotations

import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import parse_qsl

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.errors import StateError, Where
from cio_fdw.secret import Secret
from cio_fdw.state import StateDirectory
from cio_fdw.statefile import BusyError, briefly, state_file

FILE_NAME = "requests"
RECORDS = 4096
RECORD_BYTES = 256
SHOWN_PARAMS = frozenset((
    "action_id", "campaign_id", "drafts", "end_ts", "hidden", "limit", "newsletter_id", "start_ts", "type",
))  # fmt: skip
"""Query parameters whose values are shown. Others could name a person, so that a new one is hidden at first."""
PERSONAL_STEPS = frozenset(("customers",))
"""Path steps after which a number is a person's."""

_HEAD = struct.Struct("<8sQI")
_MAGIC = b"cioring1"
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<QqIhHffQi8s5s32s")
_TEXT_BYTES = RECORD_BYTES - _CRC.size - _RECORD.size
_SIZE_BYTES = (RECORDS + 1) * RECORD_BYTES
_NONE = -1
_LITERALS = frozenset(
    step
    for endpoint in ENDPOINTS.values()
    for path in (endpoint.path, endpoint.one_row.path if endpoint.one_row else "")
    for step in path.split("/")
)


@dataclass(frozen=True)
class Sent:
    """One request that left. `status` is None when none came back, `error` the SQLSTATE of what went wrong."""

    at_s: float
    key: str
    table: str
    path: str
    status: Optional[int]
    attempt: int
    ms: float
    throttled_ms: float
    bytes: int = 0
    rows: Optional[int] = None
    error: str = ""
    pid: int = field(default_factory=os.getpid)


@dataclass
class Note:
    """What becomes known of one attempt. `left_s`: unix seconds; 0 while it has not left."""

    left_s: float = 0.0
    status: Optional[int] = None
    bytes: int = 0
    rows: Optional[int] = None
    error: str = ""
    _waited_s: float = 0.0
    _began_s: float = 0.0

    def leaves(self, waited_s: float) -> None:
        """The request leaves now, after it waited for its turn."""
        self.left_s, self._began_s, self._waited_s = time.time(), time.monotonic(), waited_s

    def answered(self, status: int, body_bytes: int) -> None:
        self.status, self.bytes = status, body_bytes

    def sent(self, where: Where, target: str, attempt: int, key: Secret) -> Sent:
        """The record of it, at its end."""
        return Sent(
            at_s=self.left_s,
            key=key.fingerprint(),
            table=where.table,
            path=shown(target),
            status=self.status,
            attempt=attempt,
            ms=(time.monotonic() - self._began_s) * 1000,
            throttled_ms=self._waited_s * 1000,
            bytes=self.bytes,
            rows=self.rows,
            error=self.error,
        )


class Journal:
    """The ring of one state directory."""

    def __init__(self, directory: StateDirectory) -> None:
        self._file = state_file(directory, FILE_NAME, _SIZE_BYTES)

    def add(self, sent: Sent) -> None:
        """Writes it over the oldest record. Never fails, and waits for a few milliseconds at most."""
        # A request that was answered must not fail because it cannot be noted down.
        with suppress(BusyError, StateError), self._file.locked(briefly()):
            number = self._next_number()
            self._file.write(_packed(number, sent), _offset(number))
            self._file.write(_packed_head(number + 1))

    def latest(self) -> list[Sent]:
        """Every whole record, oldest first. Takes no lock. Raises StateError."""
        return [sent for _number, sent in sorted(_records(self._file.peek(_SIZE_BYTES)), key=lambda pair: pair[0])]

    def _next_number(self) -> int:
        head = self._file.read(_HEAD.size)
        if len(head) == _HEAD.size:
            magic, number, crc = _HEAD.unpack(head)
            if magic == _MAGIC and crc == zlib.crc32(head[: -_CRC.size]) and number < 2**62:
                return int(number)
        # A new ring, or a head that was torn: go on after the newest record.
        return max((number for number, _sent in _records(self._file.read(_SIZE_BYTES))), default=-1) + 1


def shown(target: str) -> str:
    """Path and query as others may see them.

    shown("/v1/messages?type=email&start=djIw") -> "/v1/messages?type=email&start=…"

    Shown are the steps of the catalog's paths, numbers that are no person's, and the values of SHOWN_PARAMS.
    """
    path, _, query = target.partition("?")
    steps = path.split("/")
    masked = [_shown_step(step, before) for before, step in zip(["", *steps], steps)]
    params = [
        f"{name}={value if name in SHOWN_PARAMS else '…'}" for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return "/".join(masked) + ("?" + "&".join(params) if params else "")


def _shown_step(step: str, before: str) -> str:
    is_id = re.fullmatch(r"\d{1,19}", step, re.ASCII) is not None and before not in PERSONAL_STEPS
    return step if step in _LITERALS or is_id else "…"


def _offset(number: int) -> int:
    return (number % RECORDS + 1) * RECORD_BYTES


def _packed_head(number: int) -> bytes:
    head = _HEAD.pack(_MAGIC, number, 0)[: -_CRC.size]
    return head + _CRC.pack(zlib.crc32(head))


def _packed(number: int, sent: Sent) -> bytes:
    fixed = _RECORD.pack(
        number,
        round(sent.at_s * 1e6),
        sent.pid,
        _NONE if sent.status is None else sent.status,
        min(sent.attempt, 2**16 - 1),
        sent.ms,
        sent.throttled_ms,
        sent.bytes,
        _NONE if sent.rows is None else sent.rows,
        bytes.fromhex(sent.key),
        sent.error.encode(),
        sent.table.encode()[:32],
    )
    body = fixed + _fitting(sent.path).ljust(_TEXT_BYTES, b"\0")
    return _CRC.pack(zlib.crc32(body)) + body


def _fitting(text: str) -> bytes:
    data = text.encode()
    if len(data) <= _TEXT_BYTES:
        return data
    return data[: _TEXT_BYTES - len("…".encode())].decode(errors="ignore").encode() + "…".encode()


def _records(ring: bytes) -> Iterator[tuple[int, Sent]]:
    for start in range(RECORD_BYTES, len(ring) - RECORD_BYTES + 1, RECORD_BYTES):
        record = ring[start : start + RECORD_BYTES]
        if _CRC.unpack_from(record)[0] == zlib.crc32(record[_CRC.size :]):
            yield _unpacked(record)


def _unpacked(record: bytes) -> tuple[int, Sent]:
    number, at_us, pid, status, attempt, ms, throttled_ms, size_bytes, rows, key, error, table = _RECORD.unpack_from(
        record, _CRC.size
    )
    return number, Sent(
        at_s=at_us / 1e6,
        key=key.hex(),
        table=_text(table),
        path=_text(record[_CRC.size + _RECORD.size :]),
        status=None if status == _NONE else status,
        attempt=attempt,
        ms=ms,
        throttled_ms=throttled_ms,
        bytes=size_bytes,
        rows=None if rows == _NONE else rows,
        error=_text(error),
        pid=pid,
    )


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
