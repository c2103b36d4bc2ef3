"""CustomerIO, the class that Multicorn makes one object of for each foreign table.

Multicorn calls it for every scan of the table: `get_rel_size` and `get_path_keys` while planning, `explain`, `execute`
at the first row and again for each rescan, `end_scan`, and hooks at the end of a transaction. What belongs to one scan
lives in the iterator that `execute` gives, not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Optional, Union

from multicorn import ForeignDataWrapper  # type: ignore[import-not-found,unused-ignore]

from cio_fdw import native, state
from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import PAGE, Column, Endpoint
from cio_fdw.errors import CioError, MissingKeyError, UnknownTableError
from cio_fdw.explain import Property
from cio_fdw.multicorn import endings
from cio_fdw.multicorn.backend import backend
from cio_fdw.multicorn.conditions import MulticornQual, Translator, Triple
from cio_fdw.multicorn.datums import converter
from cio_fdw.multicorn.moments import clock
from cio_fdw.options import MAPPING, OPTIONS, SERVER, TABLE
from cio_fdw.quals import UNKNOWN
from cio_fdw.seeing import OwnScan

UNUSABLE_ROWS = 1000
"""What the planner is told of a table that cannot be used: why, the statement will say with its SQLSTATE."""
_SCOPES = {option.name: option.scopes for option in OPTIONS}
_TABLE_ALIASES = {f"table_{option.name}": option.name for option in OPTIONS if option.scopes == (SERVER, TABLE)}
"""Names by which a table beats its server: Multicorn tells options by name alone, and lets the server win."""
Shape = tuple[tuple[Any, ...], frozenset[str]]


class _Planned(NamedTuple):
    """What `get_rel_size` found out, for `get_path_keys`, which is called next."""

    conditions: list[Triple]
    rows: int
    requests: float


class CustomerIO(ForeignDataWrapper):  # type: ignore[misc,unused-ignore]
    """One foreign table. Made while planning, also of plain EXPLAIN, so nothing is read or sent before `execute`."""

    backend = staticmethod(backend)
    _startup_cost = 20

    def __init__(self, options: Mapping[str, str], columns: Mapping[str, Any]) -> None:
        super().__init__(options, columns)
        self._options = dict(options)
        self._types = {name: column.base_type_name for name, column in columns.items()}
        self._wanted = tuple(columns)
        self._planned: Optional[_Planned] = None
        # Of statements under way, by their numbers: rescans go on with theirs, and EXPLAIN ANALYZE asks what it did.
        # Nothing tells which scan of a statement it asks about, but their shape.
        self._scans: dict[tuple[int, Shape], Union[native.Scan, OwnScan]] = {}

    @cached_property
    def _table(self) -> native.Table:
        """The table as the native door describes it. Raises UnknownTableError."""
        name = self._options.get("endpoint")
        if name is None:
            raise UnknownTableError(
                "the foreign table has no option endpoint",
                hint="IMPORT FOREIGN SCHEMA sets it, as in endpoint 'messages'.",
            )
        types = tuple(self._types.values())
        return native.Table(
            name, "", self._server_options, self._table_options, self._wanted, types, host=self.backend()
        )

    def _of(self, scope: str) -> dict[str, str]:
        """The options that belong there alone: Multicorn gives those of server, mapping and table in one dict."""
        return {name: text for name, text in self._options.items() if _SCOPES.get(name) == (scope,)}

    @property
    def _table_options(self) -> dict[str, str]:
        """Those of tables alone, and `table_page_size` as `page_size`: under one name, the server's would beat it."""
        own = {name: self._options[alias] for alias, name in _TABLE_ALIASES.items() if alias in self._options}
        return {**self._of(TABLE), **own}

    @property
    def _server_options(self) -> dict[str, str]:
        """All others, unknown ones too, so that they are refused."""
        return {
            name: text
            for name, text in self._options.items()
            if _SCOPES.get(name) not in ((MAPPING,), (TABLE,)) and name not in _TABLE_ALIASES
        }

    @cached_property
    def _columns(self) -> tuple[Column, ...]:
        """The table's columns as the catalog has them. Raises CioError for a column that it has not."""
        described = self._table.own() or self._table.endpoint()
        found = (described.column(name) for name in self._wanted)
        return tuple(column for column in found if column is not None)

    def _conditions(self, quals: Iterable[MulticornQual], *, explained: bool = False) -> list[Triple]:
        types = {column.name: column.type for column in self._columns}
        session = self.backend()
        now = clock(session.option("DateStyle"), session.option("TimeZone"))
        return Translator(types, now, explained=explained).conditions(quals)

    def get_rel_size(self, quals: Sequence[MulticornQual], _columns: Iterable[str]) -> tuple[int, int]:
        """Rows and a width. The planner takes rows * width for the cost, so the width is what a row costs."""
        self._planned = None
        try:
            conditions = self._conditions(quals)
            estimate = native.estimate(self._table, conditions, self._wanted, 0.0, {})
        except CioError:
            return UNUSABLE_ROWS, 1
        rows = max(round(estimate.rows), 1)
        self._planned = _Planned(conditions, rows, estimate.requests)
        return rows, max(round(estimate.total_cost / rows), 1)

    def get_path_keys(self) -> list[tuple[tuple[str], int]]:
        """The columns whose value makes a scan cheaper, each with as many rows as its requests are worth."""
        planned = self._planned
        name = self._options.get("endpoint", "")
        if planned is None or name not in ENDPOINTS:
            return []
        keys: list[tuple[tuple[str], int]] = []
        for column in _keys(ENDPOINTS[name]):
            if column not in self._types:
                continue
            conditions = [*planned.conditions, (column, "=", UNKNOWN)]
            estimate = native.estimate(self._table, conditions, self._wanted, 0.0, {})
            if column in estimate.pushed and estimate.requests < planned.requests:
                keys.append(((column,), math.ceil(planned.rows * estimate.requests / planned.requests)))
        return keys

    def can_limit(self, _limit: Optional[int], _offset: Optional[int]) -> bool:
        """Never: Multicorn asks of a view without telling its WHERE, and then cuts before it is checked."""
        return False

    def execute(self, quals: Sequence[MulticornQual], columns: Iterable[str], **_order_and_limit: Any) -> Iterator[Any]:
        """The rows, each with every column: `columns` leaves out what a reference to the whole row needs."""
        return endings.rows(lambda: self._batches(quals, _shape(quals, columns)), self.backend())

    def _batches(self, quals: Sequence[MulticornQual], shape: Shape) -> endings.Batches:
        session = self.backend()
        state.start(str(Path.cwd()))
        mapping = self._of(MAPPING)
        if not mapping:
            raise MissingKeyError(
                "no user mapping with an App API key for the current user",
                hint="CREATE USER MAPPING FOR CURRENT_USER SERVER … OPTIONS (app_api_key '…'); or, if there is one "
                "without a key, ALTER USER MAPPING FOR CURRENT_USER SERVER … OPTIONS (ADD app_api_key '…');",
            )
        place = (session.statement, shape)
        if place not in self._scans:
            self._scans[place] = native.open_scan(self._table, mapping, self._wanted, session.statement)
        convert = converter(self._columns, session.encoding)
        batches: Any = self._scans[place].start(self._conditions(quals))
        with closing(batches):
            for batch in batches:
                yield [convert(row) for row in batch]

    def explain(self, quals: Sequence[MulticornQual], columns: Iterable[str], **_verbose_and_more: Any) -> list[str]:
        """Lines such as "API Request: GET /v1/campaigns"."""
        try:
            conditions = self._conditions(quals, explained=True)
            requests = native.estimate(self._table, conditions, self._wanted, 0.0, {}).requests
            scan = self._scan_of(_shape(quals, columns))
            found = scan.explain(requests, True) if scan else native.explain(self._table, conditions, None, requests)
        except CioError as error:
            _refuse(error)
        return [line for property_ in found for line in _lines(property_)]

    def _scan_of(self, shape: Shape) -> Union[native.Scan, OwnScan, None]:
        """The scan that EXPLAIN ANALYZE asks about, or auto_explain, which asks when the statement is over."""
        number = self.backend().statement
        if number:
            return self._scans.get((number, shape))
        return next((scan for (_, one), scan in reversed(self._scans.items()) if one == shape), None)

    def _end_scans(self) -> None:
        """Never raises."""
        for scan in self._scans.values():
            scan.close()
        self._scans.clear()

    @classmethod
    def import_schema(
        cls,
        schema: str,
        _server_options: Mapping[str, str],
        options: Mapping[str, str],
        restriction_type: Optional[str],
        restricts: Sequence[str],
    ) -> list[_Definition]:
        mode = {"limit": "limit to", "except": "except"}.get(restriction_type or "", "all")
        try:
            commands = native.import_schema("", schema, mode, restricts, options)
        except CioError as error:
            _refuse(error)
        return [_Definition(schema, mode, restricts, number) for number in range(len(commands))]

    @property
    def rowid_column(self) -> str:
        """Asked for when a statement writes."""
        endings.refuse("cio_fdw: the tables of the Customer.io API are only read")

    def end_scan(self) -> None:
        self._end_scans()

    def commit(self) -> None:
        self._end_scans()
        endings.end_all()

    def rollback(self) -> None:
        self._end_scans()
        endings.end_all()

    def sub_rollback(self, level: int) -> None:
        self._end_scans()
        endings.end_all(level)

    def sub_commit(self, level: int) -> None:
        endings.hand_over(level)


