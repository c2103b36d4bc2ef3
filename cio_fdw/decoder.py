"""The fast half of `rows`: a function that decodes one record of the expected shape to a row tuple.

    fast_reader([Column("id", "text", …), Column("sent", "timestamptz", …, source="metrics.sent")])
    -> read(Raw(b'{"id": "aB=", "metrics": {"sent": 1767312002}}')) == ("aB=", 1767312002000000)

It is a msgspec struct that holds just the wanted keys, nested as in the record, so that decoding and
type checks run at C speed and other keys are skipped. A record of another shape raises one of MISFITS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Callable, NamedTuple, Optional

import msgspec

from cio_fdw.convert import MAX_EPOCH_S, US
from cio_fdw.endpoint import RAW, Column

Row = tuple[Any, ...]

MISFITS = (msgspec.DecodeError, RecursionError)

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


class _Struct:
    """Keys to decode, nested as in the record, each under a generated attribute name."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}
        self._nested: dict[str, _Struct] = {}

    def add(self, path: Sequence[str], type_: Any) -> str:
        """The dotted attribute path under which the value at `path` will be found."""
        key = path[0]
        if len(path) > 1:
            nested = self._nested.setdefault(key, _Struct())
            return f"{self._name(key, None)}.{nested.add(path[1:], type_)}"
        return self._name(key, type_)

    def _name(self, key: str, type_: Any) -> str:
        self._types.setdefault(key, type_)
        return f"f{list(self._types).index(key)}"

    def build(self) -> Any:
        fields: list[tuple[str, Any, Any]] = []
        for key, type_ in self._types.items():
            if key in self._nested:
                # A missing object reads as an empty one: the API leaves customer_identifiers out at times.
                struct = self._nested[key].build()
                fields.append((self._name(key, None), struct, struct()))
            else:
                fields.append((self._name(key, None), type_, None))
        rename = {self._name(key, None): key for key in self._types}
        return msgspec.defstruct("Record", fields, rename=rename, gc=False, frozen=True)


class _Fields:
    """A struct and the attribute paths to read from it, in order."""

    def __init__(self) -> None:
        self._struct = _Struct()
        self._paths: list[str] = []

    def add(self, path: Sequence[str], type_: str) -> int:
        """The position of this value in what the reader returns."""
        self._paths.append(self._struct.add(path, _TYPES[type_]))
        return len(self._paths) - 1

    @property
    def count(self) -> int:
        return len(self._paths)

    def reader(self) -> Callable[[msgspec.Raw], Row]:
        if not self._paths:
            return lambda _record: ()
        decode = msgspec.json.Decoder(self._struct.build()).decode
        get = attrgetter(*self._paths)
        if len(self._paths) == 1:
            return lambda record: (get(decode(record)),)
        return lambda record: get(decode(record))


def fast_reader(columns: Sequence[Column]) -> Callable[[msgspec.Raw], Row]:
    """A function from a record to the values of `columns`, in their order."""
    # A key can be wanted twice: decoded (metrics.sent) and as JSON (metrics). So there are two structs, and
    # a row is put in order from three groups: plain values, JSON values, the record itself.
    plain, jsons = _Fields(), _Fields()
    places: list[tuple[int, int]] = []
    fallbacks: list[tuple[int, int]] = []
    for position, column in enumerate(columns):
        if column.name == RAW:
            places.append((2, 0))
        elif column.type == "jsonb":
            places.append((1, jsons.add(column.key_path, column.type)))
        else:
            places.append((0, plain.add(column.key_path, column.type)))
            if column.fallback:
                fallbacks.append((position, plain.add(column.fallback.split("."), column.type)))
    starts = (0, plain.count, plain.count + jsons.count)
    order = [starts[group] + index for group, index in places]
    times = [i for i, column in enumerate(columns) if column.type == "timestamptz"]
    zeros = [i for i, column in enumerate(columns) if column.zero_is_null]
    return _row_builder(plain.reader(), jsons.reader(), _permutation(order), _Mends(fallbacks, times, zeros))


def _permutation(order: Sequence[int]) -> Callable[[Row], Row]:
    if len(order) <= 1:  # itemgetter of one index gives no tuple
        return lambda values: tuple(values[i] for i in order)
    return itemgetter(*order)


class _Mends(NamedTuple):
    """What is left to do in a row: (position, plain value to take when empty), times, times where 0 is null."""

    fallbacks: Sequence[tuple[int, int]]
    times: Sequence[int]
    zeros: Sequence[int]


def _row_builder(
    read_plain: Callable[[msgspec.Raw], Row],
    read_jsons: Callable[[msgspec.Raw], Row],
    put_in_order: Callable[[Row], Row],
    mends: _Mends,
) -> Callable[[msgspec.Raw], Row]:
    fallbacks, times, zeros = mends

    def read(record: msgspec.Raw) -> Row:
        plain = read_plain(record)
        row = list(put_in_order((*plain, *map(json_or_none, read_jsons(record)), bytes(record))))
        for position, second in fallbacks:
            if row[position] is None:
                row[position] = plain[second]
        for position in times:
            if row[position] is not None:
                row[position] *= US
        for position in zeros:
            if row[position] == 0:
                row[position] = None
        return tuple(row)

    return read
