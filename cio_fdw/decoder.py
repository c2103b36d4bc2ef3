"""The fast half of `rows`: a function that decodes records of the expected shape to row tuples, many at once.

    fast_reader((Column("id", "text", …), Column("sent", "timestamptz", …, source="metrics.sent")))
    -> read([Raw(b'{"id": "aB=", "metrics": {"sent": 1767312002}}')]) == [("aB=", 1767312002000000)]

It is a msgspec struct of just the wanted keys, with a struct for each object inside, so that decoding and type checks
run at C speed and other keys are skipped. The rest is done column by column: a comprehension over the values of a
column takes a fraction of what as many steps of a row would. A record of another shape raises one of MISFITS.

Few columns take less memory as structs than the records they are in. So a whole page may be decoded to them at once
(`record_type`), which looks at each byte only once; `struct_reader` reads rows from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Callable, Optional

import msgspec

from cio_fdw.convert import MAX_EPOCH_S, US
from cio_fdw.endpoint import RAW, Column

Row = tuple[Any, ...]
Record = type[msgspec.Struct]
Records = Sequence[Any]
"""Of a page: each a msgspec.Raw, as it is in the body, or each a struct of one `record_type`."""
Values = Sequence[Any]
"""The values of one column, of as many rows as are read at once."""

MISFITS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_TYPES: Mapping[str, Any] = {
    "bigint": Optional[Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]],
    "float8": Optional[float],
    "bool": Optional[bool],
    "text": Optional[str],
    "timestamptz": Optional[Annotated[int, msgspec.Meta(ge=-MAX_EPOCH_S, le=MAX_EPOCH_S)]],
    "text[]": Optional[list[Optional[str]]],
    "jsonb": msgspec.Raw,
}


NULL = b"null"


class _Level:
    """The wanted keys of one object, each a field of a struct; objects inside it are levels of their own.

    Read, it gives one flat list of columns: those of its keys, then those of each inner level.
    """

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._inner: dict[str, _Level] = {}

    def add(self, path: Sequence[str], type_: str) -> None:
        """Wants the value at `path`."""
        key, rest = path[0], path[1:]
        if rest:
            self._inner.setdefault(key, _Level()).add(rest, type_)
            self._types.setdefault(key, "")
        else:
            self._types[key] = type_

    @property
    def width(self) -> int:
        return len(self._types) + sum(level.width for level in self._inner.values())

    def position(self, path: Sequence[str]) -> int:
        """Where the value at `path` stands in the flat list."""
        key, rest = path[0], path[1:]
        if not rest:
            return list(self._types).index(key)
        before = list(self._inner).index(key)
        start = len(self._types) + sum(level.width for level in list(self._inner.values())[:before])
        return start + self._inner[key].position(rest)

    def struct(self) -> Record:
        types = [_TYPES[type_] if type_ else Optional[self._inner[key].struct()] for key, type_ in self._types.items()]
        fields = [(f"f{i}", type_, None) for i, type_ in enumerate(types)]
        rename = {f"f{i}": key for i, key in enumerate(self._types)}
        return msgspec.defstruct("Record", fields, rename=rename, gc=False)

    def reader(self) -> Callable[[Sequence[msgspec.Raw]], list[Values]]:
        """A function from records to columns."""
        struct = self.struct()
        decode = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]
        columns_of = self.flattener()
        return lambda records: columns_of(decode(b"[" + b",".join(records) + b"]"))

    def flattener(self) -> Callable[[Sequence[Any]], list[Values]]:
        """A function from structs to columns. A missing object reads as an empty one: the API leaves some out."""
        astuple = msgspec.structs.astuple
        slots = [(list(self._types).index(key), *level.inside(self._types[key])) for key, level in self._inner.items()]

        def columns_of(structs: Sequence[Any]) -> list[Values]:
            columns: list[Values] = list(zip(*map(astuple, structs)))
            for slot, read, empty in slots:
                columns += read([empty if value is None else value for value in columns[slot]])
            return columns

        return columns_of

    def inside(self, type_: str) -> tuple[Callable[[Sequence[Any]], list[Values]], Any]:
        """What reads this level inside another, and what it reads where there is no object.

        `type_`: jsonb when the object is wanted as it is too (metrics and metrics.sent), else the level is a struct.
        """
        return (self.reader(), msgspec.Raw(b"{}")) if type_ else (self.flattener(), self.struct()())


@lru_cache(maxsize=128)
def fast_reader(columns: tuple[Column, ...]) -> Callable[[Sequence[msgspec.Raw]], list[Row]]:
    """A function from records to the values of `columns`, in their order."""
    level = _level(columns)
    return _row_reader(columns, level, level.reader() if level.width else lambda _records: [])


@lru_cache(maxsize=128)
def record_type(columns: tuple[Column, ...]) -> Record:
    """What a record is decoded to when of all its keys these columns are wanted; `raw` is not among them."""
    level = _level(columns)
    struct = level.struct()
    struct.level = level  # type: ignore[attr-defined]
    return struct


@lru_cache(maxsize=128)
def struct_reader(columns: tuple[Column, ...], record: Record) -> Callable[[Sequence[msgspec.Struct]], list[Row]]:
    """A function from records of a `record_type` with at least these columns to their values, in their order."""
    level: _Level = record.level  # type: ignore[attr-defined]
    return _row_reader(columns, level, level.flattener())


def _level(columns: tuple[Column, ...]) -> _Level:
    level = _Level()
    for column in columns:
        if column.name != RAW:
            level.add(column.key_path, column.type)
        if column.fallback:
            level.add(column.fallback.split("."), column.type)
    return level


def _row_reader(
    columns: tuple[Column, ...], level: _Level, read_columns: Callable[[Sequence[Any]], list[Values]]
) -> Callable[[Sequence[Any]], list[Row]]:
    makers = [_maker(column, level) for column in columns]

    def read(records: Sequence[Any]) -> list[Row]:
        if not records or not makers:
            return [()] * len(records)
        # The records themselves come after all values in them.
        values = [*read_columns(records), records]
        return list(zip(*[make(values) for make in makers]))

    return read


def _maker(column: Column, level: _Level) -> Callable[[list[Values]], Values]:
    """A function from all that was decoded to the values of one column."""
    place = level.width if column.name == RAW else level.position(column.key_path)
    second = level.position(column.fallback.split(".")) if column.fallback else place

    def make(values: list[Values]) -> Values:
        found = values[place]
        if second != place:
            found = [other if value is None else value for value, other in zip(found, values[second])]
        if column.type == "jsonb":
            return [None if raw is None or (json := bytes(raw)) == NULL else json for raw in found]
        if column.type != "timestamptz" or not (column.zero_is_null or any(found)):
            return found
        if column.zero_is_null:
            return [value * US if value else None for value in found]
        return [None if value is None else value * US for value in found]

    return make
