"""Foreign tables inside other things: partitions, row marks, views, plans that outlive an ALTER."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar


@pytest.fixture
def schema(db: Connection) -> Iterator[Connection]:
    """`db` with a schema of its own in front."""
    db.execute("drop schema if exists native cascade; create schema native; set search_path = native, public")
    yield db
    db.execute("drop schema native cascade")


def test_partition_with_other_column_numbers(schema: Connection, sim: Simulator) -> None:
    schema.execute("""
        create table m (extra int, created timestamptz, gone text, id text, campaign_id bigint, type text)
            partition by list (type);
        alter table m drop column gone;
        create foreign table m_email (junk bigint, type text, campaign_id bigint, id text, created timestamptz)
            server customerio options (endpoint 'messages');
        alter foreign table m_email drop column junk;
        alter table m drop column extra;
        alter table m attach partition m_email for values in ('email');
        create table m_push partition of m for values in ('push');
        insert into m values (now(), 'local', 3, 'push')""")
    expected = scalar(schema, "select count(*) from customerio.messages where campaign_id = 3")
    assert expected > 0
    assert scalar(schema, "select count(*) from m where campaign_id = 3") == expected + 1
    plan = "\n".join(row[0] for row in schema.execute("explain select id from m where 3 = campaign_id"))
    assert "GET /v1/messages?campaign_id=3&" in plan
    whole = schema.execute("select m, to_jsonb(m) from m where campaign_id = 3 and type = 'email' limit 1").fetchall()
    assert all(whole[0][1][name] is not None for name in ("id", "created", "campaign_id", "type"))


def test_row_marks_and_joined_updates(schema: Connection, sim: Simulator) -> None:
    schema.execute("create table l as select id, ''::text as name from customerio.campaigns")
    assert len(schema.execute("select c from customerio.campaigns c join l using (id) for update").fetchall()) > 1
    query = "update l set name = f.name from customerio.campaigns f where f.id = l.id returning l.name = (f).name"
    assert {row[0] for row in schema.execute(query)} == {True}
    query = "delete from l using customerio.campaigns f where f.id = l.id returning to_jsonb(f) ->> 'id' = l.id::text"
    assert {row[0] for row in schema.execute(query)} == {True}


def test_recheck_after_a_concurrent_update(schema: Connection, sim: Simulator, database: str) -> None:
    """EvalPlanQual runs the join again with the row that another session has just changed."""
    schema.execute("create table l as select id, 0 as n, ''::text as name from customerio.campaigns where id <= 3")
    done: list[tuple[int, bool]] = []
    with psycopg.connect(database) as other:
        other.execute("update native.l set n = 5 where id = 3")

        def update() -> None:
            query = """
                update l set name = f.name, n = n + 1 from customerio.campaigns f where f.id = l.id and f.id = 3
                returning n, l.name = f.name"""
            done.extend(schema.execute(query).fetchall())

        thread = threading.Thread(target=update)
        thread.start()
        query = "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        deadline_s = time.monotonic() + 10
        while not scalar(other, query, [schema.info.backend_pid]):
            assert time.monotonic() < deadline_s, "the update did not wait"
            other.execute("select pg_stat_clear_snapshot(), pg_sleep(0.02)")
        other.commit()
        thread.join(10)
    assert done == [(6, True)]


def test_rescans_inside_a_scan(schema: Connection, sim: Simulator) -> None:
    schema.execute("""
        create function actions(bigint) returns bigint language plpgsql stable as $$
        begin return (select count(*) from customerio.campaign_actions where campaign_id = $1); end $$""")
    total = scalar(schema, "select count(*) from customerio.campaign_actions")
    assert scalar(schema, "select sum(actions(id)) from customerio.campaigns") == total
    query = "select sum((select count(*) from customerio.campaign_actions where campaign_id = c.id)) from {} c"
    assert scalar(schema, query.format("customerio.campaigns")) == total


def test_security_barrier(schema: Connection, sim: Simulator) -> None:
    schema.execute("""
        create function leaky(text) returns bool language plpgsql cost 0.0001 as $$
        begin if $1 <> 'email' then raise 'leaked'; end if; return true; end $$;
        create view v with (security_barrier) as
            select type, campaign_id from customerio.messages where type = 'email'""")
    expected = scalar(schema, "select count(*) from v where campaign_id = 3")
    assert scalar(schema, "select count(*) from v where leaky(type) and campaign_id = 3") == expected > 0


def test_generic_plans_follow_alterations(schema: Connection, sim: Simulator) -> None:
    schema.execute("""
        create foreign table c (id bigint, name text, state text) server customerio options (endpoint 'campaigns');
        set plan_cache_mode = force_generic_plan;
        prepare p (bigint) as select state is not null from c where id = $1""")
    assert schema.execute("execute p (3)").fetchall() == [(True,)]
    schema.execute("alter foreign table c drop column name")
    assert schema.execute("execute p (3)").fetchall() == [(True,)]
    schema.execute("alter foreign table c add column wrong text")
    with pytest.raises(psycopg.Error, match='has a column "wrong"'):
        schema.execute("execute p (3)")
    schema.execute("alter foreign table c drop column wrong; alter foreign table c add column name text")
    assert schema.execute("execute p (3)").fetchall() == [(True,)]
    schema.execute("alter foreign table c options (set endpoint 'messages')")
    with pytest.raises(psycopg.Error):
        schema.execute("execute p (3)")


def test_settings_that_change_executors(schema: Connection, sim: Simulator) -> None:
    expected = scalar(schema, "select count(*) from customerio.messages where campaign_id = 3 and forgotten = false")
    parallel = "debug_parallel_query" if schema.info.server_version >= 160000 else "force_parallel_mode"
    for setting in (f"{parallel} = on", "jit = on", "jit_above_cost = 0", "parallel_setup_cost = 0"):
        schema.execute(f"set {setting}")
    query = "select count(*) from customerio.messages where campaign_id = 3 and not forgotten"
    assert scalar(schema, query) == expected


def test_system_columns(db: Connection, sim: Simulator) -> None:
    assert scalar(db, "select ctid::text from customerio.campaigns limit 1") == "(4294967295,0)"
    assert scalar(db, "select tableoid::regclass::text from customerio.campaigns limit 1") == "customerio.campaigns"
    assert scalar(db, "select xmin::text from customerio.campaigns limit 1") == "0"
    assert scalar(db, "select count(*) from customerio.campaigns") > 0
