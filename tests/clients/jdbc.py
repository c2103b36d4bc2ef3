"""The PostgreSQL JDBC driver, called from Python: one Java machine for the session.

jdbc   test   jdbc(prepareThreshold="5") is a java.sql.Connection to the database under test; closed after the test
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import jpype
import pytest

from cio_fdw.server.cluster import SUPERUSER, Cluster
from cio_fdw.simulator.client import Simulator
from tests.conftest import DATABASE

DRIVER = Path("/usr/share/java/postgresql.jar")
Connect = Callable[..., Any]


@pytest.fixture(scope="session")
def java() -> Any:
    """The package tree of a running Java machine, which cannot be started twice."""
    assert DRIVER.is_file(), f"{DRIVER} is missing: apt-get install libpostgresql-jdbc-java"
    if not jpype.isJVMStarted():
        # -Xrs: signals stay with pytest.
        jpype.startJVM("-Xrs", "-Duser.timezone=America/New_York", classpath=[str(DRIVER)])
    return jpype.java


@pytest.fixture
def jdbc(java: Any, cluster: Cluster, database: str, sim: Simulator) -> Iterator[Connect]:
    opened: list[Any] = []
    _, _, rest = cluster.url(DATABASE).partition("://")
    credentials, _, place = rest.partition("@")

    def connect(**properties: str) -> Any:
        wanted = java.util.Properties()
        for name, text in {"user": SUPERUSER, "password": credentials.partition(":")[2], **properties}.items():
            wanted.setProperty(name, text)
        connection = java.sql.DriverManager.getConnection(f"jdbc:postgresql://{place}", wanted)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def table(result: Any) -> list[dict[str, Any]]:
    """Every row of a java.sql.ResultSet, text and numbers as Python's."""
    about = result.getMetaData()
    names = [str(about.getColumnLabel(number)) for number in range(1, about.getColumnCount() + 1)]
    found: list[dict[str, Any]] = []
    while result.next():
        values = [result.getObject(number) for number in range(1, len(names) + 1)]
        found.append({name: plain(value) for name, value in zip(names, values)})
    result.close()
    return found


def plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, jpype.java.lang.Boolean):
        return bool(value)
    if isinstance(value, jpype.java.lang.Number):
        return int(value.longValue())
    return str(value)
