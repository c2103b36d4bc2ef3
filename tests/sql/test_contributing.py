"""docs/contributing.md: the entry that it adds, in a copy of the package, is all that a new table takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator import client
from cio_fdw.simulator.client import Simulator
from tests.conftest import SETTINGS
from tests.doors import create_wrapper, door_environment, make_cluster
from tests.sql.helpers import asked

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text()
DATABASE = "contributing"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """A checkout with the entry of the page; the server's user can read it, whose backends import it."""
    with tempfile.TemporaryDirectory(prefix="cio_copy") as name:
        copy = Path(name)
        copy.chmod(0o755)
        for part in ("cio_fdw", "docs", "sql", "tools"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "cio_fdw" / "catalog" / "broadcast_triggers.py").write_text(block("python"))
        yield copy


@pytest.fixture(scope="module")
def python(copy: Path) -> Path:
    """An interpreter that finds the copy first, and what the package needs where the tests have it."""
    environment = copy / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "copy.pth").write_text(f"{copy}\n{sysconfig.get_path('purelib')}\n")
    return environment / "bin" / "python"


@pytest.fixture
def api(copy: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.chdir(copy)
    monkeypatch.setattr(client, "PACKAGE_ROOT", str(copy))
    with Simulator(python=str(python), messages=0, campaigns=40, rate=0) as running:
        yield running


@pytest.fixture
def server(cluster: Cluster, copy: Path, is_multicorn: bool) -> Iterator[Cluster]:
    """The native host is told of the copy by a setting; Multicorn's server has it first in its Python path."""
    if not is_multicorn:
        yield cluster
        return
    path = os.pathsep.join((str(copy), door_environment()["PYTHONPATH"]))
    with make_cluster(cluster.bin_dir, settings=SETTINGS, env={"PYTHONPATH": path}) as other:
        yield other


@pytest.fixture
def session(server: Cluster, python: Path, api: Simulator) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.socket_url(), autocommit=True) as connection:
        connection.execute(f"create database {DATABASE}")
        with psycopg.connect(server.socket_url(DATABASE), autocommit=True) as session:
            session.execute("select set_config('cio_fdw.python', %s, false)", [str(python)])
            create_wrapper(session)
            session.execute("create schema customerio")
            session.execute(f"create server customerio foreign data wrapper cio_fdw options (base_url '{api.url}')")
            session.execute(f"create user mapping for current_user server customerio options (app_api_key '{api.key}')")
            yield session
        connection.execute(f"drop database {DATABASE} with (force)")


def test_one_entry_makes_a_table(session: psycopg.Connection[Any], api: Simulator) -> None:
    imported, select, join = (part for part in block("sql").split(";\n") if part)
    session.execute(imported)
    found = session.execute(select).fetchall()
    assert [(row[0], row[1].timestamp(), row[2] and row[2].timestamp()) for row in found] == [
        (2, 1767225600, 1767225605),
        (3, 1767312000, None),
    ]
    assert asked(api) == ["/v1/broadcasts/41/triggers"]
    assert session.execute(join).fetchall() == [(2,)]
    assert asked(api)[1:] == ["/v1/broadcasts/41", "/v1/broadcasts/41/triggers"]


def test_make_docs_knows_it(copy: Path, python: Path) -> None:
    subprocess.run([python, "tools/docs.py"], cwd=copy, check=True, timeout=120)
    assert "\n## broadcast_triggers\n" in (copy / "docs" / "tables.md").read_text()
    assert "'broadcast_triggers', 'snapshot'" in (copy / "sql" / "cio_sync" / "05_endpoints.sql").read_text()
