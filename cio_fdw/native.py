"""The native door: what the C host (host/) calls.

    start(host)                                   once per backend; host has wait, notice, warning, log, …
    validate(scope, options, privileged)          CREATE and ALTER of servers, mappings, tables
    import_schema(server, schema, mode, tables, options) -> tuple of commands
    estimate(table, quals, wanted, total, kept)   -> Estimate, for the planner
    explain(table, quals, limit, requests)        -> list of (label, value, unit), nothing is sent
    open_scan(table, mapping, wanted, statement)  -> Scan; `statement` tells running statements apart
    open_sample(table, mapping, wanted, statement) -> Sample, for ANALYZE
    describe(error)                               -> (sqlstate, message, detail, hint, detail for the log)
    cache_clear(server options)                   -> number of answers that were kept
    stop_all()                                    the backend exits

`table` is (relname, server, server options, table options, column names, column types, identity); `quals` are
(column, operator, value) as in `quals`, or ("", "or", branches), a branch
being quals. All run on the backend's main thread.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Optional, Protocol, Union

from cio_fdw import connections, ddl, seeing, state
from cio_fdw import explain as explaining
from cio_fdw import options as option_table
from cio_fdw.cache import Responses, Statement, clear
from cio_fdw.catalog import ENDPOINTS
from cio_fdw.decoder import Row
from cio_fdw.densities import Densities
from cio_fdw.describing import describe
from cio_fdw.endpoint import Endpoint
from cio_fdw.errors import (
    ColumnTypeError,
    Interrupted,
    MissingKeyError,
    OptionNameError,
    StateError,
    UnknownColumnError,
)
from cio_fdw.fetch import Fetcher
from cio_fdw.journal import Journal
from cio_fdw.lanes import stop_all
from cio_fdw.options import Settings
from cio_fdw.own_tables import OWN_TABLES, OwnTable
from cio_fdw.plan import Ask, Known, Plan, plan
from cio_fdw.quals import UNKNOWN, condition
from cio_fdw.sample import Sample
from cio_fdw.scan import Host, Tools, scan
from cio_fdw.sizes import Seen, Sizes
from cio_fdw.state import StateDirectory, state_directory
from cio_fdw.stats import Stats
from cio_fdw.throttle import throttle_for

__all__ = [
    "UNKNOWN", "Interrupted", "Scan", "cache_clear", "describe", "estimate", "explain", "import_schema",
    "open_sample", "open_scan", "start", "stop_all", "validate",
]  # fmt: skip

REQUEST_COST = 100.0
"""Planner cost of one request: it outweighs any work on rows, yet a thousand stay near jit_above_cost."""
ROW_COST = 0.02
COLUMN_BYTES = 24

_SQL_TYPES = {
    "bigint": "bigint",
    "float8": "double precision",
    "bool": "boolean",
    "text": "text",
    "timestamptz": "timestamp with time zone",
    "jsonb": "jsonb",
    "text[]": "text[]",
}

PARENT_LISTS = {
    endpoint.parent.endpoint: ENDPOINTS[endpoint.parent.endpoint].path
    for endpoint in ENDPOINTS.values()
    if endpoint.parent
}
"""Path of each list that names the parents of children."""


class NativeHost(Host, connections.Host, Protocol):
    """What a door lends: the C host, or the backend that Multicorn runs in."""

    def warning(self, text: str) -> None:
        """Warns the client."""

    def log(self, text: str) -> None:
        """Tells the server's log, and a client who wants to know."""

    def log_min_ms(self) -> int:
        """From when on a scan is slow (the setting cio_fdw.log_min_duration); -1: none is."""

    def caching(self) -> bool:
        """Whether this session uses answers that are kept (the setting cio_fdw.cache)."""


_host: Optional[NativeHost] = None


