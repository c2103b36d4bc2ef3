"""Rows as Multicorn takes them: lists in table order, of what PostgreSQL's input functions read fast.

    converter([Column("id", "text", …), Column("created", "timestamptz", …)], "UTF8")(("aB=", 1767312000000000))
    -> ["aB=", "2026-01-02T00:00:00+00"]

Lists are several times as fast there as dicts. JSON goes as its bytes: a dict would come out as hstore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Callable, Optional

from cio_fdw.decoder import Row
from cio_fdw.endpoint import Column
from cio_fdw.errors import RecordError
from cio_fdw.multicorn.encodings import codec

US = 1_000_000
MINUTE_S = 60
DAY_S = 86400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_ORDINAL = date.max.toordinal()
_EPOCH_JULIAN_DAY = 2_440_588
_MINUTES = tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in range(DAY_S // MINUTE_S))
_SECONDS = tuple(f":{second:02}+00" for second in range(MINUTE_S))
Convert = Callable[[Any], Any]


def converter(columns: Sequence[Column], encoding: str) -> Callable[[Row], list[Any]]:
    """A function that converts a row of these columns for a database in `encoding`, as PostgreSQL calls it.

    It raises RecordError for a character that the encoding lacks.
    """
    mends: list[tuple[int, Convert]] = []
    for position, column in enumerate(columns):
        convert = _CONVERTS.get(column.type)
        if encoding != "UTF8" and column.type in _TEXTS:
            convert = _encoder(column, encoding)
        if convert is not None:
            mends.append((position, convert))

    def read(row: Row) -> list[Any]:
        values = list(row)
        for position, convert in mends:
            value = values[position]
            if value is not None:
                values[position] = convert(value)
        return values

    return read


def _encoder(column: Column, encoding: str) -> Convert:
    """Converts to bytes, which Multicorn passes on as they are: its own errors name no column."""
    # A database in SQL_ASCII takes what comes; the native door gives it UTF-8.
    name = "utf-8" if encoding == "SQL_ASCII" else codec(encoding)
    as_text = _TEXTS[column.type]

    def encoded(value: Any) -> bytes:
        try:
            return as_text(value).encode(name)
        except UnicodeEncodeError:
            raise RecordError(
                f"column {column.name}: the API sent a character that the database's encoding {encoding} lacks"
            ) from None

    return encoded


def moment_text(moment_us: int) -> str:
    """ISO 8601 in UTC, which PostgreSQL reads the same in every DateStyle."""
    seconds, fraction_us = divmod(moment_us, US)
    days, second = divmod(seconds, DAY_S)
    if fraction_us:
        return f"{_day_text(days)}{_MINUTES[second // 60]}:{second % 60:02}.{fraction_us:06}+00"
    return _day_text(days) + _MINUTES[second // 60] + _SECONDS[second % 60]


@lru_cache(maxsize=1024)
def _day_text(days: int) -> str:
    """The day that is `days` after 1970-01-01, up to the hour; outside the calendar of Python, its Julian day."""
    ordinal = days + _EPOCH_ORDINAL
    if 1 <= ordinal <= _LAST_ORDINAL:
        return date.fromordinal(ordinal).isoformat() + "T"
    return f"J{days + _EPOCH_JULIAN_DAY} "


def array_text(items: Sequence[Optional[str]]) -> str:
    """A text[] as its literal: Multicorn itself makes malformed ones of null elements."""
    return "{" + ",".join("NULL" if item is None else _quoted(item) for item in items) + "}"


def _quoted(item: str) -> str:
    escaped = item.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_CONVERTS: Mapping[str, Convert] = {"timestamptz": moment_text, "text[]": array_text}
_TEXTS: Mapping[str, Callable[[Any], str]] = {"text": str, "text[]": array_text, "jsonb": bytes.decode}
"""How the types that can hold any character become text."""
