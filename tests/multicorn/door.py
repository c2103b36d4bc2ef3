"""The second door under test: a cluster whose PostgreSQL has Multicorn2, and a database that is set up with it.

Multicorn's own Python package must be where the server's Python looks for it: installed, or named by $PYTHONPATH of
the tests. This package and what it needs come from the interpreter that runs the tests.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cio_fdw.ddl import comment_commands
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.database import QUIET, TABLES
from cio_fdw.server.postgres import embedded_pg_config, installation

WRAPPER = "cio_fdw.multicorn.CustomerIO"
SCHEMA = "customerio"
AS_CIO_FDW = f"""
    create foreign data wrapper cio_fdw handler multicorn_handler;
    create function public.name_the_wrapper() returns event_trigger language plpgsql as $$
    declare made record;
    begin
        for made in
            select object_identity from pg_event_trigger_ddl_commands()
            join pg_foreign_server s on s.oid = objid join pg_foreign_data_wrapper w on w.oid = srvfdw
            where command_tag = 'CREATE SERVER' and fdwname = 'cio_fdw' and srvoptions::text !~ 'wrapper='
        loop
            execute format('alter server %s options (add wrapper %L)', made.object_identity, '{WRAPPER}');
        end loop;
    end $$;
    create event trigger name_the_wrapper on ddl_command_end when tag in ('CREATE SERVER')
        execute function public.name_the_wrapper()"""
"""Lets tests that make servers of the wrapper cio_fdw make them of Multicorn."""


def under_test() -> Path:
    """pg_config of the server under test."""
    return Path(os.environ.get("CIO_TEST_PG_CONFIG") or embedded_pg_config())


def is_installed(pg_config: Path) -> bool:
    return (installation(pg_config).extension_dir / "multicorn.control").is_file()


def environment() -> dict[str, str]:
    """What lets the server's Python find Multicorn's package and this one."""
    places = [os.environ.get("PYTHONPATH", ""), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    path = os.pathsep.join(dict.fromkeys(place for place in places if place))
    return {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def cluster(pg_config: Path, settings: Mapping[str, str]) -> Iterator[Cluster]:
    """A running server that can load Multicorn and this package into it; skips where there is none."""
    server = installation(pg_config)
    if not is_installed(pg_config):
        pytest.skip(f"Multicorn2 is not installed in PostgreSQL {server.version} of {server.bin_dir}")
    with Cluster(server.bin_dir, settings=settings, env=environment()) as running:
        complaint = _complaint(running)
        if complaint:
            pytest.skip(f"Multicorn2 of PostgreSQL {server.version} cannot load this package: {complaint}")
        yield running


def _complaint(running: Cluster) -> str:
    with psycopg.connect(running.socket_url()) as connection:
        try:
            connection.execute("create extension multicorn")
            connection.execute(f"create server s foreign data wrapper multicorn options (wrapper '{WRAPPER}')")
        except psycopg.Error as error:
            return f"{error.diag.message_primary}: {error.diag.message_detail}"
        finally:
            connection.rollback()
    return ""


def set_up(address: str, server_options: Mapping[str, str], key: Secret) -> None:
    """What cio_fdw.server.database.set_up does, through Multicorn."""
    options = {"wrapper": WRAPPER, **server_options}
    listed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.Literal(text)) for name, text in options.items()
    )
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in QUIET:
            connection.execute(statement)
        connection.execute("create extension multicorn")
        # Before the event trigger is there: this server names its wrapper itself.
        connection.execute(
            sql.SQL("create server customerio foreign data wrapper multicorn options ({})").format(listed)
        )
        connection.execute(
            sql.SQL("create user mapping for current_user server customerio options (app_api_key {})").format(
                sql.Literal(key.reveal())
            )
        )
        connection.execute(f"create schema {SCHEMA}")
        connection.execute(f"import foreign schema customerio from server customerio into {SCHEMA}")
        made = connection.execute("select relname from pg_class where relnamespace = %s::regnamespace", [SCHEMA])
        # They hold characters that not every encoding has.
        for (name,) in made.fetchall() if connection.info.encoding == "utf-8" else ():
            for command in comment_commands(TABLES[name], SCHEMA):
                connection.execute(sql.SQL(command))
        connection.execute(AS_CIO_FDW)