class Table(NamedTuple):
    """A foreign table as the host describes it. A dropped column has no name and no type.

    `host`: of another door, which may share the backend with the C host; None: the C host.
    """

    relname: str
    server: str
    server_options: Mapping[str, str]
    table_options: Mapping[str, str]
    names: Sequence[Optional[str]]
    types: Sequence[Optional[str]]
    identity: str = ""
    """Tells servers of the same name apart, in all databases."""
    host: Optional[NativeHost] = None

    def sizes(self) -> Sizes:
        """What earlier scans of this server found."""
        settings = option_table.resolve(self.server_options)
        return Sizes(_place(settings), self._owner(settings))

    def densities(self, settings: Settings) -> Densities:
        """What earlier scans of this server showed a user with the key of `settings`."""
        key = settings.key.fingerprint() if settings.key else ""
        return Densities(_place(settings), f"{self._owner(settings)} {key}")

    def _owner(self, settings: Settings) -> str:
        return f"{self.identity} {self.server} {settings.base_url}"

    def seen(self) -> dict[str, float]:
        """Sizes that bear on a plan of this table."""
        endpoint = self.endpoint()
        return self.sizes().of([endpoint.name, *([endpoint.parent.endpoint] if endpoint.parent else [])])

    def endpoint(self) -> Endpoint:
        """The catalog entry, after checking that the table's columns are its columns."""
        name = self.table_options.get("endpoint", self.relname)
        if name not in ENDPOINTS:
            raise ddl.unknown_table(name, ENDPOINTS)
        endpoint = ENDPOINTS[name]
        for column_name, type_name in zip(self.names, self.types):
            if column_name is not None:
                self._check_column(endpoint, column_name, type_name)
        return endpoint

    def own(self) -> Optional[OwnTable]:
        """The table of our own that it is, after the same check; None when it is one of the API's."""
        own = OWN_TABLES.get(self.table_options.get("endpoint", self.relname))
        for column_name, type_name in zip(self.names, self.types) if own else ():
            if own and column_name is not None:
                self._check_column(own, column_name, type_name)
        return own

    def _check_column(self, endpoint: Union[Endpoint, OwnTable], name: str, type_name: Optional[str]) -> None:
        column = endpoint.column(name)
        if column is None:
            raise UnknownColumnError(
                f'foreign table "{self.relname}" has a column "{name}" that endpoint {endpoint.name} does not have',
                hint=f'Drop it (ALTER FOREIGN TABLE "{self.relname}" DROP COLUMN "{name}"), or use raw->>\'{name}\'.',
            )
        if type_name != _SQL_TYPES[column.type]:
            raise ColumnTypeError(
                f'column "{name}" of foreign table "{self.relname}" is {type_name}, but must be {column.type}',
                hint=f'ALTER FOREIGN TABLE "{self.relname}" ALTER COLUMN "{name}" TYPE {column.type};',
            )

    def settings(self, mapping: Optional[Mapping[str, str]] = None) -> Settings:
        settings = option_table.resolve(self.server_options, self.table_options, mapping)
        host = self.host or _host
        caches = settings.cache_ttl_s and host is not None and host.caching()
        return settings if caches else replace(settings, cache_ttl_s=0)


def _place(settings: Settings) -> Optional[StateDirectory]:
    """Where hints lie; None when there is no such place."""
    try:
        return state_directory(settings.state_dir)
    except StateError:
        return None


def start(host: NativeHost) -> None:
    global _host  # noqa: PLW0603 - one backend, one host
    _host = host
    state.start(str(Path.cwd()))


def validate(scope: str, given: Mapping[str, str], privileged: bool) -> None:
    option_table.validate(scope, given, privileged=privileged)


def import_schema(
    server: str, remote_schema: str, mode: str, tables: Sequence[str], given: Mapping[str, str]
) -> tuple[str, ...]:
    if given:
        raise OptionNameError(f'invalid option "{next(iter(given))}"', hint="IMPORT FOREIGN SCHEMA takes no options.")
    return ddl.import_commands({**ENDPOINTS, **OWN_TABLES}, server, remote_schema, mode, tables)


