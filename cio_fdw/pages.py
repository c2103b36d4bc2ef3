"""A response body as a page: its records, not decoded yet, and the cursor of the next page.

    {"messages": [{…}, {…}], "next": "djIwOjEwMDA"} -> Page(records=[Raw, Raw], next="djIwOjEwMDA")

Ends of paging come in three forms (OBSERVED.md): "", absent, null. Empty lists come as [] and null.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, cast

import msgspec

from cio_fdw.endpoint import Endpoint
from cio_fdw.errors import BodyError, PagingError

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_HEX = rb"[0-9a-fA-F]{2}"
_ESCAPE = re.compile(
    rb"\\(?:(u0000)|(u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX + rb")|(u[dD][89a-fA-F]" + _HEX + rb")|.)",
    re.DOTALL,
)

_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
_records = msgspec.json.Decoder(Optional[list[msgspec.Raw]])


@dataclass(frozen=True)
class Page:
    """`records`: one JSON object each, in the order of the body. `next`: None at the end."""

    records: list[msgspec.Raw]
    next: Optional[str]
    dropped_nuls: int = 0


def parse(endpoint: Endpoint, body: bytes) -> Page:
    """The page in `body`. Raises BodyError (retried) and PagingError."""
    try:
        body.decode("utf-8")
        body, dropped_nuls = clean(body)
        envelope = _envelope.decode(body)
    except UnicodeDecodeError as error:
        raise _unreadable(endpoint, f"invalid UTF-8 at byte {error.start}") from None
    except msgspec.DecodeError as error:
        raise _unreadable(endpoint, str(error)) from None
    except RecursionError:
        raise _unreadable(endpoint, "nested too deeply") from None
    rows = envelope.get(endpoint.rows_key)
    if rows is None:
        raise PagingError(
            f'the answer for {endpoint.name} has no key "{endpoint.rows_key}"',
            hint="The API may have changed, or base_url is not the App API.",
        )
    try:
        return Page(_records.decode(rows) or [], _cursor(endpoint, envelope), dropped_nuls)
    except msgspec.DecodeError as error:
        raise _unreadable(endpoint, f'in "{endpoint.rows_key}": {error}') from None


def clean(body: bytes) -> tuple[bytes, int]:
    """The body without what PostgreSQL cannot hold, and the number of NUL characters dropped.

    Escaped NULs go; a surrogate without its other half becomes U+FFFD.
    """
    if not _SUSPECT.search(body):
        return body, 0
    nuls = 0

    def mend(match: re.Match[bytes]) -> bytes:
        nonlocal nuls
        nul, _pair, lone = match.groups()
        nuls += nul is not None
        return b"" if nul else b"\\ufffd" if lone else cast(bytes, match.group())

    return _ESCAPE.sub(mend, body), nuls


def _cursor(endpoint: Endpoint, envelope: dict[str, msgspec.Raw]) -> Optional[str]:
    if endpoint.paging is None or endpoint.paging.next_key not in envelope:
        return None
    value = msgspec.json.decode(envelope[endpoint.paging.next_key])
    # 0 and false are ends too: as a cursor, 0 would ask for the first page again.
    if value in (None, "", 0):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise PagingError(f"the cursor of {endpoint.name} is neither text nor a number")
    return str(value)


def _unreadable(endpoint: Endpoint, why: str) -> BodyError:
    return BodyError(
        f"the answer for {endpoint.name} is not the JSON it should be",
        detail=why,
        hint="Something between the server and the API may have answered instead; check base_url.",
    )
