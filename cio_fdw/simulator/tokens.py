"""Cursors: base64, without padding, of a short text with a row offset in it.

    encode("v20:{offset}", 50) -> "djIwOjUw"
    decode("v20:{offset}", "djIwOjUw") -> 50

A client treats them as opaque (OBSERVED.md, Everywhere); only the simulator may build one.
"""

from __future__ import annotations

import base64
import binascii
from typing import Optional


def encode(form: str, offset: int, parent: str = "") -> str:
    """The token of the page that begins with row `offset`."""
    text = form.format(offset=offset, parent=parent)
    return base64.b64encode(text.encode()).decode().rstrip("=")


def decode(form: str, token: str, parent: str = "") -> Optional[int]:
    """The row offset in `token`; None when it is malformed or belongs to another endpoint or parent."""
    prefix, suffix = form.replace("{parent}", parent).split("{offset}")
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    number = text[len(prefix) : len(text) - len(suffix)]
    if not number.isdigit() or len(number) > 12:
        return None
    offset = int(number)
    return offset if encode(form, offset, parent) == token else None
