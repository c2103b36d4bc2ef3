"""JDBC: the catalog calls that Metabase, DBeaver and Tableau make before they show a table. None asks the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.own_tables import OWN_TABLES
from cio_fdw.simulator.client import Simulator
from tests.clients.jdbc import Connect, java, jdbc, table
from tests.sql.helpers import asked

__all__ = ["java", "jdbc"]

FOREIGN = {*ENDPOINTS, *OWN_TABLES} - {"activities_by_page"}
JAVA_TYPES = {
    "bigint": -5, "text": 12, "bool": -7, "timestamptz": 93, "jsonb": 1111, "double precision": 8, "text[]": 2003,
    "integer": 4,
}  # fmt: skip
"""java.sql.Types by the type in the catalog."""


def lower(result: Any) -> list[dict[str, Any]]:
    """Releases of the driver differ in the case of some names."""
    return [{name.lower(): value for name, value in row.items()} for row in table(result)]


@pytest.fixture
def about(jdbc: Connect, sim: Simulator) -> Iterator[Any]:
    """DatabaseMetaData; whatever a test asks of it, the API is asked nothing."""
    connection = jdbc()
    sim.reset()
    yield connection.getMetaData()
    assert asked(sim) == []


@pytest.mark.parametrize(
    "types",
    [
        ["TABLE", "PARTITIONED TABLE", "VIEW", "FOREIGN TABLE", "MATERIALIZED VIEW"],  # Metabase
        None,  # DBeaver's generic driver
        ["FOREIGN TABLE"],
    ],
    ids=["metabase", "all", "only foreign"],
)
def test_tables_with_their_comments(about: Any, types: Any) -> None:
    found = {row["TABLE_NAME"]: row for row in table(about.getTables(None, "customerio", "%", types))}
    assert set(found) == FOREIGN
    assert {row["TABLE_TYPE"] for row in found.values()} == {"FOREIGN TABLE"}
    assert found["messages"]["REMARKS"] == ENDPOINTS["messages"].doc


def test_a_tool_that_asks_for_tables_and_views_only_finds_none(about: Any) -> None:
    assert table(about.getTables(None, "customerio", "%", ["TABLE", "VIEW"])) == []


def test_table_types_name_foreign_tables(about: Any) -> None:
    assert {"TABLE_TYPE": "FOREIGN TABLE"} in table(about.getTableTypes())


def test_schemas_and_catalogs(about: Any) -> None:
    assert "customerio" in {row["table_schem"] for row in lower(about.getSchemas())}
    assert len(table(about.getCatalogs())) >= 1


def test_columns_of_every_table(about: Any) -> None:
    listed = table(about.getColumns(None, "customerio", "%", "%"))
    for name in sorted(FOREIGN & set(ENDPOINTS)):
        rows = [row for row in listed if row["TABLE_NAME"] == name]
        declared = ENDPOINTS[name].all_columns
        assert [row["COLUMN_NAME"] for row in rows] == [column.name for column in declared]
        assert [row["REMARKS"] for row in rows] == [column.doc for column in declared]
        assert [row["DATA_TYPE"] for row in rows] == [JAVA_TYPES[column.type] for column in declared]
        assert [row["ORDINAL_POSITION"] for row in rows] == list(range(1, len(declared) + 1))
        assert {row["IS_AUTOINCREMENT"] for row in rows} == {"NO"}


def test_keys_and_indexes_are_empty_and_no_error(about: Any) -> None:
    for result in (
        about.getPrimaryKeys(None, "customerio", "messages"),
        about.getImportedKeys(None, "customerio", "messages"),
        about.getExportedKeys(None, "customerio", "messages"),
        about.getCrossReference(None, "customerio", "campaigns", None, "customerio", "messages"),
        about.getIndexInfo(None, "customerio", "messages", False, True),
        about.getBestRowIdentifier(None, "customerio", "messages", 2, True),
    ):
        assert table(result) == []


def test_privileges_are_listed(about: Any) -> None:
    granted = {row["PRIVILEGE"] for row in table(about.getTablePrivileges(None, "customerio", "messages"))}
    assert "SELECT" in granted


def test_the_version_column_is_none_of_ours(about: Any) -> None:
    """The driver names ctid of every table; that of a foreign table tells nothing."""
    (row,) = table(about.getVersionColumns(None, "customerio", "messages"))
    assert (row["COLUMN_NAME"], row["PSEUDO_COLUMN"]) == ("ctid", 2)


def test_types_and_functions(about: Any) -> None:
    names = {row["TYPE_NAME"] for row in table(about.getTypeInfo())}
    assert {"int8", "text", "timestamptz", "jsonb", "bool"} <= names
    assert "cio_fdw_handler" in {row["function_name"] for row in lower(about.getFunctions(None, None, "cio%"))}
    assert {row["type_name"] for row in lower(about.getUDTs(None, "customerio", "%", None))} == FOREIGN
    assert table(about.getProcedures(None, "customerio", "%")) == []


def test_describing_a_statement_asks_nothing(jdbc: Connect, sim: Simulator) -> None:
    """Metabase and Tableau learn the columns of a custom query from a prepared statement, or from LIMIT 0."""
    connection = jdbc()
    statement = connection.prepareStatement("select id, created, raw from customerio.messages where created > ?")
    described = statement.getMetaData()
    assert [str(described.getColumnTypeName(number)) for number in (1, 2, 3)] == ["text", "timestamptz", "jsonb"]
    assert str(statement.getParameterMetaData().getParameterTypeName(1)) == "timestamptz"
    for query in ("select * from customerio.messages limit 0", "select * from customerio.messages where 1 = 0"):
        assert table(connection.createStatement().executeQuery(query)) == []
    assert asked(sim) == []


METABASE_DESCRIBES = """
select n.nspname as "schema", c.relname as name,
       case c.relkind when 'r' then 'TABLE' when 'p' then 'PARTITIONED TABLE' when 'v' then 'VIEW'
                      when 'f' then 'FOREIGN TABLE' when 'm' then 'MATERIALIZED VIEW' end as "type",
       d.description as description, stat.n_live_tup as estimated_row_count
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on c.relnamespace = n.oid
left join pg_catalog.pg_description d on c.oid = d.objoid and d.objsubid = 0 and d.classoid = 'pg_class'::regclass
left join pg_stat_user_tables stat on n.nspname = stat.schemaname and c.relname = stat.relname
where c.relnamespace = n.oid and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and c.relkind in ('r', 'p', 'v', 'f', 'm') and n.nspname = ?
"""
DBEAVER_LISTS = """
select c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,
       pg_catalog.pg_get_partkeydef(c.oid) as partition_key
