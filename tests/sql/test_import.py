"""IMPORT FOREIGN SCHEMA makes the tables of the catalog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.own_tables import OWN_TABLES
from tests.sql.helpers import Connection, refused, rows

USUAL = {endpoint.name for endpoint in ENDPOINTS.values() if not endpoint.by_page}


@pytest.fixture
def schema(db: Connection) -> Iterator[str]:
    name = '"Odd ""schema"'
    db.execute(f"create schema {name}")
    yield name
    db.execute(f"drop schema {name} cascade")


def tables(db: Connection, schema: str) -> set[str]:
    return {row[0] for row in rows(db, "select relname from pg_class where relnamespace = %s::regnamespace", [schema])}


def test_all(db: Connection, schema: str) -> None:
    db.execute(f"import foreign schema customerio from server customerio into {schema}")
    assert tables(db, schema) == {*USUAL, *OWN_TABLES}


def test_limit_to_and_except(db: Connection, schema: str) -> None:
    db.execute(f"import foreign schema customerio limit to (campaigns) from server customerio into {schema}")
    assert tables(db, schema) == {"campaigns"}
    db.execute(f"import foreign schema customerio limit to (_requests) from server customerio into {schema}")
    assert tables(db, schema) == {"campaigns", "_requests"}
    db.execute(f"drop foreign table {schema}._requests")
    db.execute(f"import foreign schema customerio except (campaigns) from server customerio into {schema}")
    assert tables(db, schema) == {*USUAL, *OWN_TABLES}


def test_columns_have_the_types_of_the_catalog(db: Connection) -> None:
    for endpoint in (*(ENDPOINTS[name] for name in USUAL), *OWN_TABLES.values()):
        found = rows(
            db,
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = %s::regclass and attnum > 0 order by attnum",
            [f"customerio.{endpoint.name}"],
        )
        names = {"timestamptz": "timestamp with time zone", "bool": "boolean", "float8": "double precision"}
        assert found == [(column.name, names.get(column.type, column.type)) for column in endpoint.all_columns]


def test_a_server_name_that_needs_quotes(db: Connection, schema: str) -> None:
    name = '"It\'s ""odd"""'
    db.execute(f"create server {name} foreign data wrapper cio_fdw options (region 'eu')")
    try:
        db.execute(f"import foreign schema customerio from server {name} into {schema}")
        assert tables(db, schema) == {*USUAL, *OWN_TABLES}
    finally:
        db.execute(f"drop server {name} cascade")


def test_importing_twice_says_that_the_table_exists(db: Connection) -> None:
    with refused("42P07"):
        db.execute("import foreign schema customerio from server customerio into customerio")
