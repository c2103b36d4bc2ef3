"""The words in which a catalog entry describes one read endpoint of the App API.

    SELECT … FROM messages WHERE campaign_id = 7 AND created > …
    Endpoint(path="/v1/messages", filters=(Filter("campaign_id", "campaign_id"),), window=Window(…), …)
    -> GET /v1/messages?campaign_id=7&start_ts=…&end_ts=…

An Endpoint is frozen data and is checked when it is made: an unknown type, a filter on a missing
column, a hole in the path that nothing fills are refused with table and field named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

TYPES = ("bigint", "float8", "bool", "text", "timestamptz", "jsonb", "text[]")
RAW = "raw"


class CatalogError(ValueError):
    """A catalog entry that contradicts itself. Seen by whoever edits the catalog, never by a user."""


@dataclass(frozen=True)
class Column:
    """One column. `source` is the key in the record, dotted for a nested one ("metrics.sent")."""

    name: str
    type: str
    doc: str
    source: str = ""
    fallback: str = ""
    """A second key that is read when the first is absent."""
    zero_is_null: bool = False
    """For timestamps the API writes as 0 when nothing happened."""

    @property
    def key_path(self) -> tuple[str, ...]:
        return tuple((self.source or self.name).split("."))


@dataclass(frozen=True)
class Paging:
    """A cursor walk: the body's `next_key` goes back as `param` until it is falsy (OBSERVED.md)."""

    next_key: str = "next"
    param: str = "start"
    size_param: str = ""
    """The parameter that sets rows per page; empty when the API fixes it."""
    page_size: int = 0
    """Rows per page asked for, or known to come back when the API fixes it."""
    max_size: int = 0


@dataclass(frozen=True)
class Filter:
    """`column = value` becomes `param=value`; rows that come back are a superset of the matching ones."""

    column: str
    param: str
    known: frozenset[str] = frozenset()
    """Values the API documents; another value is not pushed, as the API might refuse it."""
    selectivity: float = 0.1
    """Fraction of the rows that one value is expected to select; for estimates only."""


@dataclass(frozen=True)
class Window:
    """A time column that two parameters bound, both inclusive and in whole unix seconds."""

    column: str
    start_param: str
    end_param: str
    max_days: int
    """The widest range one request may ask for without being cut."""
    kept_days: int
    """How far back the API keeps rows; what is read when the statement gives no lower bound."""


@dataclass(frozen=True)
class Parent:
    """This endpoint's path has a hole that takes the `key` of each row of `endpoint`."""

    endpoint: str
    key: str
    column: str


@dataclass(frozen=True)
class Endpoint:
    """One foreign table. `sample` is one whole response body of the endpoint."""

    name: str
    doc: str
    path: str
    rows_key: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    sample: dict[str, Any] = field(repr=False, hash=False)
    paging: Optional[Paging] = None
    filters: tuple[Filter, ...] = ()
    window: Optional[Window] = None
    parent: Optional[Parent] = None
    fixed_params: tuple[tuple[str, str], ...] = ()
    typical_rows: int = 100
    """Rows of one chain when nothing is known: all rows, of one parent, or of one day of a window."""
    row_bytes: int = 400

    def __post_init__(self) -> None:
        _check(self)

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The declared columns, then `raw`."""
        return (*self.columns, Column(RAW, "jsonb", "The whole record as the API sent it."))

    def column(self, name: str) -> Optional[Column]:
        return next((column for column in self.all_columns if column.name == name), None)

    @property
    def holes(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))


def _check(endpoint: Endpoint) -> None:
    def refuse(what: str) -> None:
        raise CatalogError(f"catalog entry {endpoint.name}: {what}")

    names = [column.name for column in endpoint.columns]
    if len(set(names)) != len(names) or RAW in names:
        refuse("column names must be unique and not 'raw'")
    for column in endpoint.columns:
        if column.type not in TYPES:
            refuse(f"column {column.name}: unknown type {column.type!r}")
        if not column.doc:
            refuse(f"column {column.name}: no description")
    needed = {*endpoint.key, *(f.column for f in endpoint.filters)}
    if endpoint.window:
        needed.add(endpoint.window.column)
    if endpoint.parent:
        needed.add(endpoint.parent.column)
    for name in sorted(needed):
        if name not in names:
            refuse(f"no column {name}")
    filled = {endpoint.parent.column} if endpoint.parent else set()
    if set(endpoint.holes) != filled:
        refuse(f"path holes {endpoint.holes} are not what parent fills {sorted(filled)}")
    if endpoint.paging and not endpoint.paging.page_size:
        refuse("paging: no page_size")
    if endpoint.rows_key not in endpoint.sample:
        refuse(f"sample: no key {endpoint.rows_key}")
