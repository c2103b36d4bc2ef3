"""Who may do what, whatever the search_path holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.sync.helpers import TARGET, Sync

OWNER, OTHER, READER = "sync_owner", "Sync Other", "sync_reader"


@pytest.fixture
def s(mirror_db: Sync) -> Iterator[Sync]:
    """A role without special rights that owns a mirror, one without rights, and one that may read the target."""
    db = mirror_db.db
    for role in (OWNER, OTHER, READER):
        db.execute(f'create role "{role}"')
    db.execute(f"grant create on database {db.info.dbname} to {OWNER}")
    db.execute(f'grant usage on schema customerio to {OWNER}, "{OTHER}"')
    db.execute(f'grant select on all tables in schema customerio to {OWNER}, "{OTHER}"')
    db.execute(f"create user mapping for {OWNER} server customerio options (app_api_key '{mirror_db.sim.key}')")
    db.execute(f"set role {OWNER}")
    mirror_db.mirror(more="start_time => now() - interval '3 days'")
    assert mirror_db.refresh()[3] == "done"
    db.execute("reset role")
    db.execute(f'grant usage on schema analytics to "{OTHER}", {READER}')
    db.execute(f"grant select on {TARGET}, {TARGET}_fresh to {READER}")
    yield mirror_db
    db.execute("reset role")
    for role in (OWNER, OTHER, READER):
        db.execute(f'drop owned by "{role}" cascade')
        db.execute(f'drop role "{role}"')


def be(s: Sync, role: str) -> None:
    s.db.execute("reset role")
    s.db.execute(f'set role "{role}"')


def test_the_owner_needs_no_more_rights(s: Sync) -> None:
    be(s, OWNER)
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    assert s.refresh()[3] == "done"
    s.db.execute(f"call cio.refresh_range('{TARGET}', now() - interval '1 day', now())")
    s.db.execute(f"call cio.backfill('{TARGET}', now() - interval '5 days')")
    s.db.execute(f"""select cio.pause('{TARGET}'), cio.resume('{TARGET}'),
                     cio.alter_mirror('{TARGET}', deletes => 'ignore'),
                     cio.invalidate('{TARGET}'), cio.frontier('{TARGET}')""")
    s.db.execute("call cio.refresh_all()")
    assert s.value("select status from cio.runs order by run_id desc limit 1") == "done"
    for view in ("mirrors", "runs", "progress", "errors", "buckets", "gaps", "requests"):
        s.db.execute(f"select * from cio.{view}")
    assert s.value("select count(*) from cio.mirrors") == 1


DESTRUCTIVE = [f"cio.unmirror('{TARGET}')", f"cio.reset('{TARGET}')", f"cio.forget('{TARGET}', 'x')"]


@pytest.mark.parametrize("call", DESTRUCTIVE)
def test_what_destroys_needs_a_grant(s: Sync, call: str) -> None:
    be(s, OWNER)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        s.db.execute(f"select {call}")
    s.db.execute("reset role")
    s.db.execute(f"grant execute on all functions in schema cio to {OWNER}")
    be(s, OWNER)
    s.db.execute(f"select {call}")


def others_calls() -> list[str]:
    calls = [f"select {call}" for call in DESTRUCTIVE]
    calls += [
        f"select cio.{verb}('{TARGET}')" for verb in ("pause", "resume", "invalidate", "sync_columns", "alter_mirror")
    ]
    calls += [f"select cio.{verb}('{TARGET}')" for verb in ("schedule", "unschedule", "frontier", "estimate")]
    calls += [f"call cio.refresh('{TARGET}')", f"call cio.refresh_range('{TARGET}', '-infinity', 'infinity', true)",
              f"call cio.backfill('{TARGET}', '2026-01-01')"]  # fmt: skip
    return calls


@pytest.mark.parametrize("call", others_calls())
def test_others_can_do_nothing(s: Sync, call: str) -> None:
    s.db.execute(f'grant execute on all functions in schema cio to "{OTHER}"')
    before = state(s)
    s.sim.reset()
    be(s, OTHER)
    with pytest.raises(psycopg.Error, match="cio: "):
        s.db.execute(call)
    s.db.execute("reset role")
    assert state(s) == before
    assert s.requests() == []


def state(s: Sync) -> Any:
    return [s.rows(f"select * from cio.{table} order by 1, 2") for table in ("mirror_def", "bucket", "segment", "run")]


@pytest.mark.parametrize("table", ["mirror_def", "bucket", "segment", "run"])
def test_state_is_hidden_from_others(s: Sync, table: str) -> None:
    before = state(s)
    be(s, OTHER)
    assert s.rows(f"select * from cio.{table}") == []
    s.db.execute(f"delete from cio.{table}")
    if table == "bucket":
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            s.db.execute("insert into cio.bucket (mirror_id, lo, hi) select 1, now(), now() + interval '1 day'")
    for view in ("mirrors", "runs", "progress", "errors", "buckets", "gaps", "requests"):
        assert s.rows(f"select * from cio.{view}") == []
    s.db.execute("reset role")
    assert state(s) == before


def test_a_reader_of_the_table_sees_how_fresh_it_is(s: Sync) -> None:
    be(s, READER)
    n = s.value(f"select count(*) from {TARGET}")
    assert s.rows(f"select status, count(*) from {TARGET}_fresh group by 1") == [("current", n)] if n else []
    assert s.value("select count(*) from cio.mirrors") == 1
    before = state(s)
    s.db.execute("update cio.bucket set fetched_at = null")
    s.db.execute("delete from cio.mirror_def")
    assert state(s) == before
    with pytest.raises(psycopg.Error, match="cio: must be owner of table"):
        s.refresh()


def test_monitoring(s: Sync) -> None:
    s.db.execute(f'grant pg_monitor to "{OTHER}"')
    be(s, OTHER)
    assert s.value("select count(*) from cio.mirrors") == 1
    with pytest.raises(psycopg.Error, match="cio: must be owner of table"):
        s.refresh()


def test_nobody_takes_a_table_of_another(s: Sync) -> None:
    be(s, OTHER)
    with pytest.raises(psycopg.Error, match=r"cio: must be owner of table|is a mirror already"):
        s.db.execute(f"select cio.mirror('customerio.messages', '{TARGET}')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        s.db.execute("""insert into cio.mirror_def (source, target, mode, key_columns, bucket, origin, tiers, tier_ages,
            tier_periods, lookback, deletes, max_delete_fraction, on_new_column, page_rows, created_at)
            values ('customerio.messages', 'customerio.campaigns', 'snapshot', '{id}', '1 day', now(), '{}', '{}',
            '{}', '1 day', 'mark', 0, 'add', 1, now())""")


def test_a_new_owner_of_the_table_owns_the_mirror(s: Sync) -> None:
    s.db.execute(f'alter table {TARGET} owner to "{OTHER}"')
    s.db.execute(f"create user mapping for \"{OTHER}\" server customerio options (app_api_key '{s.sim.key}')")
    be(s, OTHER)
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    assert s.refresh()[3] == "done"
    be(s, OWNER)
    with pytest.raises(psycopg.Error, match="cio: "):
        s.refresh()


def test_refresh_all_is_for_the_role_itself(s: Sync) -> None:
    """A superuser must not run triggers that others put on their tables."""
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    s.sim.reset()
    s.db.execute("call cio.refresh_all()")
    assert s.requests() == []


HOSTILE = """
create schema hostile;
create table hostile.seen (what text);
grant all on schema hostile to public;
grant all on hostile.seen to public;
create function hostile.caught(what text) returns boolean language sql volatile as
    $$insert into hostile.seen values (what) returning true$$;
