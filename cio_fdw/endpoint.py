"""The words in which a catalog entry describes one read endpoint of the App API.

    SELECT … FROM messages WHERE campaign_id = 7 AND created > …
    Endpoint(path="/v1/messages", filters=(Filter("campaign_id", "campaign_id"),), window=Window(…), …)
    -> GET /v1/messages?campaign_id=7&start_ts=…&end_ts=…

An Endpoint is frozen data and is checked when it is made: an unknown type, a filter on a missing
column, a hole in the path that nothing fills are refused with table and field named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional

INCREMENTAL = ("window", "cursor", "snapshot")
TYPES = ("bigint", "float8", "bool", "text", "timestamptz", "jsonb", "text[]")
RAW = "raw"
PAGE, NEXT_PAGE = "page", "next_page"
"""Columns of a feed by page: the cursor that gave the row, empty for the first page, and the one that goes on."""


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
    also: tuple[tuple[str, str], ...] = ()
    """Parameters that go with it (id_type beside customer_id)."""
    prefix: str = ""
    """Put before the value, unless it is there already."""
    may_be_refused: bool = False
    """Some workspaces answer 400 or 404 to it. Then the list is read without it."""
    selectivity: float = 0.1
    """Fraction of the rows that one value is expected to select; for estimates only."""


@dataclass(frozen=True)
class Presence:
    """`param` takes the name of one of `columns`, and selects the rows where that is not null.

    Pushed only when the server option trust_metric_filter is on, as the API does not say what it means exactly.
    """

    param: str
    columns: tuple[str, ...]
    """Rarest first: the API takes one."""
    selectivity: float = 0.3


@dataclass(frozen=True)
class Window:
    """A time column that two parameters bound, both inclusive and in whole unix seconds."""

    column: str
    start_param: str
    end_param: str
    max_days: int
    """The widest range one request may ask for without being cut."""
    kept_days: int
    """How far back the API keeps rows."""


@dataclass(frozen=True)
class Parent:
    """This endpoint's path has a hole that takes the `key` of each row of `endpoint`."""

    endpoint: str
    key: str
    column: str


@dataclass(frozen=True)
class OneRow:
    """A read of one row by its id: `id = 7` becomes GET `path` with {id} filled; the body holds it under `row_key`."""

    path: str
    row_key: str
    confirmed: bool = False
    """The read also finds what the list lacks (drafts, older rows), so it only tells the row's time: what is
    returned comes from the list, asked for that second of the window's column."""


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
    presence: Optional[Presence] = None
    window: Optional[Window] = None
    parent: Optional[Parent] = None
    one_row: Optional[OneRow] = None
    incremental: str = "snapshot"
    """How a local copy is kept in step: window (by time), cursor (a feed, newest first) or snapshot (read whole)."""
    kept: str = ""
    """How long the API keeps rows; empty for as long as the object exists."""
    retention: str = ""
    """What `kept` promises at least, as an interval of PostgreSQL; for cio_sync."""
    feed_column: str = ""
    """Of a feed (cursor): the column that its rows are sorted by, newest first."""
    by_page: bool = False
    """Rows tell their page and the next (`page`, `next_page`); `page = 'x'` reads one page. Imported only by name."""
    fixed_params: tuple[tuple[str, str], ...] = ()
    typical_rows: int = 100
    """Rows of one chain when nothing is known: all rows, of one parent, or of one day of a window."""
    row_bytes: int = 400

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def all_columns(self) -> tuple[Column, ...]:
        """The declared columns, then `raw`."""
        return (*self.columns, Column(RAW, "jsonb", "The whole record as the API sent it."))

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.all_columns}

    def column(self, name: str) -> Optional[Column]:
        # Each statement asks for every column of its tables, several times.
        return self._by_name.get(name)

    @property
    def time_column(self) -> str:
        """The column that says when a row came to be, for local copies; empty when there is none to go by."""
        return self.window.column if self.window else self.feed_column

    @property
    def may_shift(self) -> bool:
        """Whether rows that come or go while it is paged move others to another page, so that one can come twice.

        Cursors are positions (OBSERVED.md). Only a window that has elapsed stands still; a feed by page shows its pages
        as they are.
        """
        return self.paging is not None and self.window is None and not self.by_page

    @property
    def holes(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))