class _Definition:
    """One table of IMPORT FOREIGN SCHEMA; the name of the server comes last."""

    def __init__(self, remote_schema: str, mode: str, tables: Sequence[str], number: int) -> None:
        self._question = (remote_schema, mode, tables)
        self._number = number

    def to_statement(self, _local_schema: str, server: str) -> str:
        return native.import_schema(server, *self._question, {})[self._number]


def _keys(endpoint: Endpoint) -> list[str]:
    """The columns for whose value there may be a narrower request."""
    keys = [endpoint.parent.column] if endpoint.parent else []
    keys += ["id"] if endpoint.one_row else []
    keys += [PAGE] if endpoint.by_page else []
    return keys + [filter_.column for filter_ in endpoint.filters]


def _shape(quals: Sequence[MulticornQual], columns: Iterable[str]) -> Shape:
    """What `execute` and `explain` of the same scan have in common; EXPLAIN does not know the values."""
    return tuple((qual.field_name, qual.operator) for qual in quals), frozenset(columns)


def _lines(property_: Property) -> list[str]:
    label, value, unit = property_
    if isinstance(value, tuple):
        return [f"{label}: {text}" for text in value]
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return [f"{label}: {shown} {unit}".rstrip()]


def _refuse(error: CioError) -> NoReturn:
    """Ends a statement where only Multicorn can report: it has no SQLSTATE, so the DETAIL tells it."""
    sqlstate, message, detail, hint, _ = native.describe(error)
    told = f"{detail} (SQLSTATE {sqlstate})" if detail else f"SQLSTATE {sqlstate}"
    endings.refuse(message, hint, told)
