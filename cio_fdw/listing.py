"""The commands that list the catalog: `cio-fdw tables` and `cio-fdw comments`. No server is asked."""

from __future__ import annotations

import argparse
import sys

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.ddl import REMOTE_SCHEMA, Described, comment_commands
from cio_fdw.endpoint import PAGE, Endpoint
from cio_fdw.own_tables import OWN_TABLES

HEADINGS = ("table", "parent", "incremental", "filters pushed", "kept", "rows")


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    tables = commands.add_parser("tables", help="list the foreign tables", description=__doc__)
    tables.set_defaults(run=_run_tables)
    comments = commands.add_parser(
        "comments",
        help="print SQL that describes tables and columns",
        description="Prints COMMENT commands for the imported tables: cio-fdw comments | psql",
    )
    comments.add_argument("--schema", default=REMOTE_SCHEMA, help="where the tables are (default: %(default)s)")
    comments.set_defaults(run=_run_comments)


def pushed(endpoint: Endpoint) -> list[str]:
    """The columns whose conditions narrow the requests."""
    names = [f"{endpoint.window.column} (range)"] if endpoint.window else []
    names += [PAGE] if endpoint.by_page else []
    names += ["id"] if endpoint.one_row else []
    names += [endpoint.parent.column] if endpoint.parent else []
    return names + [filter_.column for filter_ in endpoint.filters]


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    parent = endpoint.parent.endpoint if endpoint.parent else ""
    return endpoint.name, parent, endpoint.incremental, ", ".join(pushed(endpoint)), endpoint.kept, endpoint.doc


def _run_tables(_arguments: argparse.Namespace) -> int:
    rows = [HEADINGS, *(_row(endpoint) for endpoint in ENDPOINTS.values())]
    rows += [(own.name, "", "", "", own.kept, own.doc) for own in OWN_TABLES.values()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        sys.stdout.write("  ".join([*cells, row[-1]]).rstrip() + "\n")
    return 0


def _run_comments(arguments: argparse.Namespace) -> int:
    tables: list[Described] = [*ENDPOINTS.values(), *OWN_TABLES.values()]
    for table in tables:
        for command in comment_commands(table, arguments.schema):
            sys.stdout.write(f"{command};\n")
    return 0
