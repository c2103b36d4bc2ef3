"""The interpreter: settings that are wrong, and PL/Python in the same session."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar

HANGING = "select count(*) from customerio.messages where campaign_id = 3"
COUNT = "select count(*) from customerio.campaigns"
HINT = "Check the setting cio_fdw.python and that the package cio_fdw is installed for it."


@pytest.mark.parametrize("path", ["/no/such/python", "", "relative/python"])
def test_a_path_without_interpreter_is_told_and_can_be_corrected(db: Connection, sim: Simulator, path: str) -> None:
    db.execute("select set_config('cio_fdw.python', %s, false)", [path])
    for _ in range(2):
        with pytest.raises(psycopg.Error) as caught:
            db.execute(COUNT)
        assert caught.value.sqlstate == "58P01"
        assert f'cannot run the Python interpreter "{path}": No such file' in str(caught.value)
        assert f"Set cio_fdw.python to a Python {sys.version_info[0]}.{sys.version_info[1]}" in str(caught.value)
    db.execute("reset cio_fdw.python")
    assert scalar(db, COUNT) > 0


def test_an_interpreter_without_the_package_is_told_and_can_be_corrected(db: Connection, sim: Simulator) -> None:
    # It can be executed, and near it lies no environment that has the package.
    db.execute("set cio_fdw.python = '/bin/true'")
    for _ in range(2):
        with pytest.raises(psycopg.Error) as caught:
            db.execute(COUNT)
        assert caught.value.diag.message_primary == "No module named 'cio_fdw'"
        assert caught.value.diag.message_hint == HINT
    db.execute("reset cio_fdw.python")
    assert scalar(db, COUNT) > 0


PL_FUNCTIONS = """
    create function native_py_count() returns bigint language plpython3u as $$
        return plpy.execute("select count(*) as n from customerio.campaigns")[0]["n"] $$;
    create function native_py_cursor() returns bigint language plpython3u as $$
        rows = plpy.cursor("select id from customerio.messages")
        return len(rows.fetch(1200)) $$;
    create function native_py_state(query text) returns text language plpython3u as $$
        try:
            with plpy.subtransaction():
                plpy.execute(query)
        except plpy.SPIError as error:
            return error.sqlstate
        return "00000" $$"""


@pytest.fixture(scope="module")
def plpython(database: str) -> Iterator[str]:
    with psycopg.connect(database, autocommit=True) as connection:
        if not scalar(connection, "select count(*) from pg_available_extensions where name = 'plpython3u'"):
            pytest.skip("PL/Python is not installed in the server under test (extension plpython3u)")
        if sys.version_info >= (3, 12):
            pytest.skip("PL/Python cannot join an interpreter that runs already from Python 3.12 on")
        connection.execute("create extension if not exists plpython3u")
        connection.execute(PL_FUNCTIONS)
        yield database
        connection.execute("drop extension plpython3u cascade")


@pytest.mark.parametrize("first", ["select native_py_state('select 1')", COUNT])
def test_pl_python_in_the_same_session(plpython: str, sim: Simulator, first: str) -> None:
    with psycopg.connect(plpython, autocommit=True) as db:
        scalar(db, first)
        campaigns = scalar(db, COUNT)
        sim.faults(
            [{"match": {"path": "/messages", "param": {"campaign_id": "3"}}, "times": None, "action": {"kind": "hang"}}]
        )
        for _ in range(3):
            assert scalar(db, "select native_py_count()") == campaigns
            assert scalar(db, "select native_py_cursor()") == 1200
            assert scalar(db, "select native_py_state('select 1 / (id - id) from customerio.campaigns')") == "22012"
            db.execute("set statement_timeout = '150ms'")
            assert scalar(db, "select native_py_state(%s)", [HANGING]) == "57014"
            db.execute("set statement_timeout = 0")
        assert scalar(db, COUNT) == campaigns
