"""The fast half of `rows`: a function that decodes one record of the expected shape to a row tuple.

    fast_reader([Column("id", "text", …), Column("sent", "timestamptz", …, source="metrics.sent")])
    -> read(Raw(b'{"id": "aB=", "metrics": {"sent": 1767312002}}')) == ("aB=", 1767312002000000)

It is a msgspec struct of just the wanted keys, and one for each object inside, so that decoding and
type checks run at C speed and other keys are skipped. A record of another shape raises one of MISFITS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, Callable, NamedTuple, Optional

import msgspec

from cio_fdw.convert import MAX_EPOCH_S, US
from cio_fdw.endpoint import RAW, Column

Row = tuple[Any, ...]

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


def json_or_none(raw: Optional[msgspec.Raw]) -> Optional[bytes]:
    """The JSON of a value; None for a missing one and for null."""
    if raw is None:
        return None
    json = bytes(raw)
    return None if json == b"null" else json


class _Level:
    """The wanted keys of one object, each a field of a struct; objects inside it are levels of their own.

    Read, it gives one flat tuple: the values of its keys, then those of each inner level.
    """

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}
        self._inner: dict[str, _Level] = {}

    def add(self, path: Sequence[str], type_: str) -> None:
        """Wants the value at `path`."""
        key, rest = path[0], path[1:]
        if rest:
            self._inner.setdefault(key, _Level()).add(rest, type_)
        # An object may be wanted as JSON too (metrics and metrics.sent): its bytes serve both.
        self._types.setdefault(key, _TYPES["jsonb" if rest else type_])

    @property
    def width(self) -> int:
        return len(self._types) + sum(level.width for level in self._inner.values())

    def position(self, path: Sequence[str]) -> int:
        """Where the value at `path` stands in the flat tuple."""
        key, rest = path[0], path[1:]
        if not rest:
            return list(self._types).index(key)
        before = list(self._inner).index(key)
        start = len(self._types) + sum(level.width for level in list(self._inner.values())[:before])
        return start + self._inner[key].position(rest)

    def reader(self) -> Callable[[msgspec.Raw], Row]:
        fields = [(f"f{i}", type_, None) for i, type_ in enumerate(self._types.values())]
        rename = {f"f{i}": key for i, key in enumerate(self._types)}
        decode = msgspec.json.Decoder(msgspec.defstruct("Record", fields, rename=rename, gc=False)).decode
        astuple = msgspec.structs.astuple
        keys = list(self._types)
        inner = [(keys.index(key), level.reader(), (None,) * level.width) for key, level in self._inner.items()]

        def read(record: msgspec.Raw) -> Row:
            values = astuple(decode(record))
            for slot, read_inner, absent in inner:
                raw = values[slot]
                # A missing object reads as an empty one: the API leaves customer_identifiers out at times.
                values += absent if raw is None else read_inner(raw)
            return values

        return read


class _Mends(NamedTuple):
    """What is left to do in a row, by position. `fallbacks`: (position, value to take when empty)."""

    jsons: Sequence[int]
    fallbacks: Sequence[tuple[int, int]]
    times: Sequence[int]
    zeros: Sequence[int]


def fast_reader(columns: Sequence[Column]) -> Callable[[msgspec.Raw], Row]:
    """A function from a record to the values of `columns`, in their order."""
    record = _Level()
    for column in columns:
        if column.name != RAW:
            record.add(column.key_path, column.type)
        if column.fallback:
            record.add(column.fallback.split("."), column.type)
    # The record itself comes after all values in it.
    order = [record.width if column.name == RAW else record.position(column.key_path) for column in columns]
    mends = _Mends(
        jsons=[i for i, column in enumerate(columns) if column.type == "jsonb"],
        fallbacks=[(i, record.position(c.fallback.split("."))) for i, c in enumerate(columns) if c.fallback],
        times=[i for i, column in enumerate(columns) if column.type == "timestamptz"],
        zeros=[i for i, column in enumerate(columns) if column.zero_is_null],
    )
    return _row_builder(record.reader() if record.width else lambda _record: (), _permutation(order), mends)


def _permutation(order: Sequence[int]) -> Callable[[Row], Row]:
    if len(order) <= 1:  # itemgetter of one index gives no tuple
        return lambda values: tuple(values[i] for i in order)
    return itemgetter(*order)


def _row_builder(
    read_values: Callable[[msgspec.Raw], Row], put_in_order: Callable[[Row], Row], mends: _Mends
) -> Callable[[msgspec.Raw], Row]:
    jsons, fallbacks, times, zeros = mends

    def read(record: msgspec.Raw) -> Row:
        values = read_values(record)
        row = list(put_in_order((*values, record)))
        for position, second in fallbacks:
            if row[position] is None:
                row[position] = values[second]
        for position in jsons:
            row[position] = json_or_none(row[position])
        for position in times:
            if row[position] is not None:
                row[position] *= US
        for position in zeros:
            if row[position] == 0:
                row[position] = None
        return tuple(row)

    return read
