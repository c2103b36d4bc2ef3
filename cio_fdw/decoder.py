"""The fast half of `rows`: a function that decodes one record of the expected shape to a row tuple.

    fast_reader([Column("id", "text", …), Column("sent", "timestamptz", …, source="metrics.sent")])
    -> read(Raw(b'{"id": "aB=", "metrics": {"sent": 1767312002}}')) == ("aB=", 1767312002000000)

It is a msgspec struct that holds just the wanted keys, nested as in the record, so that decoding and
type checks run at C speed and other keys are skipped. A record of another shape raises one of MISFITS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Callable, Optional

import msgspec

from cio_fdw.convert import MAX_EPOCH_S, US
from cio_fdw.endpoint import RAW, Column

Row = tuple[Any, ...]

MISFITS = (msgspec.DecodeError, AttributeError, OverflowError)

_TYPES: Mapping[str, Any] = {
    "bigint": Optional[Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]],
    "float8": Optional[float],
    "bool": Optional[bool],
    "text": Optional[str],
    "timestamptz": Optional[int],
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
        nested = [(self._name(key, None), struct.build()) for key, struct in self._nested.items()]
        plain = [
            (self._name(key, None), type_, None) for key, type_ in self._types.items() if key not in self._nested
        ]
        # A nested object has no default: a record that lacks it is of another shape.
        return msgspec.defstruct(
            "Record", [*nested, *plain], rename={self._name(key, None): key for key in self._types}, gc=False
        )


class _Fields:
    """A struct and the attribute paths to read from it, in order."""

    def __init__(self) -> None:
        self._struct = _Struct()
        self._paths: list[str] = []

    def add(self, path: Sequence[str], type_: str) -> int:
        """The position of this value in what the reader returns."""
        self._paths.append(self._struct.add(path, _TYPES[type_]))
        return len(self._paths) - 1

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
    # A key can be wanted twice: decoded (metrics.sent) and as JSON (metrics). So there are two structs.
    plain, jsons = _Fields(), _Fields()
    sources: list[tuple[bool, int]] = []
    fallbacks: list[tuple[int, int]] = []
    for position, column in enumerate(columns):
        if column.name == RAW:
            continue
        if column.type == "jsonb":
            sources.append((True, jsons.add(column.key_path, column.type)))
            continue
        sources.append((False, plain.add(column.key_path, column.type)))
        if column.fallback:
            fallbacks.append((position, plain.add(column.fallback.split("."), column.type)))
    raws = [position for position, column in enumerate(columns) if column.name == RAW]
    times = [(i, column.zero_is_null) for i, column in enumerate(columns) if column.type == "timestamptz"]
    read_plain, read_jsons = plain.reader(), jsons.reader()

    def read(record: msgspec.Raw) -> Row:
        values, json = read_plain(record), read_jsons(record)
        row = [json_or_none(json[i]) if is_json else values[i] for is_json, i in sources]
        for position in raws:
            row.insert(position, bytes(record))
        for position, second in fallbacks:
            if row[position] is None:
                row[position] = values[second]
        for position, zero_is_null in times:
            seconds = row[position]
            if seconds is not None:
                row[position] = _microseconds(seconds, zero_is_null)
        return tuple(row)

    return read


def _microseconds(seconds: int, zero_is_null: bool) -> Optional[int]:
    if not -MAX_EPOCH_S <= seconds <= MAX_EPOCH_S:
        raise OverflowError
    return None if seconds == 0 and zero_is_null else seconds * US