def _check(endpoint: Endpoint) -> None:
    for complaint in (*_column_complaints(endpoint), *_reference_complaints(endpoint)):
        raise CatalogError(f"catalog entry {endpoint.name}: {complaint}")


def _column_complaints(endpoint: Endpoint) -> Iterator[str]:
    names = [column.name for column in endpoint.columns]
    if len(set(names)) != len(names) or RAW in names:
        yield f"column names must be unique and not {RAW!r}"
    for column in endpoint.columns:
        if column.type not in TYPES:
            yield f"column {column.name}: unknown type {column.type!r}"
        if not column.doc:
            yield f"column {column.name}: no description"
        if column.zero_is_null and column.type != "timestamptz":
            yield f"column {column.name}: zero_is_null is for timestamptz"
        if column.fallback and column.type == "jsonb":
            yield f"column {column.name}: a jsonb column has no fallback"
    yield from _key_complaints(endpoint.columns)


def _key_complaints(columns: tuple[Column, ...]) -> Iterator[str]:
    """A key is read as one type; only one that is read as jsonb may be looked into besides."""
    types: dict[tuple[str, ...], str] = {}
    for column in columns:
        for path in (column.key_path, tuple(column.fallback.split("."))):
            if path != ("",) and types.setdefault(path, column.type) != column.type:
                yield f"column {column.name}: key {'.'.join(path)} is read as another type too"
    for path in types:
        for length in range(1, len(path)):
            if types.get(path[:length], "jsonb") != "jsonb":
                yield f"key {'.'.join(path[:length])} is both read and looked into"


def _reference_complaints(endpoint: Endpoint) -> Iterator[str]:
    needed = {*endpoint.key, *(filter_.column for filter_ in endpoint.filters)}
    needed |= {endpoint.window.column} if endpoint.window else set()
    needed |= set(endpoint.presence.columns) if endpoint.presence else set()
    needed |= {endpoint.feed_column} if endpoint.incremental == "cursor" else set()
    needed |= {PAGE, NEXT_PAGE} if endpoint.by_page else set()
    filled = {endpoint.parent.column} if endpoint.parent else set()
    for name in sorted(needed | filled):
        if endpoint.column(name) is None:
            yield f"no column {name}"
    if set(endpoint.holes) != filled:
        yield f"path holes {endpoint.holes} are not what parent fills {sorted(filled)}"
    paging = endpoint.paging
    if paging and not paging.page_size:
        yield "paging: no page_size"
    if paging and paging.size_param and paging.max_size < paging.page_size:
        yield "paging: max_size is below page_size"
    yield from _read_complaints(endpoint)
    if endpoint.incremental not in INCREMENTAL or (endpoint.incremental == "window") != bool(endpoint.window):
        yield f"incremental {endpoint.incremental!r} does not go with window"
    if endpoint.rows_key not in endpoint.sample:
        yield f"sample: no key {endpoint.rows_key}"


def _read_complaints(endpoint: Endpoint) -> Iterator[str]:
    one_row = endpoint.one_row
    if one_row and (one_row.path.count("{id}") != 1 or endpoint.column("id") is None):
        yield "one_row: its path takes the column id, once"
    if one_row and endpoint.key != ("id",):
        yield "one_row: the key must be id"
    if one_row and one_row.confirmed and not endpoint.window:
        yield "one_row: only a list with a window can confirm it"
    if endpoint.parent and (endpoint.window or endpoint.filters):
        yield "parent: its rows are asked for by the parent alone, without window and filters"
    if endpoint.window and any(filter_.may_be_refused for filter_ in endpoint.filters):
        yield "filters: one that may be refused cannot go with a window"
