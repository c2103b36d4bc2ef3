"""SQL that makes a database ready: extension, server, user mapping, foreign tables.

    set_up("postgresql://…", {"region": "eu"}, Secret("…"))

Repeatable: on a database that is set up already, options and key are brought up to date. The key travels in one
statement, quoted, in a session that keeps it from the server's log and statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.ddl import Described, comment_commands
from cio_fdw.own_tables import OWN_TABLES
from cio_fdw.secret import Secret
from cio_fdw.server.errors import ServerError

SERVER = "customerio"
SCHEMA = "customerio"
TABLES: Mapping[str, Described] = {**ENDPOINTS, **OWN_TABLES}
EXCLUSIVE = ("region", "base_url")
"""Server options of which at most one may be set."""

QUIET = (
    "set log_statement = 'none'",
    "set log_min_error_statement = 'panic'",
    "set log_min_duration_statement = -1",
    "set log_min_duration_sample = -1",
    "set log_transaction_sample_rate = 0",
    "set log_duration = off",
    "set track_activities = off",
    "set pg_stat_statements.track = 'none'",
)
"""Keeps the statements of a session out of the server's log, of pg_stat_activity and of pg_stat_statements."""


def set_up(conninfo: str, server_options: Mapping[str, str], key: Secret) -> None:
    """Everything that `SELECT … FROM customerio.messages` needs, for the role that connects. Raises ServerError."""
    try:
        # Statements are pipelined to the server as text, each on its own: utility statements take no parameters.
        with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
            for statement in QUIET:
                cursor.execute(statement)
            _extension(cursor)
            _server(cursor, server_options)
            _mapping(cursor, key)
            _tables(cursor)
            _comments(cursor)
    except psycopg.Error as error:
        # Only the server's own message: the full text of an error may quote the statement, and with it the key.
        hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        what = error.diag.message_primary or type(error).__name__
        raise ServerError(f"setting up the database failed: {what}{hint}") from None


def _extension(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("create extension if not exists cio_fdw")
    cursor.execute("alter extension cio_fdw update")


def _server(cursor: psycopg.Cursor[Any], wanted: Mapping[str, str]) -> None:
    cursor.execute(
        "select split_part(o, '=', 1) from pg_foreign_server left join unnest(srvoptions) o on true where srvname = %s",
        [SERVER],
    )
    rows = cursor.fetchall()
    name = sql.Identifier(SERVER)
    if not rows:
        cursor.execute(
            sql.SQL("create server {} foreign data wrapper cio_fdw {}").format(name, _options(_pairs(wanted)))
        )
        return
    present = {row[0] for row in rows if row[0]}
    changes = [sql.SQL("drop {}").format(sql.Identifier(one)) for one in EXCLUSIVE if one in present - wanted.keys()]
    for option, text in wanted.items():
        verb = sql.SQL("set " if option in present else "add ")
        changes.append(verb + sql.SQL("{} {}").format(sql.Identifier(option), sql.Literal(text)))
    if changes:
        cursor.execute(sql.SQL("alter server {} {}").format(name, _options(changes)))


def _mapping(cursor: psycopg.Cursor[Any], key: Secret) -> None:
    name = sql.Identifier(SERVER)
    cursor.execute(sql.SQL("drop user mapping if exists for current_user server {}").format(name))
    pairs = _pairs({"app_api_key": key.reveal()})
    cursor.execute(sql.SQL("create user mapping for current_user server {} {}").format(name, _options(pairs)))


def _tables(cursor: psycopg.Cursor[Any]) -> None:
    """Foreign tables that are missing; those that exist stay, since views may depend on them."""
    schema = sql.Identifier(SCHEMA)
    cursor.execute(sql.SQL("create schema if not exists {}").format(schema))
    cursor.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relkind in ('f', 'r', 'v', 'm', 'p')",
        [SCHEMA],
    )
    present = [sql.Identifier(row[0]) for row in cursor.fetchall() if row[0] in TABLES]
    clause = sql.SQL("except ({})").format(sql.SQL(", ").join(present)) if present else sql.SQL("")
    cursor.execute(
        sql.SQL("import foreign schema {} {} from server {} into {}").format(
            schema, clause, sql.Identifier(SERVER), schema
        )
    )


def _comments(cursor: psycopg.Cursor[Any]) -> None:
    """Descriptions of the tables and columns that have none; a user's own stay."""
    cursor.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relkind = 'f' "
        "and obj_description(oid, 'pg_class') is null",
        [SCHEMA],
    )
    for (name,) in cursor.fetchall():
        for command in comment_commands(TABLES[name], SCHEMA) if name in TABLES else ():
            cursor.execute(sql.SQL(command))


def _pairs(options: Mapping[str, str]) -> list[sql.Composable]:
    return [sql.SQL("{} {}").format(sql.Identifier(name), sql.Literal(text)) for name, text in options.items()]


def _options(clauses: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("options ({})").format(sql.SQL(", ").join(clauses)) if clauses else sql.SQL("")
