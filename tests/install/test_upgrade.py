"""From an older version of cio_fdw, with data in place: the hint, and that the update equals a fresh installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cio_fdw import __version__
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator

OLD = "0.0.1"
LATER_PART = ("create function cio_fdw_cache_clear(server name)", "create foreign data wrapper cio_fdw")
"""Of the script: what the old version lacks and its delta brings."""
HINT = "ALTER EXTENSION cio_fdw UPDATE;"
USERS_OBJECTS = """
    select 'server', srvname::text, srvoptions::text from pg_foreign_server
    union all select 'mapping', umuser::regrole::text, umoptions::text from pg_user_mapping
    union all select 'table', ftrelid::regclass::text, ftoptions::text from pg_foreign_table
    union all select 'view', viewname::text, definition from pg_views where schemaname = 'public'
    order by 1, 2"""
MEMBERS = """
    with member as (
        select classid, objid from pg_depend
        where deptype = 'e' and refclassid = 'pg_extension'::regclass
            and refobjid = (select oid from pg_extension where extname = 'cio_fdw'))
    select pg_describe_object(classid, objid, 0), obj_description(objid, classid::regclass::name), null from member
    union all
    select pg_get_functiondef(oid), coalesce(proacl, acldefault('f', proowner))::text, proowner::regrole::text
    from pg_proc where oid in (select objid from member where classid = 'pg_proc'::regclass)
    union all
    select concat_ws(' ', fdwname, fdwhandler::regproc, fdwvalidator::regproc, fdwoptions),
        coalesce(fdwacl, acldefault('F', fdwowner))::text, fdwowner::regrole::text
    from pg_foreign_data_wrapper where fdwname = 'cio_fdw'
    union all
    select concat_ws(' ', extname, extversion, extconfig, extcondition), null, null from pg_extension
    where extname = 'cio_fdw'
    order by 1, 2, 3"""


@pytest.fixture
def old_version(pg_config: Path) -> Iterator[None]:
    """An older script and the delta from it, beside the installed ones."""
    directory = installation(pg_config).extension_dir
    text = (directory / f"cio_fdw--{__version__}.sql").read_text()
    begin, end = (text.index(mark) for mark in LATER_PART)
    files = {
        directory / f"cio_fdw--{OLD}.sql": text[:begin] + text[end:],
        directory / f"cio_fdw--{OLD}--{__version__}.sql": text[begin:end],
    }
    try:
        try:
            for path, script in files.items():
                path.write_text(script)
        except PermissionError:
            pytest.skip(f"the server's directory {directory} is not writable")
        yield
    finally:
        for path in files:
            path.unlink(missing_ok=True)


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute("create database cio_upgraded")
        yield cluster.socket_url("cio_upgraded")
        admin.execute("drop database cio_upgraded with (force)")


class Session:
    """A new session; `told`: the message and hint of each warning."""

    def __init__(self, address: str) -> None:
        self.told: list[tuple[str, str]] = []
        self.db = psycopg.connect(address, autocommit=True)
        self.db.add_notice_handler(lambda said: self.told.append((said.message_primary or "", said.message_hint or "")))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.db.execute(sql.SQL(query)).fetchall()


def set_up_by_hand(db: psycopg.Connection[Any], sim: Simulator) -> None:
    db.execute(f"create server customerio foreign data wrapper cio_fdw options (base_url '{sim.url}')")
    db.execute(f"create user mapping for current_user server customerio options (app_api_key '{sim.key}')")
    db.execute("create schema customerio")
    db.execute("import foreign schema customerio from server customerio into customerio")
    db.execute("create view names as select id, name from customerio.campaigns")
    db.execute("create materialized view list as select * from customerio.campaigns")


@pytest.mark.usefixtures("old_version")
def test_an_update_with_data_in_place_equals_a_fresh_installation(
    address: str, db: psycopg.Connection[Any], sim: Simulator
) -> None:
    fresh = db.execute(sql.SQL(MEMBERS)).fetchall()
    assert len(fresh) == 5 + 4 + 1 + 1  # members, functions, wrapper, extension
    with Session(address) as old:
        old.db.execute(f"create extension cio_fdw version '{OLD}'")
        set_up_by_hand(old.db, sim)
        assert old.rows(MEMBERS) != fresh
        users = old.rows(USERS_OBJECTS)
        assert len(users) >= 20
        rows = old.rows("select * from names order by 1")
    with Session(address) as updating:
        assert updating.rows("select * from names order by 1") == rows
        updating.db.execute("refresh materialized view list")
        warning = f"cio_fdw: this database has version {OLD} of the extension, the server's library is {__version__}"
        assert updating.told == [(warning, HINT)]
        updating.db.execute(HINT)
        assert updating.rows(MEMBERS) == fresh
        assert updating.rows(USERS_OBJECTS) == users
        assert updating.rows("select cio_fdw_cache_clear()") == [(0,)]
    with Session(address) as later:
        assert later.rows("select * from names order by 1") == rows
        later.db.execute("refresh materialized view list")
        assert later.rows("select id, name from list order by 1") == rows
        assert later.told == []


def test_a_library_older_than_the_database_is_told(address: str, sim: Simulator) -> None:
    with Session(address) as made:
        made.db.execute("create extension cio_fdw")
        set_up_by_hand(made.db, sim)
        assert made.told == []
        made.db.execute("update pg_extension set extversion = '0.10.2' where extname = 'cio_fdw'")
    with Session(address) as session:
        session.rows("select id from customerio.campaigns")
        ((message, hint),) = session.told
        library = f"the server's library is only {__version__}"
        assert message == f"cio_fdw: this database has version 0.10.2 of the extension, {library}"
        assert hint.startswith("Install the package cio_fdw 0.10.2 into the server; where the library is preloaded")
