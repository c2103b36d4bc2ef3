"""Updating the extension gives what a fresh installation gives, and keeps the state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from tests.sync.helpers import Sync

OLD = "0.0.1"
LATER_PARTS = (
    ("create index on cio.run (mirror_id, started_at)", "comment on column cio.run.statement_at"),
    ("create policy owned_delete on cio.mirror_def", "do $$\ndeclare\n    child text;"),
    ("create function cio.reset(", "create function cio.forget("),
    ("create view cio.requests ", "grant select on cio.mirrors, "),
    ("create function cio.estimate(", "create function cio._can_be_concurrent("),
    ("revoke execute on function cio.reset(", "revoke execute on function cio.unmirror("),
)
"""Of the script, in its order: what the old version lacks and its delta brings."""
GRANTED = ", cio.requests to public;"
GRANTS = "grant select on cio.requests to public;"
COLUMNS = "do $$\ndeclare\n    c record;"
"""Of the script: the rest from here on describes the columns that have no description yet."""
TWINS = "select cio._make_by_name();"
"""After new functions: those that take the name of a table."""
LEDGER = "select target::text, fetched_at, rows_seen, status from cio.buckets"
DEFINITIONS = """
    select concat_ws(' ', proowner::regrole, pg_get_functiondef(oid)), proacl::text, obj_description(oid, 'pg_proc')
    from pg_proc where pronamespace = 'cio'::regnamespace
    union all
    select nspowner::regrole::text, nspacl::text, obj_description(oid, 'pg_namespace') from pg_namespace
    where nspname = 'cio'
    union all
    select concat_ws(' ', c.oid::regclass, c.relkind, c.relowner::regrole, c.reloptions, c.relrowsecurity,
        c.relforcerowsecurity, pg_get_viewdef(c.oid)),
        c.relacl::text, obj_description(c.oid, 'pg_class')
    from pg_class c where c.relnamespace = 'cio'::regnamespace and c.relkind in ('r', 'v', 'S')
    union all
    select concat_ws(' ', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity, pg_get_expr(d.adbin, d.adrelid)), a.attnum::text,
        col_description(a.attrelid, a.attnum)
    from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'v')
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relnamespace = 'cio'::regnamespace and a.attnum > 0
    union all
    select concat_ws(' ', conname, pg_get_constraintdef(oid)), null, null from pg_constraint
    where connamespace = 'cio'::regnamespace
    union all
    select indexdef, null, null from pg_indexes where schemaname = 'cio'
    union all
    select concat_ws(' ', tablename, policyname, cmd, roles), qual, with_check from pg_policies where schemaname = 'cio'
    union all
    select concat_ws(' ', extversion, extconfig::regclass[]), extcondition::text, null from pg_extension
    where extname = 'cio_sync'
    union all
    select pg_describe_object(classid, objid, objsubid), null, null from pg_depend
    where deptype = 'e' and refobjid = (select oid from pg_extension where extname = 'cio_sync')
    order by 1, 2, 3"""


@pytest.fixture
def old_version(pg_config: Path) -> Iterator[None]:
    """An older script and the delta from it, beside the installed ones."""
    directory = installation(pg_config).extension_dir
    (script,) = directory.glob("cio_sync--*.sql")
    text = script.read_text()
    old, later = text, ""
    for mark, end_mark in LATER_PARTS:
        begin, end = text.index(mark), text.index(end_mark)
        old = old.replace(text[begin:end], "")
        later += text[begin:end]
    assert GRANTED in old
    old = old.replace(GRANTED, " to public;")
    later += GRANTS + text[text.index(COLUMNS) :] + TWINS
    base = directory / f"cio_sync--{OLD}.sql"
    delta = directory / f"cio_sync--{OLD}--{script.stem.partition('--')[2]}.sql"
    try:
        try:
            base.write_text(old)
            delta.write_text(later)
        except PermissionError:
            pytest.skip(f"the server's directory {directory} is not writable")
        yield
    finally:
        base.unlink(missing_ok=True)
        delta.unlink(missing_ok=True)


@pytest.mark.usefixtures("old_version")
def test_an_update_equals_a_fresh_installation(cluster: Cluster, mirror_db: Sync) -> None:
    fresh = mirror_db.rows(DEFINITIONS)
    assert len(fresh) > 200
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute("create database updated")
        try:
            with Sync(cluster.socket_url("updated"), mirror_db.sim) as s:
                s.db.execute(f"create extension cio_sync version '{OLD}'")
                s.db.execute("create table public.src (id int primary key)")
                s.db.execute("insert into public.src values (1), (2)")
                s.db.execute("select cio.mirror('src', 'dst', mode => 'snapshot', key => '{id}')")
                assert s.refresh("dst")[3] == "done"
                ledger = s.rows(LEDGER)
                assert s.rows(DEFINITIONS) != fresh
                s.db.execute("alter extension cio_sync update")
                assert s.rows(DEFINITIONS) == fresh
                assert s.rows(LEDGER) == ledger
                s.db.execute("insert into public.src values (3)")
                s.db.execute("select cio.invalidate('dst')")
                assert s.refresh("dst")[3] == "done"
                assert s.ids("dst") == {1, 2, 3}
        finally:
            admin.execute("drop database updated with (force)")


def test_every_version_leads_to_this_one(mirror_db: Sync) -> None:
    installed = mirror_db.rows("select extname from pg_extension where extname in ('cio_sync', 'cio_fdw')")
    assert ("cio_sync",) in installed
    for (extension,) in installed:
        astray = mirror_db.rows("""
            select p.source from pg_extension_update_paths(%s) p
            join pg_available_extensions e on e.name = %s and e.default_version = p.target where p.path is null""",
            [extension, extension])  # fmt: skip
        assert astray == []
        mirror_db.db.execute(f"alter extension {extension} update")
