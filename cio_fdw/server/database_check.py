"""The part of `cio-fdw doctor` that asks the database: catalogs, clock, and a query through the foreign server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

from cio_fdw.ddl import REMOTE_SCHEMA
from cio_fdw.server.errors import ServerError
from cio_fdw.server.finding import FAIL, OK, WARN, Finding

try:
    import psycopg
    from psycopg import sql
except ImportError:
    raise ServerError("this command needs psycopg: pip install 'cio_fdw[embedded]'") from None

SCRATCH = "_cio_fdw_doctor"
"""A schema that is made for the examination and never committed."""
STATEMENT_TIMEOUT_S = 60
MAY_NOT = ("42501", "25006")
"""No right to make a schema; a server that only reads, such as a standby."""


@dataclass(frozen=True)
class Mapping:
    """A user mapping. `options` is None when the role may not see them."""

    options: Optional[dict[str, str]]


class Database:
    """One connection. Every method is one question."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def connect(cls, conninfo: str) -> Iterator[Database]:
        """Raises ServerError."""
        try:
            with psycopg.connect(conninfo, autocommit=True, connect_timeout=20) as connection:
                connection.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
                yield cls(connection)
        except psycopg.OperationalError as error:
            # libpq's text names host, user and database, and never the password.
            raise ServerError(f"the database cannot be reached: {str(error).strip()}") from None

    def version(self) -> tuple[str, int]:
        """The text and the major number of PostgreSQL's version."""
        number = self._connection.info.server_version
        return self._connection.info.parameter_status("server_version") or str(number), number // 10000

    def extension(self) -> tuple[Optional[str], Optional[str]]:
        """The version of the extension in this database, and that of its files."""
        row = self._rows(
            "select installed_version, default_version from pg_available_extensions where name = 'cio_fdw'"
        )
        return row[0] if row else (None, None)

    def servers(self) -> list[tuple[str, dict[str, str]]]:
        """Name and options of each foreign server of cio_fdw."""
        rows = self._rows(
            "select srvname, srvoptions from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw "
            "where fdwname = 'cio_fdw' order by srvname"
        )
        return [(name, _options(options)) for name, options in rows]

    def role(self) -> str:
        return str(self._rows("select current_user")[0][0])

    def mapping(self, server: str) -> Optional[Mapping]:
        """The user mapping that applies to the role, PUBLIC's when it has none of its own."""
        rows = self._rows(
            "select umoptions from pg_user_mappings "
            "where srvname = %s and umuser in (0, (select oid from pg_roles where rolname = current_user)) "
            "order by umuser desc limit 1",
            server,
        )
        if not rows:
            return None
        return Mapping(None if rows[0][0] is None else _options(rows[0][0]))

    def first_line(self, path: str) -> str:
        """The first line of a file of the server; empty when this role may not read it."""
        try:
            return str(self._rows("select split_part(pg_read_file(%s, 0, 4096), e'\\n', 1)", path)[0][0]).strip()
        except psycopg.Error:
            return ""

    def clock_offset_s(self) -> float:
        """How far the server's clock is ahead of this machine's."""
        began_s = time.time()
        (now_s,) = self._rows("select extract(epoch from clock_timestamp())::float8")[0]
        return float(now_s) - (began_s + time.time()) / 2

    @contextmanager
    def scratch_tables(self, server: str, *tables: str) -> Iterator[None]:
        """Within it the foreign tables are in the schema SCRATCH; nothing of it is ever committed."""
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(sql.SQL("create schema {}").format(sql.Identifier(SCRATCH)))
            names = sql.SQL(", ").join(map(sql.Identifier, tables))
            self._connection.execute(
                sql.SQL("import foreign schema {} limit to ({}) from server {} into {}").format(
                    sql.Identifier(REMOTE_SCHEMA), names, sql.Identifier(server), sql.Identifier(SCRATCH)
                )
            )
            yield

    def read(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """Rows of a scratch table."""
        return self._rows(f"select {columns} from {SCRATCH}.{table} limit 1")  # noqa: S608 - names of our own

    def _rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), arguments or None).fetchall()


def checked_through_server(database: Database, server: str) -> Iterator[Finding]:
    """Whether the server itself can use its state directory and reach the API."""
    for check in (_state, _query):
        try:
            with database.scratch_tables(server, "_limits", "sender_identities"):
                finding = check(database)
        except psycopg.Error as error:
            if error.sqlstate in MAY_NOT and "cio_fdw" not in (error.diag.message_primary or ""):
                advice = "It makes a schema that is not committed. Connect as a role that may create one."
                yield Finding(WARN, f"no query was tried through the server: {error.diag.message_primary}", advice)
                return
            finding = Finding(FAIL, f"through the server: {error.diag.message_primary}", error.diag.message_hint or "")
        yield finding


def _state(database: Database) -> Finding:
    ((used, in_flight, waiting, kept_in),) = database.read("_limits", "used, in_flight, waiting, kept_in")
    place = "Redis answers" if kept_in == "redis" else "the state directory can be used"
    return Finding(OK, f"{place}; now {used} requests a second, {in_flight} under way, {waiting} waiting")


def _query(database: Database) -> Finding:
    began_s = time.monotonic()
    database.read("sender_identities", "id")
    return Finding(OK, f"a query through the server takes {(time.monotonic() - began_s) * 1000:.0f} ms")


def _options(pairs: Optional[list[str]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs or ())