class Estimate(NamedTuple):
    """What the planner learns. Rows are those that the requests bring; `pushed`: columns whose quals they carry."""

    rows: float
    width: int
    startup_cost: float
    total_cost: float
    requests: float
    table_rows: float
    pushed: tuple[str, ...]


def estimate(
    table: tuple[Any, ...],
    quals: Sequence[tuple[str, str, Any]],
    wanted: Sequence[str],
    total_rows: float,
    kept: Mapping[str, float],
) -> Estimate:
    """`total_rows`: of the table, as ANALYZE left it, 0 when it did not; `kept`: selectivity of each column's quals."""
    described = Table(*table)
    if own := described.own():
        rows = float(own.typical_rows)
        return Estimate(rows, COLUMN_BYTES * len(wanted), 0.0, rows * ROW_COST, 0.0, rows, ())
    seen = described.seen()
    planned = _plan(described, quals, known=Known(total_rows or None, kept, seen))
    width = planned.endpoint.row_bytes if "raw" in wanted else COLUMN_BYTES * len(wanted)
    total = planned.requests * REQUEST_COST + planned.rows * ROW_COST
    return Estimate(
        rows=float(planned.rows),
        width=width,
        startup_cost=min(REQUEST_COST, total),
        total_cost=total,
        requests=float(planned.requests),
        table_rows=total_rows or float(_plan(described, (), known=Known(seen=seen)).rows),
        pushed=tuple(planned.pushed),
    )


def explain(
    table: tuple[Any, ...], quals: Sequence[tuple[str, str, Any]], limit: Optional[int], requests: float
) -> list[explaining.Property]:
    """`requests`: what the planner expected, who knows the statistics."""
    if Table(*table).own():
        return seeing.explained()
    return _explained(_plan(Table(*table), quals, limit=limit), limit, requests)


def _explained(planned: Plan, limit: Optional[int], requests: float) -> list[explaining.Property]:
    """The planner expects requests for all rows; where `limit` of them suffice, fewer are."""
    return explaining.before(planned, requests if limit is None else min(requests, planned.requests))


def _plan(
    table: Table,
    quals: Sequence[tuple[str, str, Any]],
    *,
    known: Known = Known(),  # noqa: B008 - frozen
    limit: Optional[int] = None,
) -> Plan:
    settings, now_s = table.settings(), int(time.time())
    # In steps, so that the same statement is the same requests for a while.
    now_s -= now_s % max(settings.cache_ttl_s, 1)
    return plan(
        table.endpoint(),
        [condition(*qual) for qual in quals],
        settings,
        now_s=now_s,
        endpoints=ENDPOINTS,
        known=known,
        limit=limit,
    )


def open_scan(
    table: tuple[Any, ...],
    mapping: Optional[Mapping[str, str]],
    wanted: Sequence[str],
    statement: int,
) -> Union[Scan, seeing.OwnScan]:
    """`statement`: tells statements apart, for what one keeps in memory."""
    described = Table(*table)
    if own := _own_scan(described, mapping, wanted):
        return own
    settings, stats, host = _mapped(described, mapping), Stats(), described.host or _started()
    cache = Responses(settings, stats, Statement.of(statement), PARENT_LISTS)
    tools = replace(_tools(host, settings, stats, wanted, cache), densities=described.densities(settings))
    return Scan(described, tools, cache, host)


def open_sample(
    table: tuple[Any, ...], mapping: Optional[Mapping[str, str]], wanted: Sequence[str], _statement: int
) -> Union[Sample, seeing.OwnScan]:
    described = Table(*table)
    if own := _own_scan(described, mapping, wanted):
        return own
    # Statistics are of the API's present answers.
    settings = replace(_mapped(described, mapping), cache_ttl_s=0)
    ask = Ask(described.endpoint(), (), settings, int(time.time()), ENDPOINTS)
    tools = _tools(_started(), settings, Stats(), wanted)
    return Sample(ask, tools, told=lambda name, rows: described.sizes().learn(name, Seen(rows, 1)))