create function hostile.eq(text, text) returns boolean language sql as
    $$select hostile.caught('=')$$;
create operator hostile.= (leftarg = text, rightarg = text, function = hostile.eq);
create function hostile.eq(bigint, bigint) returns boolean language sql as
    $$select hostile.caught('= bigint')$$;
create operator hostile.= (leftarg = bigint, rightarg = bigint, function = hostile.eq);
create function hostile.plus(int, int) returns int language sql as
    $$select 1 from hostile.caught('+')$$;
create operator hostile.+ (leftarg = int, rightarg = int, function = hostile.plus);
create function hostile.ge(int, int) returns boolean language sql as
    $$select hostile.caught('>=')$$;
create operator hostile.>= (leftarg = int, rightarg = int, function = hostile.ge);
create function hostile.lt(timestamptz, timestamptz) returns boolean language sql as
    $$select hostile.caught('<')$$;
create operator hostile.< (leftarg = timestamptz, rightarg = timestamptz, function = hostile.lt);
create function hostile.now() returns timestamptz language sql as
    $$select null::timestamptz from hostile.caught('now')$$;
create function hostile.clock_timestamp() returns timestamptz language sql as
    $$select null::timestamptz from hostile.caught('clock')$$;
create function hostile.array_append(bigint[], bigint) returns bigint[] language sql as
    $$select $1 from hostile.caught('append')$$;
