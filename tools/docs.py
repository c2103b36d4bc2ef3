"""Writes the generated parts of the documentation, or with --check fails when they are out of date.

    python tools/docs.py [--check]

Generated: docs/tables.md, docs/options.md, and what cio_sync knows of the catalog (sql/cio_sync/05_endpoints.sql).
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.ddl import create_foreign_table, quote_literal
from cio_fdw.endpoint import Endpoint
from cio_fdw.listing import pushed
from cio_fdw.options import OPTIONS, SCOPES, resolve
from cio_fdw.own_tables import OWN_TABLES, OwnTable
from cio_fdw.plan import plan
from cio_fdw.quals import Qual

ROOT = Path(__file__).resolve().parent.parent
FACTS = ROOT / "sql" / "cio_sync" / "05_endpoints.sql"
NOW_S = 1_790_000_000
DAY_US = 86_400_000_000
SETTINGS_OF_A_SESSION = """\
Settings of a session: `cio_fdw.cache` (off: no kept answers, [cache.md](cache.md)), `cio_fdw.log_min_duration` (slow
scans in the log, [reliability.md](reliability.md)), and, for superusers, `cio_fdw.python`: another interpreter than the
one that the extension was built with."""
FACTS_FORM = """\
-- Generated from the catalog by tools/docs.py: make docs

create function cio._endpoints() returns table (
    endpoint text, mode text, key_columns name[], time_column name, retention interval, page_rows int, parent text
)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select e.endpoint, e.mode, e.key_columns::name[], e.time_column::name, e.retention::interval, e.page_rows, e.parent
    from (values
        ROWS
    ) e(endpoint, mode, key_columns, time_column, retention, page_rows, parent)
$$;

