"""Databases that are not UTF-8: data, names and messages cross in the right encoding."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.doors import create_wrapper
from tests.native.backend import Connection, scalar

ID = 990_001
NAME = "Café ñandú"


@pytest.fixture(params=["UTF8", "LATIN1", "WIN1252", "SQL_ASCII"])
def foreign(cluster: Cluster, sim: Simulator, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A database of that encoding with the extension, a server named sé and one campaign with an accent."""
    sim.put_rows("campaigns", [{**sim.data("campaigns")[0], "id": ID, "name": NAME, "tags": ["é"]}])
    name = f"native_{request.param.lower()}"
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute(f"create database {name} encoding {request.param} locale 'C' template template0")
        with psycopg.connect(cluster.socket_url(name), autocommit=True, client_encoding="utf8") as db:
            create_wrapper(db)
            db.execute(f"""
                create server "sé" foreign data wrapper cio_fdw options (base_url '{sim.url}');
                create user mapping for current_user server "sé" options (app_api_key '{sim.key}');
                create schema "schéma";
                import foreign schema customerio from server "sé" into "schéma";
                set search_path = "schéma", public""")
            yield db
        admin.execute(f"drop database {name}")
        sim.delete_row("campaigns", ID)


def test_data_and_names(foreign: Connection) -> None:
    found = foreign.execute("select name, tags, raw ->> 'name' from campaigns where id = %s", [ID]).fetchall()
    assert found == [(NAME, ["é"], NAME)]
    assert scalar(foreign, f"select count(*) from campaigns where name = '{NAME}'") == 1


def test_a_message_names_table_and_column(foreign: Connection) -> None:
    foreign.execute(
        """create foreign table "té" (id bigint, "naïve" text) server "sé" options (endpoint 'campaigns')"""
    )
    with pytest.raises(psycopg.Error) as caught:
        foreign.execute('select * from "té"')
    assert 'foreign table "té" has a column "naïve"' in str(caught.value)
    assert 'ALTER FOREIGN TABLE "té" DROP COLUMN "naïve"' in str(caught.value)


def test_a_character_that_the_database_lacks_names_the_column(foreign: Connection, sim: Simulator) -> None:
    sim.put_rows("campaigns", [{**sim.data("campaigns")[0], "id": ID, "name": "日本"}])
    if scalar(foreign, "show server_encoding") in ("UTF8", "SQL_ASCII"):
        assert scalar(foreign, f"select name from campaigns where id = {ID}") == "日本"
        return
    foreign.execute('alter foreign table campaigns rename to "été"')
    with pytest.raises(psycopg.errors.UntranslatableCharacter) as caught:
        foreign.execute('select name from "été"')
    assert caught.value.diag.context == 'column "name" of foreign table "été"'
