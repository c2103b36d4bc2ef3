"""One JSON value to one column's value, slowly and exactly: what `rows` falls back to.

    bigint: 7, "7", 7.0 -> 7          timestamptz: 1767225600, "1767225600" -> 1767225600000000 (microseconds)
    text: "a", 7, True -> "a", "7", "true"          jsonb: anything -> its JSON bytes
    text[]: ["a", 7] -> ["a", "7"]    "a" -> ["a"]

Numbers sent as text and text sent as numbers are taken (NOTES.md, field traps); what cannot be meant
raises MisfitError with a short reason that holds no value.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Optional

import msgspec

INT64 = range(-(2**63), 2**63)
US = 1_000_000
# PostgreSQL's timestamps end in the year 294276; 1e11 seconds (year 5138) leaves room and no doubt.
MAX_EPOCH_S = 10**11
MAX_EXACT_FLOAT = 2**53


class MisfitError(ValueError):
    """A value that cannot be meant for its column's type; says why, without the value."""


_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)


def to_bigint(value: Any) -> Optional[int]:
    number = _whole(value)
    if number is not None and number not in INT64:
        raise MisfitError("a number beyond bigint")
    return number


def _whole(value: Any) -> Optional[int]:
    if isinstance(value, bool):
        raise MisfitError("true or false where a number belongs")
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        if abs(value) > MAX_EXACT_FLOAT:
            raise MisfitError("a number with a fraction, too large to be exact")
        return int(value)
    if isinstance(value, str):
        if value.strip() == "":
            return None
        if _WHOLE.fullmatch(value.strip()):
            return int(value)
    raise MisfitError(f"{_kind(value)} where a whole number belongs")


def to_timestamptz(value: Any) -> Optional[int]:
    if isinstance(value, float) and abs(value) <= MAX_EPOCH_S:
        return round(value * US)
    seconds = _whole(value)
    if seconds is not None and abs(seconds) > MAX_EPOCH_S:
        raise MisfitError("a time beyond the year 5138")
    return None if seconds is None else seconds * US


def to_float8(value: Any) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MisfitError(f"{_kind(value)} where a number belongs")
    if value == "":
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise MisfitError(f"{_kind(value)} that is no float8") from None


def to_bool(value: Any) -> Optional[bool]:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "": None, "1": True, "0": False}
    text = str(value).strip().lower() if isinstance(value, (int, str)) else "?"
    if text not in known:
        raise MisfitError(f"{_kind(value)} where true or false belongs")
    return known[text]


def to_text(value: Any) -> Optional[str]:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def to_text_array(value: Any) -> Optional[list[Optional[str]]]:
    if isinstance(value, str):
        # app-api.yaml, Broadcast.tags: declared as a list, but the vendor's example shows a text.
        return [value]
    if not isinstance(value, list):
        raise MisfitError(f"{_kind(value)} where a list belongs")
    return [None if item is None else to_text(item) for item in value]


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        float: "a fraction",
        int: "a number",
        bool: "true or false",
    }
    return names.get(type(value), type(value).__name__)


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "bigint": to_bigint,
    "float8": to_float8,
    "bool": to_bool,
    "text": to_text,
    "timestamptz": to_timestamptz,
    "text[]": to_text_array,
}
"""By column type, for values that are not null; jsonb is taken from the record's bytes instead."""
