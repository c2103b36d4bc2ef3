"""The SQL of docs/quickstart.md, or of docs/multicorn.md, run as it stands, on the simulator instead of a region."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator


@pytest.fixture
def empty_database(cluster: Cluster):
    with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
        connection.execute("create database quickstart")
        yield cluster.socket_url("quickstart")
        connection.execute("drop database quickstart with (force)")


def test_statements_of_the_page(empty_database: str, sim: Simulator, is_multicorn: bool) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / ("multicorn.md" if is_multicorn else "quickstart.md")
    blocks = re.findall(r"^( *)```sql\n(.*?)```", page.read_text(), re.DOTALL | re.MULTILINE)
    (script,) = (text for _, text in blocks if "CREATE SERVER" in text)
    assert "region 'us'" in script
    assert "'…'" in script
    script = script.replace("region 'us'", f"base_url '{sim.url}'").replace("'…'", f"'{sim.key}'")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                last = connection.execute(statement)
        shown = last.fetchall() if last.description else connection.execute("table customerio.campaigns").fetchall()
        assert len(shown) == 12