comment on function cio._endpoints() is 'what the catalog of cio_fdw says about each endpoint';
"""


def options_table() -> str:
    lines = ["| option | of | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for option in OPTIONS:
        unit = f" ({option.unit})" if option.unit else ""
        default = f"`{option.default}`" if option.default is not None else ""
        lines.append(
            f"| `{option.name}` | {', '.join(option.scopes)} | {option.type}{unit} | {default} | {option.doc} |"
        )
    return "\n".join(lines)


def options_page() -> str:
    """All options in one table, then a section for each object, with who may set the privileged ones."""
    lines = [
        "# Options",
        "",
        "Generated from `cio_fdw/options.py`. An option of a foreign table beats the server's.",
        "",
        options_table(),
        "",
        SETTINGS_OF_A_SESSION,
        "",
    ]
    for scope in SCOPES:
        chosen = [option for option in OPTIONS if scope in option.scopes]
        if not chosen:
            continue
        lines += [f"## Of a {scope}", ""]
        for option in chosen:
            unit = f", {option.unit}" if option.unit else ""
            default = f"; default `{option.default}`" if option.default is not None else ""
            lines += [f"### {option.name}", "", f"{option.type}{unit}{default}. {option.doc}"]
            if option.privileged:
                lines += ["", f"Set by a superuser or a member of `pg_read_server_files`: it {option.privileged}."]
            if option.secret:
                lines += ["", "A secret: it is shown as `***` in messages."]
            lines.append("")
    return "\n".join(lines)


def tables_table() -> str:
    lines = ["| table | rows | pushed filters |", "| --- | --- | --- |"]
    for endpoint in ENDPOINTS.values():
        filters = ", ".join(pushed(endpoint)) or "none"
        lines.append(f"| [{endpoint.name}](#{endpoint.name}) | {endpoint.doc} | {filters} |")
    lines += [f"| [{own.name}](#{own.name}) | {own.doc} | none |" for own in OWN_TABLES.values()]
    return "\n".join(lines)


def _type(endpoint: Endpoint, name: str) -> str:
    return next(column.type for column in endpoint.columns if column.name == name)


def _examples(endpoint: Endpoint) -> list[tuple[str, list[Qual]]]:
    """WHERE clauses to show, with the quals that they become."""
    shown: list[tuple[str, list[Qual]]] = [("", [])]
    if endpoint.one_row:
        value_of_id: object = "aB=" if _type(endpoint, "id") == "text" else 7
        shown.append((f"id = {value_of_id!r}", [Qual("id", "=", value_of_id)]))
    if endpoint.parent:
        column = endpoint.parent.column
        shown += [(f"{column} = 7", [Qual(column, "=", 7)]), (f"{column} IN (7, 8)", [Qual(column, "in", (7, 8))])]
    if endpoint.window:
        day = Qual(endpoint.window.column, ">=", NOW_S * 1_000_000 - DAY_US)
        shown.append((f"{endpoint.window.column} >= now() - interval '1 day'", [day]))
    time = shown[-1:] if endpoint.window else [("", [])]
    for filter_ in endpoint.filters:
        value = min(filter_.known) if filter_.known else 7 if _type(endpoint, filter_.column) == "bigint" else "x"
        where, quals = time[0]
        more = f" AND {where}" if where else ""
        shown.append((f"{filter_.column} = {value!r}{more}", [Qual(filter_.column, "=", value), *quals]))
    if endpoint.presence:
        column = endpoint.presence.columns[-1]
        shown.append((f"{column} IS NOT NULL", [Qual(column, "is not null", None)]))
    return shown


def table_page(endpoint: Endpoint) -> str:
    settings = resolve({"trust_metric_filter": "true"} if endpoint.presence else {})
    lines = [f"## {endpoint.name}", "", endpoint.doc, ""]
    if endpoint.kept:
        lines += [f"The API keeps rows {endpoint.kept}.", ""]
    lines += ["| column | type | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{column.name}` | {column.type} | {column.doc} |" for column in endpoint.all_columns]
    if endpoint.presence:
        lines += ["", f"`{endpoint.presence.param}` is sent when the server option `trust_metric_filter` is true."]
    lines += ["", "| WHERE | requests |", "| --- | --- |"]
    for where, quals in _examples(endpoint):
        planned = plan(endpoint, quals, settings, now_s=NOW_S, endpoints=ENDPOINTS)
        targets = [f"`GET {chain.first.target}`" for chain in planned.chains]
        if planned.parents:
            then = "for each" if endpoint.parent else f"for the second of `{planned.names}` that it tells"
            targets = [f"`GET {planned.parents.chains[0].first.target}`", f"`GET {endpoint.path}` {then}"]
        lines.append(f"| {f'`{where}`' if where else '(none)'} | {'<br>'.join(targets)} |")
    ddl = create_foreign_table(endpoint, "customerio").replace("(", "(\n    ", 1).replace(", ", ",\n    ")
    ddl = re.sub(r"\) SERVER", "\n) SERVER", ddl, count=1)
    return "\n".join([*lines, "", "```sql", f"{ddl};", "```", ""])


def own_table_page(table: OwnTable) -> str:
    lines = [f"## {table.name}", "", table.doc, ""]
    if table.kept:
        lines += [f"Rows are kept {table.kept}.", ""]
    lines += ["| column | type | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{column.name}` | {column.type} | {column.doc} |" for column in table.columns]
    return "\n".join([*lines, ""])


def tables_page() -> str:
    head = (
        "# Tables\n\nGenerated from the catalog (`cio_fdw/catalog/`). "
        "`raw jsonb` ends every table of the API: the whole record as the API sent it. "
        "The times in the requests are an example's. `cio-fdw tables` prints the list; `cio-fdw comments | psql` "
        "describes tables and columns in the database, so that BI tools show what they mean (`cio-fdw up` does it by "
        "itself). How filters are pushed: [pushdown.md](pushdown.md).\n\n"
        f"{tables_table()}\n"
    )
    return "\n".join(
        [head, *(table_page(endpoint) for endpoint in ENDPOINTS.values()), *map(own_table_page, OWN_TABLES.values())]
    )


def sync_facts() -> str:
    """SQL function with what a mirror takes from the catalog: mode, key, time, retention, rows of a page, parent."""
    rows = []
    for endpoint in ENDPOINTS.values():
        key = "{" + ",".join(endpoint.key) + "}"
        texts = [endpoint.name, endpoint.incremental, key, endpoint.time_column, endpoint.retention]
        page_rows = endpoint.paging.page_size if endpoint.paging else endpoint.typical_rows
        parent = quote_literal(endpoint.parent.endpoint) if endpoint.parent else "null"
        rows.append(f"({', '.join(quote_literal(text) if text else 'null' for text in texts)}, {page_rows}, {parent})")
    return FACTS_FORM.replace("ROWS", ",\n        ".join(rows))


def generated() -> dict[Path, str]:
    return {
        ROOT / "docs" / "tables.md": tables_page(),
        ROOT / "docs" / "options.md": options_page(),
        FACTS: sync_facts(),
    }


def main() -> int:
    stale = 0
    for path, wanted in generated().items():
        present = path.read_text() if path.exists() else ""
        if present == wanted:
            continue
        if "--check" not in sys.argv:
            path.write_text(wanted)
            continue
        stale += 1
        name = str(path.relative_to(ROOT))
        sys.stderr.writelines(
            difflib.unified_diff(present.splitlines(True), wanted.splitlines(True), name, f"{name} (generated)", n=1)
        )
    if stale:
        sys.stderr.write("documentation is out of date: run make docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