def _own_scan(table: Table, mapping: Optional[Mapping[str, str]], wanted: Sequence[str]) -> Optional[seeing.OwnScan]:
    own = table.own()
    return seeing.OwnScan(own, _mapped(table, mapping), wanted, table.host or _started()) if own else None


def _started() -> NativeHost:
    if _host is None:
        raise RuntimeError("the door was not started")
    return _host


def _mapped(table: Table, mapping: Optional[Mapping[str, str]]) -> Settings:
    """The settings of a user who has a mapping. Raises MissingKeyError for one who has none."""
    if mapping is None:
        raise MissingKeyError(
            f'no user mapping for the current user on server "{table.server}"',
            hint=f"CREATE USER MAPPING FOR CURRENT_USER SERVER \"{table.server}\" OPTIONS (app_api_key '...');",
        )
    return table.settings(mapping)


def _tools(
    host: NativeHost, settings: Settings, stats: Stats, wanted: Sequence[str], cache: Optional[Responses] = None
) -> Tools:
    if settings.key is None:
        raise RuntimeError("settings with a mapping have a key")
    transport = connections.transport_for(settings.base_url, settings.key)
    journal = Journal(state_directory(settings.state_dir))
    fetcher = Fetcher(transport, throttle_for(settings), settings, stats, journal=journal.add, cache=cache)
    return Tools(
        host,
        fetcher,
        stats,
        wanted,
        settings.max_concurrency,
        at_work=lambda: connections.at_work(host),
        is_cached=settings.cache_ttl_s > 0,
    )


class Scan:
    """One scan node of a statement; `start` runs it, again for each rescan."""

    def __init__(self, table: Table, tools: Tools, cache: Responses, host: NativeHost) -> None:
        self._table = table
        self._tools = tools
        self._cache = cache
        self._host = host
        self._plan: Optional[Plan] = None
        self._limit: Optional[int] = None

    def start(
        self, quals: Sequence[tuple[str, str, Any]], limit: Optional[int] = None, reads_ahead: bool = False
    ) -> Iterator[list[Row]]:
        """Batches of row tuples; `close` of the iterator ends threads and sockets. `reads_ahead`: see scan."""
        self._plan, self._limit = _plan(self._table, quals, limit=limit), limit
        return self._watched(scan(self._plan, self._tools, reads_ahead=reads_ahead))

    def _watched(self, batches: Generator[list[Row], None, None]) -> Iterator[list[Row]]:
        """The same batches; when the cache is not to be used, a warning says so, and the log tells of a slow run."""
        pace, rows_before = seeing.Pace(self._tools.stats), self._tools.stats.rows
        with closing(batches):
            for batch in pace.steps(batches):
                self._complain()
                yield batch
        self._complain()
        if self._plan and self._plan.covers:
            rows = self._tools.stats.rows - rows_before
            self._table.sizes().learn(self._plan.endpoint.name, Seen(rows / self._plan.covers, self._plan.covers))
        # Not of a run that was ended: its error tells, or the reader had enough.
        if text := pace.told(self._table.relname, self._host.log_min_ms()):
            self._host.log(text)

    def _complain(self) -> None:
        if complaint := self._cache.complaint:
            self._host.warning(f"cio_fdw: {complaint}")

    def close(self) -> None:
        """The statement is over. After an error, tracebacks may keep this object a little longer."""
        self._cache.forget_statement()

    def explain(self, requests: float, analyze: bool) -> list[explaining.Property]:
        planned = _explained(self._plan, self._limit, requests) if self._plan else []
        return [*planned, *explaining.after(self._tools.stats)] if analyze else planned


def cache_clear(server_options: Mapping[str, str]) -> int:
    """Removes what is kept in the state directory of a server, of every key."""

    def sleep(seconds: float) -> None:
        _started().wait(seconds)

    return clear(state_directory(option_table.resolve(server_options).state_dir), time.time(), sleep)
