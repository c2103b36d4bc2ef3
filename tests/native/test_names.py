"""Names that mean something else than usual: types that search_path hides, servers of other wrappers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar
from tests.sql.helpers import refused


@pytest.fixture
def schema(db: Connection) -> Iterator[Connection]:
    db.execute("drop schema if exists names cascade; create schema names")
    yield db
    db.execute("reset search_path; drop schema names cascade")


def test_types_that_hide_those_of_postgresql(schema: Connection, sim: Simulator) -> None:
    expected = scalar(schema, "select count(*) from customerio.campaigns where tags is not null and name <> 'x'")
    schema.execute("create type names.text as (n int); create type names.jsonb as enum ('a')")
    schema.execute("set search_path = names, pg_catalog")
    query = "select count(*) from customerio.campaigns where tags is not null and name <> 'x'::pg_catalog.text"
    assert scalar(schema, query) == expected > 0


def test_types_that_look_like_those_of_postgresql(schema: Connection, sim: Simulator) -> None:
    schema.execute("create domain names.text as pg_catalog.text")
    schema.execute("set search_path = names, pg_catalog")
    schema.execute(
        "create foreign table names.c (id bigint, name text) server customerio options (endpoint 'campaigns')"
    )
    with refused("HV004") as caught:
        schema.execute("select name from names.c")
    assert 'column "name" of foreign table "c" is names.text, but must be text' in str(caught.value)


def test_the_cache_of_a_server_of_another_wrapper(db: Connection) -> None:
    db.execute("create foreign data wrapper dummy; create server other foreign data wrapper dummy")
    try:
        with refused("42809") as caught:
            db.execute("select cio_fdw_cache_clear('other')")
        assert caught.value.diag.message_primary == '"other" is not a server of cio_fdw'
    finally:
        db.execute("drop foreign data wrapper dummy cascade")


def test_the_cache_of_a_server_of_a_wrapper_with_another_name(db: Connection) -> None:
    db.execute("create foreign data wrapper ours handler cio_fdw_handler validator cio_fdw_validator")
    try:
        db.execute("create server mine foreign data wrapper ours")
        assert scalar(db, "select cio_fdw_cache_clear('mine')") == 0
    finally:
        db.execute("drop foreign data wrapper ours cascade")
