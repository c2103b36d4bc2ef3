"""pg_dump and pg_restore of a database that uses everything: nothing is asked of the API, and copies go on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.hosting.conftest import Hosted

TIMEOUT_S = 120
MADE = """
    create role analyst;
    grant usage on schema customerio, cio to analyst;
    grant select on customerio.campaigns to analyst;
    alter server customerio options (add timeout '45');
    comment on server customerio is 'the workspace';
    comment on foreign table customerio.segments is 'ours';
    create user mapping for analyst server customerio options (app_api_key 'of-the-analyst');
    alter foreign table customerio.messages options (add page_size '100');
    create view active as select id, name from customerio.campaigns where state = 'running';
    create materialized view list as select id, name from customerio.campaigns;
    create unique index on list (id);
    select cio.mirror('customerio.campaigns', 'analytics.campaigns');
    select cio.mirror('customerio.messages', 'analytics.messages', start_time => now() - interval '20 days')"""
# What a database shows of itself. Definitions only, no numbers that a restore gives anew.
SHOWN = """
    select 'extension', extname::text, extversion from pg_extension
    union all select 'server', srvname::text,
        concat_ws(' ', (select array_agg(o order by o) from unnest(srvoptions) o), srvacl,
            obj_description(oid, 'pg_foreign_server')) from pg_foreign_server
    union all select 'mapping', usename::text, umoptions::text from pg_user_mappings
    union all select 'table', c.oid::regclass::text,
        concat_ws(' ', c.relkind, ftoptions, relacl, obj_description(c.oid, 'pg_class'))
        from pg_class c left join pg_foreign_table on ftrelid = c.oid
        where relnamespace in (select oid from pg_namespace where nspname in ('customerio', 'analytics', 'public'))
    union all select 'column', attrelid::regclass || '.' || attname,
        concat_ws(' ', format_type(atttypid, atttypmod), attfdwoptions, col_description(attrelid, attnum))
        from pg_attribute join pg_class c on c.oid = attrelid
        where relkind in ('f', 'r') and attnum > 0
            and relnamespace in (select oid from pg_namespace where nspname in ('customerio', 'analytics'))
    union all select 'mirror', target::text, concat_ws(' ', source::text, mode, last_success_started_at)
        from cio.mirrors
    union all select 'bucket', target::text, (to_jsonb(b) - 'next_due_at')::text from cio.buckets b
    order by 1, 2, 3"""
ROWS = ("select * from analytics.messages order by id", "select * from analytics.campaigns order by id",
        "select * from list order by id")  # fmt: skip


@pytest.fixture(scope="module")
def full(hosted: Hosted) -> Cluster:
    cluster = hosted({})
    with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
        for statement in MADE.split(";"):
            db.execute(sql.SQL(statement))
        db.execute("call cio.refresh('analytics.campaigns')")
        # Not finished: what is left to do has to travel too.
        db.execute("call cio.refresh('analytics.messages', max_units => 10)")
    return cluster


def program(cluster: Cluster, name: str, *arguments: str) -> None:
    command = [str(cluster.bin_dir / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.fixture(params=["plain", "custom", "directory"])
def restored(request: pytest.FixtureRequest, full: Cluster, world: Simulator, tmp_path: Path) -> Iterator[str]:
    """The address of a copy of the database, made by way of a dump in one format."""
    dump = str(tmp_path / "dump")
    target = full.socket_url("restored")
    with psycopg.connect(full.socket_url(), autocommit=True) as admin:
        world.reset()
        program(full, "pg_dump", "--format", request.param, "--file", dump, "--dbname", full.socket_url())
        admin.execute("create database restored template template0")
        try:
            if request.param == "plain":
                program(full, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", dump, "-d", target)
            elif request.param == "custom":
                program(full, "pg_restore", "--exit-on-error", "--dbname", target, dump)
            else:
                # The state's tables refer to one another from CREATE EXTENSION on, and with several jobs pg_restore
                # loads tables in any order: jobs are for what comes after the data.
                for sections in (["pre-data"], ["data"], ["post-data", "--jobs=2"]):
                    section, *jobs = sections
                    program(full, "pg_restore", "-e", f"--section={section}", *jobs, "--dbname", target, dump)
            yield target
        finally:
            admin.execute("drop database restored with (force)")


def shown(db: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return db.execute(sql.SQL(query)).fetchall()


def test_a_restored_database_is_the_same_and_goes_on(full: Cluster, restored: str, world: Simulator) -> None:
    # The materialized view is read anew by a restore, as PostgreSQL does with all of them; nothing else is.
    assert [entry["path"] for entry in world.log()] == ["/v1/campaigns"]
    with psycopg.connect(full.socket_url()) as before, psycopg.connect(restored, autocommit=True) as db:
        definitions = shown(before, SHOWN)
        assert len(definitions) > 200
        assert shown(db, SHOWN) == definitions
        for query in ROWS:
            assert shown(db, query) == shown(before, query)
        world.reset()
        left = shown(db, "call cio.refresh('analytics.messages')")[0]
        assert left[2:] == (0, "done")
        ids = {row[0] for row in shown(db, "select id from analytics.messages")}
        recent = "select id from customerio.messages where created > now() - interval '19 days'"
        source = {row[0] for row in shown(db, recent)}
        assert source <= ids
        assert len(ids) > len(shown(before, ROWS[0]))


def test_the_schema_alone_asks_nothing(full: Cluster, world: Simulator, tmp_path: Path) -> None:
    world.reset()
    program(full, "pg_dump", "--schema-only", "--file", str(tmp_path / "schema.sql"), "--dbname", full.socket_url())
    text = (tmp_path / "schema.sql").read_text()
    assert "CREATE FOREIGN TABLE customerio.messages" in text
    assert world.log() == []