from pg_catalog.pg_class c
left outer join pg_catalog.pg_description d on d.objoid = c.oid and d.objsubid = 0 and d.classoid = 'pg_class'::regclass
where c.relnamespace = ?::regnamespace and c.relkind not in ('i', 'I', 'c')
"""


@pytest.mark.parametrize(("query", "column"), [(METABASE_DESCRIBES, "name"), (DBEAVER_LISTS, "relname")])
def test_catalog_queries_in_the_manner_of_metabase_and_dbeaver(
    jdbc: Connect, sim: Simulator, query: str, column: str
) -> None:
    statement = jdbc().prepareStatement(query)
    statement.setString(1, "customerio")
    found = {row[column]: row["description"] for row in table(statement.executeQuery())}
    assert set(found) == FOREIGN
    assert found["messages"] == ENDPOINTS["messages"].doc
    assert asked(sim) == []


def test_what_dbeaver_reads_of_foreign_tables(jdbc: Connect, sim: Simulator, simulator: Simulator) -> None:
    query = """select fs.srvname, array_to_string(ft.ftoptions, ',') as options, fs.srvoptions::text as server_options
        from pg_catalog.pg_foreign_table ft join pg_catalog.pg_foreign_server fs on ft.ftserver = fs.oid
        where ft.ftrelid = 'customerio.messages'::regclass"""
    (row,) = table(jdbc().createStatement().executeQuery(query))
    assert (row["srvname"], row["options"]) == ("customerio", "endpoint=messages")
    assert simulator.key not in row["server_options"]
    assert asked(sim) == []
