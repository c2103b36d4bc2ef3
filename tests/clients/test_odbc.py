"""psqlODBC, through pyodbc and isql: catalog calls as Power BI and Tableau make them, parameters, and cursors."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Callable

import pyodbc
import pytest
from psycopg.conninfo import conninfo_to_dict

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.own_tables import OWN_TABLES
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.clients.days import DAY, EARLY, LATE, NEXT, PAST
from tests.clients.seen import between, held, only_times, paths
from tests.conftest import DATABASE
from tests.sql.helpers import asked

FOREIGN = {*ENDPOINTS, *OWN_TABLES} - {"activities_by_page"}
DRIVER = "PostgreSQL Unicode"
COUNT = "select count(*) from customerio.messages where created >= ? and created < ?"
ODBC_TYPES = {
    "bigint": "int8", "text": "text", "bool": "bool", "jsonb": "jsonb", "text[]": "_text", "timestamptz": "timestamptz",
}  # fmt: skip
Connect = Callable[..., pyodbc.Connection]


@pytest.fixture
def attributes(cluster: Cluster, database: str, sim: Simulator) -> dict[str, str]:
    """What a connection string of the driver, or a section of odbc.ini, holds."""
    where = conninfo_to_dict(cluster.url(DATABASE))
    return {
        "Driver": DRIVER,
        "Servername": str(where["host"]),
        "Port": str(where["port"]),
        "Database": DATABASE,
        "Username": str(where["user"]),
        "Password": str(where["password"]),
    }


@pytest.fixture
def odbc(attributes: dict[str, str]) -> Iterator[Connect]:
    opened: list[pyodbc.Connection] = []

    def connect(**more: str) -> pyodbc.Connection:
        text = ";".join(f"{name}={value}" for name, value in {**attributes, **more}.items())
        connection = pyodbc.connect(text.replace("Username=", "UID=").replace("Password=", "PWD="), autocommit=True)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def test_tables_of_a_schema(odbc: Connect, sim: Simulator) -> None:
    listed = {row.table_name: row for row in odbc().cursor().tables(schema="customerio")}
    assert set(listed) == FOREIGN
    assert {row.table_type for row in listed.values()} == {"FOREIGN TABLE"}
    assert asked(sim) == []


@pytest.mark.parametrize("types", ["TABLE,VIEW", "'TABLE','VIEW'", "FOREIGN TABLE", "VIEW"])
def test_tables_by_type(odbc: Connect, sim: Simulator, types: str) -> None:
    """To this driver a foreign table is a TABLE too."""
    listed = {row.table_name for row in odbc().cursor().tables(schema="customerio", tableType=types)}
    assert listed == (set() if types == "VIEW" else FOREIGN)
    assert asked(sim) == []


def test_columns_of_every_table(odbc: Connect, sim: Simulator) -> None:
    cursor = odbc().cursor()
    for name in sorted(FOREIGN & set(ENDPOINTS)):
        rows = cursor.columns(schema="customerio", table=name).fetchall()
        declared = ENDPOINTS[name].all_columns
        assert [row.column_name for row in rows] == [column.name for column in declared]
        assert [row.type_name for row in rows] == [ODBC_TYPES[column.type] for column in declared]
    assert asked(sim) == []


def test_other_catalog_calls_are_empty_and_no_error(odbc: Connect, sim: Simulator) -> None:
    cursor = odbc().cursor()
    assert cursor.primaryKeys("messages", schema="customerio").fetchall() == []
    assert cursor.foreignKeys(table="messages", schema="customerio").fetchall() == []
    assert [row for row in cursor.statistics("messages", schema="customerio") if row.index_name] == []
    assert len(cursor.getTypeInfo().fetchall()) > 10
    assert asked(sim) == []


@pytest.mark.parametrize("query", ["select * from customerio.messages limit 0",
                                   "select * from customerio.messages where 1 = 0"])  # fmt: skip
def test_describing_a_query_asks_nothing(odbc: Connect, sim: Simulator, query: str) -> None:
    cursor = odbc().cursor().execute(query)
    assert [one[0] for one in cursor.description] == [column.name for column in ENDPOINTS["messages"].all_columns]
    assert cursor.fetchall() == []
    assert asked(sim) == []


@pytest.mark.parametrize("prepare", ["0", "1"], ids=["client-side", "server-side"])
@pytest.mark.parametrize(
    ("first", "last"),
    [tuple(map(kind.fromisoformat, (DAY, NEXT))) for kind in (datetime, date)],
    ids=["timestamp", "date"],
)
def test_times_as_parameters(odbc: Connect, sim: Simulator, prepare: str, first: date, last: date) -> None:
    """Again and again: the server's generic plan comes after five runs. ODBC's times know no zone: the session's."""
    cursor = odbc(UseServerSidePrepare=prepare, ConnSettings="set timezone = 'UTC'").cursor()
    for _ in range(8):
        sim.reset()
        (counted,) = cursor.execute(COUNT, first, last).fetchone()
        assert only_times(sim) == between(DAY, NEXT)
        assert counted == held(sim, DAY, NEXT)


