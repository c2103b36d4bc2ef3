"""Every HINT is a command that can be run as it stands, and that brings the user further."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.sync.helpers import TARGET, Sync
from tests.sync.test_mirror import WRONG

REFUSED = "cio: a procedure that commits cannot run inside a transaction block or a function"


def said(s: Sync, command: str) -> psycopg.errors.Diagnostic:
    """The error of a command; it begins with cio: and has a hint."""
    with pytest.raises(psycopg.Error) as caught:
        s.db.execute(command)
    assert str(caught.value.diag.message_primary).startswith("cio: "), str(caught.value)
    assert caught.value.diag.message_hint, str(caught.value)
    return caught.value.diag


def run(s: Sync, hint: str) -> None:
    """Each statement by itself, as psql sends them."""
    for command in hint.split("; "):
        s.db.execute(command)


@pytest.mark.parametrize(("more", "what"), WRONG, ids=[more for more, _ in WRONG])
def test_the_hint_of_a_wrong_argument_makes_the_mirror(mirror_db: Sync, more: str, what: str) -> None:
    s = mirror_db
    hint = said(s, f"select cio.mirror('customerio.messages', '{TARGET}', {more})").message_hint or ""
    if hint.startswith("SELECT attname"):
        assert "created" in {row[0] for row in s.rows(hint)}
        return
    assert hint.startswith(f"SELECT cio.mirror('customerio.messages', '{TARGET}'")
    s.db.execute(hint)
    assert s.rows("select target::text from cio.mirrors") == [(TARGET,)]


def test_the_hint_keeps_the_other_arguments(mirror_db: Sync) -> None:
    s = mirror_db
    given = "retention => '2 hours', deletes => 'ignore', key => '{id}', start_time => '2026-10-01 00:00+00'"
    s.db.execute(said(s, f"select cio.mirror('customerio.messages', 'here.it', {given})").message_hint or "")
    found = s.rows("select target::text, bucket = '2 hours', retention = '2 hours', deletes, "
                   "start_time = '2026-10-01 00:00+00' from cio.mirrors")  # fmt: skip
    assert found == [("here.it", True, True, "ignore", True)]


def test_an_unknown_table_leads_to_a_mirror_step_by_step(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create table public.plain (code text primary key, changed timestamptz)")
    command, steps = "select cio.mirror('public.plain', 'public.copy', mode => 'window')", 0
    while s.rows("select 1 from cio.mirrors") == []:
        steps += 1
        assert steps < 6
        try:
            s.db.execute(command)
        except psycopg.Error as error:
            command = error.diag.message_hint or ""
    assert s.rows("select key_columns, time_column from cio.mirrors") == [(["code"], "changed")]


@pytest.mark.parametrize(
    "change",
    ["bucket => '1 month'", "start_time => 'infinity'", "deletes => 'x'", "on_new_column => 'x'", "tiers => '{}'",
     "max_delete_fraction => 7", "retention => '1 second'", "retention => '1 hour'"],
)  # fmt: skip
def test_the_hint_of_a_wrong_change_changes_the_mirror(mirror_db: Sync, change: str) -> None:
    s = mirror_db
    s.mirror()
    hint = said(s, f"select cio.alter_mirror('{TARGET}', {change})").message_hint or ""
    assert hint.startswith(f"SELECT cio.alter_mirror('{TARGET}', ")
    s.db.execute(hint)


@pytest.mark.parametrize(
    "more", ["on_error => 'shrug'", "on_error => null", "max_units => -1", "max_runtime => '-1 s'"]
)
def test_the_hint_of_a_wrong_refresh_refreshes(mirror_db: Sync, more: str) -> None:
    s = mirror_db
    s.mirror(more="start_time => now() - interval '2 days'")
    s.db.execute(said(s, f"call cio.refresh('{TARGET}', {more})").message_hint or "")
    assert s.value(f"select count(*) from {TARGET}") == len(s.ids())
    assert s.rows("select status from cio.runs") == [("done",)]


def test_the_hint_of_refresh_all(mirror_db: Sync) -> None:
    mirror_db.db.execute(said(mirror_db, "call cio.refresh_all(max_runtime => '-1 s')").message_hint or "")


PROCEDURES = [f"refresh('{TARGET}')", f"refresh_range('{TARGET}', '-infinity', now() - interval '1 day')",
              f"backfill('{TARGET}', now() - interval '9 days')", "refresh_all()"]  # fmt: skip


@pytest.mark.parametrize("call", PROCEDURES)
@pytest.mark.parametrize("how", ["block", "function", "one string"])
def test_inside_a_transaction_block(mirror_db: Sync, call: str, how: str) -> None:
    """Refused before anything is done; the hint is the call to make."""
    s = mirror_db
    s.mirror(more="start_time => now() - interval '4 days'")
    state: Any = [s.rows(f"select * from cio.{table} order by 1, 2") for table in ("mirror_def", "bucket", "run")]
    inside = call[:-1] + ", null, null, 'continue', a, b, c, d)" if call.startswith("refresh(") else call
    s.db.execute("create procedure public.p() language plpgsql as "
                 f"$$declare a bigint; b int; c int; d text; begin call cio.{inside}; end$$")  # fmt: skip
    s.db.execute("create function public.f() returns void language plpgsql as $$begin call public.p(); end$$")
    commands = {
        "block": f"call cio.{call}",
        "function": "select public.f()",
        "one string": f"select 1; call cio.{call}",
    }
    if how == "block":
        s.db.execute("begin")
    with pytest.raises(psycopg.errors.ActiveSqlTransaction, match=REFUSED) as caught:
        s.db.execute(commands[how])
    s.db.rollback()
    assert s.requests() == []
    assert [s.rows(f"select * from cio.{table} order by 1, 2") for table in ("mirror_def", "bucket", "run")] == state
    hint = str(caught.value.diag.message_hint)
    assert hint.startswith(f"CALL cio.{call.partition('(')[0]}(")
    s.db.execute(hint)
    s.db.execute("call public.p()")  # from a procedure that may commit, it may too


@pytest.mark.parametrize("drop_table", ["false", "true"])
def test_unmirror_with_a_view_upon_it(mirror_db: Sync, drop_table: str) -> None:
    s = mirror_db
    s.mirror()
    s.db.execute(f"create view public.mine as select id from {TARGET}_fresh")
    s.db.execute("create materialized view public.mine_too as select count(*) from public.mine")
    command = f"select cio.unmirror('{TARGET}', {drop_table})"
    error = said(s, command)
    assert error.sqlstate == "2BP01"
    assert "view public.mine " in str(error.message_detail)
    assert s.rows("select target::text from cio.mirrors") == [(TARGET,)]
    run(s, error.message_hint or "")
    s.db.execute(command)
    assert s.value(f"select to_regclass('{TARGET}')") is None or drop_table == "false"


def test_unmirror_with_something_else_upon_it(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror()
    s.db.execute(f"create table public.child (id text references {TARGET})")
    command = f"select cio.unmirror('{TARGET}', true)"
    run(s, said(s, command).message_hint or "")
    assert s.value(f"select to_regclass('{TARGET}')") is None


def test_a_relation_where_a_view_belongs(mirror_db: Sync) -> None:
    """It is not replaced, even where it could be."""
    s = mirror_db
    s.db.execute("create schema analytics")
    for name in ("messages_fresh", "messages_live"):
        s.db.execute(f"create view analytics.{name} as select 1 as x")
    command = f"select cio.mirror('customerio.messages', '{TARGET}')"
    for _ in range(2):
        error = said(s, command)
        assert s.value(f"select to_regclass('{TARGET}')") is None
        run(s, error.message_hint or "")
    s.db.execute(command)
    assert s.rows("select * from analytics.messages_fresh_old") == [(1,)]


def test_a_column_that_changes_its_type(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create table public.own (id int primary key, size int); insert into public.own values (1, 7)")
    s.db.execute("select cio.mirror('public.own', 'public.copy', 'snapshot', '{id}')")
    s.refresh("public.copy")
    s.db.execute("alter table public.own alter column size type bigint")
    s.db.execute("update public.own set size = 2::bigint ^ 40")
    run(s, said(s, "call cio.refresh('public.copy')").message_hint or "")
    s.db.execute("select cio.invalidate('public.copy')")
    assert s.refresh("public.copy")[3] == "done"
    assert s.rows("select size, status from public.copy_fresh") == [(2**40, "current")]


def test_a_source_with_the_columns_of_a_mirror(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create table public.own (id int primary key, _changed_at timestamptz)")
    run(s, said(s, "select cio.mirror('public.own', 'public.copy', 'snapshot', '{id}')").message_hint or "")
    s.db.execute("select cio.mirror('public.own_to_mirror', 'public.copy', 'snapshot', '{id}')")


def test_a_feed_without_its_pages(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("drop foreign table customerio.activities_by_page")
    s.db.execute("create schema elsewhere")
    s.db.execute("import foreign schema customerio limit to (activities) from server customerio into elsewhere")
    command = "select cio.mirror('elsewhere.activities', 'analytics.activities')"
    run(s, said(s, command).message_hint or "")
    s.db.execute(command)


def test_tables_that_are_no_mirrors(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create table public.other (x int)")
    run(s, said(s, "select cio.pause('public.other')").message_hint or "")
    run(s, said(s, "select cio.pause('customerio.campaigns')").message_hint or "")
    assert s.rows("select target::text from cio.mirrors") == [("analytics.campaigns",)]
    run(s, said(s, "select cio.mirror('customerio.campaigns', 'public.other')").message_hint or "")


def test_a_dropped_source(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror(more="start_time => now() - interval '3 days'")
    s.db.execute("drop foreign table customerio.messages cascade")
    assert said(s, f"call cio.refresh('{TARGET}')").message_hint == f"SELECT cio.unmirror('{TARGET}');"
    s.db.execute("import foreign schema customerio limit to (messages) from server customerio into customerio")
    run(s, said(s, f"call cio.refresh('{TARGET}')").message_hint or "")
    assert s.refresh()[3] == "done"
    s.db.execute("drop foreign table customerio.messages cascade")
    run(s, said(s, f"call cio.refresh('{TARGET}')").message_hint or "")
    assert s.rows("select * from cio.mirrors") == []
