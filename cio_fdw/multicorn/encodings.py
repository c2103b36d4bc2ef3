"""Encodings of databases, under the names that PostgreSQL has for them.

    codec("WIN1252") -> "cp1252"

Multicorn asks Python for a codec of PostgreSQL's name, and where Python has none, the server crashes. So `register`
teaches Python those names; it must have run before Multicorn first converts a name, when the wrapper is imported.
"""

from __future__ import annotations

import codecs
import re
from typing import Optional

_NAMES = {"koi8r": "koi8-r", "koi8u": "koi8-u", "sql_ascii": "ascii"}


def codec(name: str) -> str:
    """Python's name of PostgreSQL's encoding `name`."""
    lower = name.lower()
    return _NAMES.get(lower) or re.sub(r"^win(\d+)$", r"cp\1", lower)


def _search(name: str) -> Optional[codecs.CodecInfo]:
    known = codec(name)
    return codecs.lookup(known) if known != name else None


def register() -> None:
    """Makes the names known to Python."""
    codecs.register(_search)
