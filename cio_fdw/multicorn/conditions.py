"""Multicorn's quals as conditions, or as nothing where they cannot be trusted.

    Qual("campaign_id", "=", 7)                     -> ("campaign_id", "=", 7)
    Qual("created", "<", "2026-10-05 00:00:00+00")  -> ("created", "<", 1791158400000000)
    Qual("type", ("=", True), ["email", None])      -> ("type", "in", ("email", None))
    Qual("subject", "=", None)                      -> ("subject", "is null", None)

PostgreSQL checks every qual again, so what is left out costs requests, never rows. What is taken must be true of
every row that the statement wants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Protocol

from cio_fdw.multicorn.moments import Clock, Span, is_zero
from cio_fdw.quals import UNKNOWN

Triple = tuple[str, str, Any]

COMPARISONS = ("=", "<", "<=", ">", ">=")
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_NOT = object()


class MulticornQual(Protocol):
    """What Multicorn makes of `field_name operator value`; of ANY and ALL the operator is (name, is it ANY)."""

    field_name: str
    operator: Any
    value: Any


class Translator:
    """Translates for one table and session. `types`: of each column, as the catalog names them.

    `explained`: the values of parameters are not known, and Multicorn shows PostgreSQL's zero in their place.
    """

    def __init__(self, types: Mapping[str, str], clock: Clock, *, explained: bool = False) -> None:
        self._types = types
        self._clock = clock
        self._explained = explained

    def conditions(self, quals: Iterable[MulticornQual]) -> list[Triple]:
        return [triple for qual in quals for triple in self._one(qual)]

    def _one(self, qual: MulticornQual) -> list[Triple]:
        type_ = self._types.get(qual.field_name)
        if type_ is None:
            return []
        if isinstance(qual.operator, tuple):
            return self._list(qual.field_name, type_, qual.operator, qual.value)
        if qual.value is None:
            return _null_test(qual.field_name, qual.operator)
        if qual.operator not in COMPARISONS:
            return []
        if type_ == "timestamptz":
            return self._moment(qual.field_name, qual.operator, qual.value)
        value = self._value(type_, qual.value)
        return [] if value is _NOT else [(qual.field_name, qual.operator, value)]

    def _list(self, column: str, type_: str, operator: Sequence[Any], value: Any) -> list[Triple]:
        # Of IN ($1, $2) in a generic plan Multicorn reads an address: a value that is no list is garbage.
        if tuple(operator) != ("=", True) or not isinstance(value, list):
            return []
        if type_ == "timestamptz":
            return self._moments(column, value)
        values = tuple(None if item is None else self._value(type_, item) for item in value)
        return [] if any(item is _NOT for item in values) else [(column, "in", values)]

    def _moments(self, column: str, items: Sequence[Any]) -> list[Triple]:
        spans = [self._clock.span(item) for item in items if item is not None]
        known = [span for span in spans if span is not None]
        if len(known) < len(spans):
            return []
        if not known:
            return [(column, "in", ())]
        low_us, high_us = min(span.low_us for span in known), max(span.high_us for span in known)
        return [(column, ">=", low_us), (column, "<=", high_us)]

    def _moment(self, column: str, operator: str, value: Any) -> list[Triple]:
        span = self._clock.span(value)
        if self._explained and is_zero(value) and (span is None or not isinstance(value, str)):
            return [(column, operator, UNKNOWN)]
        return [] if span is None else _bounds(column, operator, span)

    def _value(self, type_: str, value: Any) -> Any:
        """The value as `quals` wants it, _NOT when it is not one of this type."""
        if self._explained and value in (0, "0", "?"):
            return UNKNOWN
        if type_ == "bigint":
            return _bigint(value)
        if type_ == "text":
            return value if isinstance(value, str) else _NOT
        if type_ == "bool":
            return {"t": True, "f": False}.get(value, _NOT) if isinstance(value, str) else _NOT
        return _NOT


def _null_test(column: str, operator: str) -> list[Triple]:
    """IS NULL comes as "= NULL", and a parameter that is null looks the same: no row then, which any list covers."""
    name: Optional[str] = {"=": "is null", "<>": "is not null"}.get(operator)
    return [(column, name, None)] if name else []


def _bigint(value: Any) -> Any:
    """int4 comes as int, int8 as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else _NOT


def _bounds(column: str, operator: str, span: Span) -> list[Triple]:
    """What holds of the column if `operator` holds for some moment of the span."""
    if operator == "=":
        if span.low_us == span.high_us:
            return [(column, "=", span.low_us)]
        return [(column, ">=", span.low_us), (column, "<=", span.high_us)]
    return [(column, operator, span.high_us if operator in ("<", "<=") else span.low_us)]