@pytest.mark.parametrize("prepare", ["0", "1"], ids=["client-side", "server-side"])
def test_ids_and_texts_as_parameters(odbc: Connect, sim: Simulator, prepare: str) -> None:
    cursor = odbc(UseServerSidePrepare=prepare).cursor()
    for number in range(1, 9):
        sim.reset()
        query = "select distinct campaign_id from customerio.campaign_actions where campaign_id = ?"
        assert [row[0] for row in cursor.execute(query, number)] == [number]
        assert paths(sim) == {f"/v1/campaigns/{number}/actions"}
    sim.reset()
    query = "select count(*) from customerio.messages where type = ? and created < ?"
    assert cursor.execute(query, "email", datetime.fromisoformat(DAY)).fetchone()[0] > 0
    assert all("type=email" in target for target in asked(sim))


def test_literals_in_the_escapes_of_odbc(odbc: Connect, sim: Simulator) -> None:
    """Power BI and Tableau may write {ts '…'} and {d '…'}, which the driver makes into PostgreSQL's."""
    cursor = odbc(ConnSettings="set timezone = 'UTC'").cursor()
    for first, last in (
        (f"{{ts '{DAY} 00:00:00'}}", f"{{ts '{NEXT} 00:00:00'}}"),
        (f"{{d '{DAY}'}}", f"{{d '{NEXT}'}}"),
    ):
        sim.reset()
        query = f"select count(*) from customerio.messages where created >= {first} and created < {last}"
        (counted,) = cursor.execute(query).fetchone()
        assert only_times(sim) == between(DAY, NEXT)
        assert counted == held(sim, DAY, NEXT)


def test_declare_fetch_asks_as_it_reads(odbc: Connect, sim: Simulator) -> None:
    cursor = odbc(UseDeclareFetch="1", Fetch="100").cursor()
    cursor.execute(f"select id from customerio.messages where {PAST}")
    first = [cursor.fetchone()[0] for _ in range(10)]
    partly = len(asked(sim))
    found = [*first, *(row[0] for row in cursor)]
    assert 1 <= partly < len(asked(sim))
    assert len(set(found)) == len(found) == held(sim, EARLY, LATE)


def test_without_declare_fetch_all_is_read_first(odbc: Connect, sim: Simulator) -> None:
    cursor = odbc(UseDeclareFetch="0").cursor()
    cursor.execute(f"select id from customerio.messages where {PAST}")
    sent = len(asked(sim))
    assert len(cursor.fetchall()) == held(sim, EARLY, LATE)
    assert len(asked(sim)) == sent > 1


def test_values_of_every_type(odbc: Connect, sim: Simulator) -> None:
    cursor = odbc(ConnSettings="set timezone = 'UTC'", BoolsAsChar="0").cursor()
    cursor.execute("select id, name, active, created, tags, raw from customerio.campaigns where id = 7")
    id_, name, active, created, tags, raw = cursor.fetchone()
    sent = next(row for row in sim.data("campaigns") if row["id"] == 7)
    assert (id_, name, bool(active)) == (7, sent["name"], sent["active"])
    assert created == datetime.utcfromtimestamp(sent["created"])  # noqa: DTZ004
    assert tags.replace('"', "") == "{" + ",".join(sent["tags"] or []) + "}"
    assert '"id": 7' in raw


@pytest.fixture
def hanging(sim: Simulator) -> Simulator:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    return sim


def test_a_statement_timeout_and_the_connection_after_it(odbc: Connect, hanging: Simulator) -> None:
    """SQL_ATTR_CONNECTION_TIMEOUT, which pyodbc's `timeout` is, this driver refuses; the server's setting does it."""
    connection = odbc(ConnSettings="set statement_timeout = '1s'")
    with pytest.raises(pyodbc.Error, match="canceling statement due to statement timeout"):
        connection.cursor().execute("select id from customerio.messages")
    connection.cursor().execute("set statement_timeout = 0")  # a busy machine may need the second for the next one
    assert connection.cursor().execute("select count(*) from customerio.campaigns").fetchone()[0] == 12


def test_cancel_from_another_thread(odbc: Connect, hanging: Simulator) -> None:
    connection = odbc()
    cursor = connection.cursor()

    def cancel() -> None:
        while not asked(hanging):
            time.sleep(0.01)
        cursor.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(pyodbc.Error, match="canceling statement due to user request"):
        cursor.execute("select id from customerio.messages")
    thread.join(10)
    assert connection.cursor().execute("select count(*) from customerio.campaigns").fetchone()[0] == 12


def test_an_error_of_the_api_has_its_state(odbc: Connect, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "status", "status": 403}}])
    connection = odbc()
    with pytest.raises(pyodbc.Error) as caught:
        connection.cursor().execute("select * from customerio.segments")
    assert caught.value.args[0] == "42501"
    assert "Give the key the scope" in caught.value.args[1] or "is not allowed" in caught.value.args[1]
    assert connection.cursor().execute("select 1").fetchone()[0] == 1


def test_isql_with_a_data_source(attributes: dict[str, str], sim: Simulator, tmp_path: Path) -> None:
    lines = [f"{name} = {value}" for name, value in attributes.items()]
    (tmp_path / "odbc.ini").write_text("\n".join(["[customerio]", *lines, ""]))
    done = subprocess.run(
        ["isql", "-b", "-d,", "customerio"],
        input="select id, name from customerio.campaigns where id = 7\n",
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ODBCINI": str(tmp_path / "odbc.ini")},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    name = next(row["name"] for row in sim.data("campaigns") if row["id"] == 7)
    assert f"7,{name}" in done.stdout
    assert asked(sim) == ["/v1/campaigns/7"]
