"""A response body as a page: its records, not decoded yet, and the cursor of the next page.

    {"messages": [{…}, {…}], "next": "djIwOjEwMDA"} -> Page(records=[Raw, Raw], next="djIwOjEwMDA")

With a `record_type` (`decoder`) they are decoded to it, if each of them has that shape.

Ends of paging come in three forms (OBSERVED.md): "", absent, null. Empty lists come as [] and null.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Optional, Union

import msgspec

from cio_fdw.decoder import MISFITS, Record, Records
from cio_fdw.endpoint import Endpoint
from cio_fdw.errors import BodyError, PagingError

_NULL = msgspec.Raw(b"null")
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_FEW_ESCAPES = 500
_PIECE_BYTES = 4096
_HEX = rb"[0-9a-fA-F]{2}"
_ESCAPE = re.compile(
    rb"\\(?:(u0000)|(u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX + rb")|(u[dD][89a-fA-F]" + _HEX + rb")|.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Page:
    """`records`: one JSON object each, or one struct, in the order of the body. `next`: None at the end."""

    records: Records
    next: Optional[str]
    dropped_nuls: int = 0
    size_bytes: int = 0
    """Of the body."""
    came_s: float = 0.0
    """Unix seconds of the answer when it may be used again (`cache`); 0 for one that is used once."""


def parse(endpoint: Endpoint, body: bytes, *, row_key: str = "", record: Optional[Record] = None) -> Page:
    """The page in `body`. Raises BodyError (retried) and PagingError.

    `row_key`: where the body of a one-row read holds its row; empty for a list. `record`: what records of its shape
    are decoded to.
    """
    next_key = endpoint.paging.next_key if endpoint.paging and not row_key else ""
    try:
        # Decoders look into wanted strings only. A garbled body is noticed here, where it is tried again.
        _check_utf8(body)
        body, dropped_nuls = clean(body)
        envelope = _envelope(body, row_key or endpoint.rows_key, next_key, None if row_key else record, not row_key)
    except MISFITS as error:
        raise _unreadable(endpoint, str(error), len(body)) from None
    if envelope.rows is msgspec.UNSET:
        raise PagingError(
            f'the answer for {endpoint.name} has no key "{row_key or endpoint.rows_key}"',
            hint="The API may have changed, or base_url is not the App API.",
        )
    if row_key:
        return Page([] if envelope.rows == _NULL else [envelope.rows], None, dropped_nuls, len(body))
    return Page(envelope.rows or [], _cursor(getattr(envelope, "next", None)), dropped_nuls, len(body))


def _envelope(body: bytes, rows_key: str, next_key: str, record: Optional[Record], is_list: bool) -> Any:
    """The body's records and cursor. Raises one of MISFITS."""
    if record:
        try:
            return _decoder(rows_key, next_key, record, True)(body)
        except MISFITS:
            pass  # a record of another shape, or a body that is not JSON, which comes out now
    return _decoder(rows_key, next_key, msgspec.Raw, is_list)(body)


@lru_cache(maxsize=128)
def _decoder(rows_key: str, next_key: str, record: type, is_list: bool) -> Callable[[bytes], Any]:
    """Decodes a body to its records and the cursor."""
    type_ = Union[list[record], None, msgspec.UnsetType] if is_list else record  # type: ignore[valid-type]
    rows = ("rows", type_, msgspec.UNSET)
    fields = [rows, ("next", Union[str, int, None], None)] if next_key else [rows]
    envelope = msgspec.defstruct("Envelope", fields, rename={"rows": rows_key, "next": next_key})
    return msgspec.json.Decoder(envelope).decode


def _check_utf8(body: bytes) -> None:
    """Raises UnicodeDecodeError. In pieces: most are ASCII alone, which costs next to nothing."""
    whole, start = memoryview(body), 0
    while start < len(body):
        end = start + _PIECE_BYTES
        try:
            _text, used = codecs.utf_8_decode(whole[start:end], "strict", end >= len(body))
        except UnicodeDecodeError as error:
            raise UnicodeDecodeError("utf-8", body, start + error.start, start + error.end, error.reason) from None
        start += used


def clean(body: bytes) -> tuple[bytes, int]:
    """The body without what PostgreSQL cannot hold, and the number of NUL characters dropped.

    Escaped NULs go; a surrogate without its other half becomes U+FFFD.
    """
    if not _is_suspect(body):
        return body, 0
    nuls = 0

    def mend(match: re.Match[bytes]) -> bytes:
        nonlocal nuls
        nul, _pair, lone = match.groups()
        nuls += nul is not None
        return b"" if nul else b"\\ufffd" if lone else match.group()

    return _ESCAPE.sub(mend, body), nuls


def _is_suspect(body: bytes) -> bool:
    """Whether an escape may be one of these. A single byte is found ten times as fast as the pattern, if it is rare."""
    at = body.find(b"\\")
    for _ in range(_FEW_ESCAPES):
        if at < 0:
            return False
        if _SUSPECT.match(body, at):
            return True
        at = body.find(b"\\", at + 2)
    return at >= 0 and _SUSPECT.search(body, at) is not None


def _cursor(value: Union[str, int, None]) -> Optional[str]:
    # 0 is an end too: as a cursor it would ask for the first page again.
    return str(value) if value else None


def _unreadable(endpoint: Endpoint, why: str, size_bytes: int) -> BodyError:
    if why.endswith("truncated"):
        why = f"{why} (byte {size_bytes})"
    return BodyError(
        f"the answer for {endpoint.name} is not the JSON it should be",
        detail=why,
        hint="Something between the server and the API may have answered instead; check base_url.",
    )
