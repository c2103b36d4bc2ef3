"""Records to row tuples: the columns that the statement needs, in the order it was asked for.

    RowReader(messages, ("id", "created", "raw")).read([Raw(b'{"id": "aB=", "created": 1767312000}')])
    -> [("aB=", 1767312000000000, b'{"id": "aB=", "created": 1767312000}')]

A record of the expected shape takes the fast way (`decoder`). One that is not (a number sent as text, a
null object) is converted value by value (`convert`); both ways give the same row.
Where few columns are wanted, `records_as` says what a page may decode its records to at once.
Raises RecordError naming table, column and record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import msgspec

from cio_fdw.convert import CONVERTERS, MisfitError
from cio_fdw.decoder import MISFITS, NULL, Record, Records, Row, fast_reader, record_type, struct_reader
from cio_fdw.endpoint import RAW, Column, Endpoint
from cio_fdw.errors import RecordError

_AT_ONCE = 100
"""Records decoded together: enough to make calls cheap, few enough that they stay in the processor's cache."""


_FEW = 12
"""Columns whose values take less memory than a record does."""


def records_as(endpoint: Endpoint, wanted: Sequence[str]) -> Optional[Record]:
    """What records may be decoded to for readers of these columns, the key and the time; None: to nothing.

    JSON is kept as it is in the body, so it is not among the columns that are decoded.
    """
    time = (endpoint.window.column,) if endpoint.window else ()
    columns = [endpoint.column(name) for name in dict.fromkeys((*wanted, *endpoint.key, *time))]
    few = tuple(column for column in columns if column and column.type != "jsonb")
    return record_type(few) if len(few) == len(columns) <= _FEW else None


class RowReader:
    """Converts records of one endpoint to tuples of the wanted columns."""

    def __init__(self, endpoint: Endpoint, wanted: Sequence[str]) -> None:
        by_name = {column.name: column for column in endpoint.all_columns}
        self._endpoint = endpoint
        self._columns = tuple(by_name[name] for name in wanted)
        self._fast = fast_reader(self._columns)

    def read(self, records: Records, constants: Optional[Mapping[str, Any]] = None) -> list[Row]:
        """One tuple per record. `constants`: columns the record may lack (a child's parent id)."""
        rows: list[Row] = []
        for start in range(0, len(records), _AT_ONCE):
            rows += self._read(records[start : start + _AT_ONCE])
        return [self._filled(row, constants) for row in rows] if constants else rows

    def _read(self, records: Records) -> list[Row]:
        if isinstance(records[0], msgspec.Struct):
            return struct_reader(self._columns, type(records[0]))(records)
        try:
            return self._fast(records)
        except MISFITS:
            return [self._one(record) for record in records]

    def _one(self, record: msgspec.Raw) -> Row:
        try:
            return self._fast([record])[0]
        except MISFITS:
            return self._slow(record)

    def _filled(self, row: Row, constants: Mapping[str, Any]) -> Row:
        return tuple(
            constants.get(column.name) if value is None else value for column, value in zip(self._columns, row)
        )

    def _slow(self, record: msgspec.Raw) -> Row:
        try:
            decoded = msgspec.json.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(f"table {self._endpoint.name}: a record is not usable JSON", detail=str(error)) from None
        if not isinstance(decoded, dict):
            raise RecordError(f"table {self._endpoint.name}: a record is not an object")
        return tuple(self._slow_value(column, decoded, record) for column in self._columns)

    def _slow_value(self, column: Column, decoded: dict[str, Any], record: msgspec.Raw) -> Any:
        if column.name == RAW:
            return bytes(record)
        if column.type == "jsonb":
            return _json_at(record, column.key_path)
        value = _value_at(decoded, column.key_path)
        if value is None and column.fallback:
            value = _value_at(decoded, column.fallback.split("."))
        if value is None:
            return None
        try:
            converted = CONVERTERS[column.type](value)
        except MisfitError as error:
            raise self._misfit(column, decoded, str(error)) from None
        return None if column.zero_is_null and converted == 0 else converted

    def _misfit(self, column: Column, decoded: dict[str, Any], what: str) -> RecordError:
        columns = [self._endpoint.column(name) for name in self._endpoint.key]
        key = ", ".join(f"{c.name} {_shown(_value_at(decoded, c.key_path))}" for c in columns if c)
        return RecordError(
            f"table {self._endpoint.name}, column {column.name}, record {key}: the API sent {what}",
            hint="The whole record is in the column raw; leave this column out of the query to read the rest.",
        )


def _shown(value: Any) -> str:
    return str(value)[:64] if isinstance(value, (str, int)) else "?"


def _value_at(decoded: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(decoded, dict):
            return None
        decoded = decoded.get(key)
    return decoded


def _json_at(record: msgspec.Raw, path: Sequence[str]) -> Optional[bytes]:
    """The JSON at `path`, byte for byte."""
    for key in path:
        try:
            level = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:  # no object, so nothing inside
            return None
        if key not in level:
            return None
        record = level[key]
    json = bytes(record)
    return None if json == NULL else json
