"""CREATE FOREIGN TABLE commands from catalog entries, with every identifier and literal quoted.

create_foreign_table(ENDPOINTS["campaigns"], "customerio")
-> 'CREATE FOREIGN TABLE "campaigns" ("id" bigint, …) SERVER "customerio" OPTIONS (endpoint \\'campaigns\\')'
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from cio_fdw.endpoint import Column
from cio_fdw.errors import UnknownSchemaError, UnknownTableError

REMOTE_SCHEMA = "customerio"


class Described(Protocol):
    """A table as far as its DDL goes: an endpoint of the API, or a table of our own."""

    @property
    def name(self) -> str: ...

    @property
    def doc(self) -> str: ...

    @property
    def by_page(self) -> bool:
        """Whether IMPORT makes it only when it is named."""

    @property
    def all_columns(self) -> Sequence[Column]: ...


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def create_foreign_table(endpoint: Described, server: str) -> str:
    columns = ", ".join(f"{quote_identifier(column.name)} {column.type}" for column in endpoint.all_columns)
    return (
        f"CREATE FOREIGN TABLE {quote_identifier(endpoint.name)} ({columns}) "
        f"SERVER {quote_identifier(server)} OPTIONS (endpoint {quote_literal(endpoint.name)})"
    )


def comment_commands(endpoint: Described, schema: str) -> tuple[str, ...]:
    """COMMENT ON the foreign table and each of its columns, so that tools show what they mean."""
    table = f"{quote_identifier(schema)}.{quote_identifier(endpoint.name)}"
    return (
        f"COMMENT ON FOREIGN TABLE {table} IS {quote_literal(endpoint.doc)}",
        *(
            f"COMMENT ON COLUMN {table}.{quote_identifier(column.name)} IS {quote_literal(column.doc)}"
            for column in endpoint.all_columns
        ),
    )


def import_commands(
    endpoints: Mapping[str, Described], server: str, remote_schema: str, mode: str, tables: Collection[str]
) -> tuple[str, ...]:
    """The commands of IMPORT FOREIGN SCHEMA. `mode`: "all", "limit to" or "except" (`tables`).

    Raises UnknownSchemaError, UnknownTableError.
    """
    if remote_schema != REMOTE_SCHEMA:
        raise UnknownSchemaError(
            f'there is no remote schema "{remote_schema}"',
            hint=f"The one remote schema is {REMOTE_SCHEMA}: IMPORT FOREIGN SCHEMA {REMOTE_SCHEMA} FROM SERVER ...",
        )
    for name in tables:
        if name not in endpoints:
            raise unknown_table(name, endpoints)
    usual = {endpoint.name for endpoint in endpoints.values() if not endpoint.by_page}
    chosen = {"all": usual, "limit to": set(tables), "except": usual - set(tables)}[mode]
    return tuple(create_foreign_table(endpoints[name], server) for name in endpoints if name in chosen)


def unknown_table(name: str, endpoints: Collection[str]) -> UnknownTableError:
    return UnknownTableError(f'there is no endpoint "{name}"', hint=f"Endpoints: {', '.join(endpoints)}.")