create function hostile.format(text, variadic text[]) returns text language sql as
    $$select $1 from hostile.caught('format')$$;
create function hostile.current_setting(text, boolean) returns text language sql as
    $$select '' from hostile.caught('setting')$$;
create function hostile.pg_has_role(oid, text) returns boolean language sql as
    $$select hostile.caught('role')$$;
create table hostile.bucket (x int);
create view hostile.pg_class as select 1 as oid;
"""


def test_a_hostile_search_path(s: Sync) -> None:
    s.db.execute(HOSTILE)
    s.db.execute("set search_path = hostile, pg_catalog, public")
    s.db.execute("select 'a'::text = 'b'::text, 1 + 1")
    assert len(s.rows("table hostile.seen")) == 2  # the trap works
    s.db.execute("truncate hostile.seen")
    be(s, OWNER)
    s.db.execute("select cio.mirror('customerio.campaigns', 'analytics.campaigns')")
    s.db.execute("select cio.mirror('customerio.activities', 'analytics.activities')")
    s.db.execute("call cio.refresh('analytics.campaigns')")
    s.db.execute("call cio.refresh('analytics.activities', max_units => 5, max_runtime => '1 min')")
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    s.db.execute("call cio.refresh_all(max_runtime => '1 min')")
    s.db.execute(f"call cio.refresh_range('{TARGET}', '-infinity', 'infinity')")
    s.db.execute(f"call cio.backfill('{TARGET}', pg_catalog.now() operator(pg_catalog.-) interval '6 days')")
    for verb in ("pause", "resume", "frontier", "sync_columns"):
        s.db.execute(f"select cio.{verb}('{TARGET}')")
    for view in ("mirrors", "runs", "progress", "errors", "buckets", "gaps", "requests"):
        s.db.execute(f"select * from cio.{view}")
    s.db.execute(f"select * from {TARGET}_fresh")
    s.db.execute(f"select * from cio.estimate('{TARGET}')")
    s.db.execute("reset search_path")
    s.db.execute("reset role")
    assert s.rows("select * from hostile.seen") == []


LEAK = """
    create function public.leak(what text) returns boolean language plpgsql cost 0.0000001 as
        $$begin raise notice 'leaked %', what; return true; end$$"""
TOLD = {"mirrors": "target::text", "runs": "message", "progress": "target::text", "errors": "error",
        "buckets": "target::text", "gaps": "reason", "requests": "target::text"}  # fmt: skip


@pytest.mark.parametrize("view", TOLD)
def test_a_cheap_function_sees_no_rows_of_others(s: Sync, view: str) -> None:
    """The planner would try it first, were the views no barriers."""
    s.db.execute(LEAK)
    s.db.execute("update cio.run set status = 'running', message = 'secret', units_failed = 1, pid = pg_backend_pid(), "
                 "backend_start = null")  # fmt: skip
    s.db.execute("update cio.bucket set last_error = 'secret', fetched_at = null where lo < now() - interval '1 day'")
    be(s, OTHER)
    s.notices.clear()
    assert s.rows(f"select * from cio.{view} where public.leak({TOLD[view]})") == []
    assert [notice for notice in s.notices if notice.startswith("leaked")] == []


def test_nobody_slips_a_feed_of_their_own_into_a_mirror(s: Sync) -> None:
    """A foreign table with the pages, made by another on the same server, is not taken as the source."""
    s.db.execute("drop foreign table customerio.activities_by_page")
    s.db.execute(f'grant usage on foreign server customerio to "{OTHER}"')
    s.db.execute(f'create schema theirs authorization "{OTHER}"')
    be(s, OTHER)
    s.db.execute("import foreign schema customerio limit to (activities_by_page) from server customerio into theirs")
    s.db.execute("grant usage on schema theirs to public; grant select on theirs.activities_by_page to public")
    be(s, OWNER)
    with pytest.raises(psycopg.Error, match="cio: cursor mode needs a foreign table that tells the page"):
        s.db.execute("select cio.mirror('customerio.activities', 'analytics.activities')")
