"""Tables that are named wrongly or may not be used: errors of cio, with a HINT that leads on. And EXCEPTION blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.sync.helpers import TARGET, Sync
from tests.sync.test_hints import REFUSED, run, said

ROLE = "sync_named"
NOBODY = "public.nobody"
CALLS = ["pause('{}')", "resume('{}')", "invalidate('{}')", "sync_columns('{}')",
         "alter_mirror('{}', deletes => 'mark')", "frontier('{}')", "estimate('{}')", "schedule('{}')",
         "unschedule('{}')", "reset('{}')", "unmirror('{}')", "forget('{}', 'x')", "refresh_matview('{}')",
         "mirror('{}', 'public.copy')"]  # fmt: skip
PROCEDURES = ["refresh('{}', max_units => 1)", "refresh_range('{}', '-infinity', 'infinity')",
              "backfill('{}', '2026-01-01')"]  # fmt: skip
COMMANDS = [f"select cio.{call}" for call in CALLS] + [f"call cio.{call}" for call in PROCEDURES]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_of_nothing(mirror_db: Sync, command: str) -> None:
    s = mirror_db
    error = said(s, command.format(NOBODY))
    assert (error.sqlstate, error.message_primary) == ("42P01", f"cio: there is no table {NOBODY}")
    s.db.execute(error.message_hint or "")
    assert s.requests() == []


@pytest.mark.parametrize("name", ["a b", "a.b.c.d", "other.customerio.messages", "", 'half "quoted', "nowhere.at_all"])
def test_what_is_no_name(mirror_db: Sync, name: str) -> None:
    for command in COMMANDS:
        assert said(mirror_db, command.format(name)).message_primary == f"cio: there is no table {name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_null_is_no_name(mirror_db: Sync, command: str) -> None:
    assert (
        "was named" in str(said(mirror_db, command.replace("'{}'", "null")).message_primary)
        or "refresh_matview" in command
    )


def test_a_source_that_was_not_imported(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("drop foreign table customerio.segments")
    command = "select cio.mirror('customerio.segments', 'analytics.segments')"
    error = said(s, command)
    assert (
        error.message_hint
        == "IMPORT FOREIGN SCHEMA customerio LIMIT TO (segments) FROM SERVER customerio INTO customerio;"
    )
    run(s, error.message_hint)
    s.db.execute(command)


def test_names_along_the_search_path_of_the_caller(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror(more="start_time => now() - interval '2 days'")
    assert said(s, "select cio.pause('messages')").message_primary == "cio: there is no table messages"
    s.db.execute("set search_path = analytics, public")
    assert s.refresh("messages")[3] == "done"
    s.db.execute("select cio.pause('messages')")
    s.db.execute("select cio.resume(target) from cio.mirrors")  # by the table itself
    s.db.execute("select cio.alter_mirror('messages', source => 'customerio.messages', deletes => 'ignore')")
    assert s.rows("select deletes, paused from cio.mirrors") == [("ignore", False)]
    assert (
        said(s, "select cio.alter_mirror('messages', source => 'x.y')").message_primary == "cio: there is no table x.y"
    )


@pytest.fixture
def s(mirror_db: Sync) -> Iterator[Sync]:
    """A mirror, and a role that has no right on anything but the schema cio."""
    db = mirror_db.db
    mirror_db.mirror("campaigns")
    db.execute(f"create role {ROLE}")
    yield mirror_db
    db.execute("reset role")
    db.execute(f"drop owned by {ROLE} cascade; drop role {ROLE}")


def be(s: Sync, role: str = ROLE) -> None:
    s.db.execute("reset role")
    if role:
        s.db.execute(f"set role {role}")


def grant(s: Sync, hint: str) -> None:
    """What the hint says, by whom may grant it."""
    be(s, "")
    run(s, hint)
    be(s)


def until_done(s: Sync, command: str) -> list[str]:
    """The errors on the way, when each hint is followed."""
    met: list[psycopg.errors.Diagnostic] = []
    while True:
        try:
            s.db.execute(command)
            break
        except psycopg.Error as error:
            met.append(error.diag)
        assert len(met) < 9, met
        grant(s, met[-1].message_hint or "")
    assert {error.sqlstate for error in met} <= {"42501"}
    return [str(error.message_primary) for error in met]


def test_missing_rights_of_who_makes_a_mirror(s: Sync) -> None:
    be(s)
    met = until_done(s, "select cio.mirror('customerio.segments', 'own.segments')")
    assert met == [
        "cio: permission denied for schema customerio",
        "cio: permission denied for table customerio.segments",
        f"cio: permission denied for database {s.db.info.dbname}",
    ]
    grant(s, "create schema others")
    met = until_done(s, "select cio.mirror('customerio.segments', 'others.segments')")
    assert met == ["cio: permission denied for schema others"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_schema_that_the_caller_may_not_use(s: Sync, command: str) -> None:
    be(s)
    command = command.format("analytics.campaigns")
    error = said(s, command)
    if "permission denied for function" in str(error.message_primary):  # asked first
        grant(s, error.message_hint or "")
        error = said(s, command)
    assert (error.sqlstate, error.message_primary) == ("42501", "cio: permission denied for schema analytics")
    assert error.message_hint == f"GRANT USAGE ON SCHEMA analytics TO {ROLE};"
    grant(s, error.message_hint)
    assert "schema analytics" not in str(said(s, command).message_primary)


@pytest.mark.parametrize("call", ["unmirror('own.segments')", "reset('own.segments')", "forget('own.segments', 'x')"])
def test_what_destroys_needs_a_grant_that_the_hint_gives(s: Sync, call: str) -> None:
    grant(s, f"create schema own authorization {ROLE}; grant usage on schema customerio to {ROLE}")
    grant(s, f"grant select on customerio.segments to {ROLE}")
    s.db.execute("select cio.mirror('customerio.segments', 'own.segments')")
    (error,) = until_done(s, f"select cio.{call}")
    assert error.startswith(f"cio: permission denied for function cio.{call.partition('(')[0]}(regclass")


@pytest.mark.parametrize(
    ("right", "what"),
    [
        ("select on customerio.segments", "table customerio.segments"),
        ("usage on schema customerio", "schema customerio"),
    ],
)
def test_a_refresh_whose_rights_were_taken_back(s: Sync, right: str, what: str) -> None:
    grant(s, f"create schema own authorization {ROLE}; grant usage on schema customerio to {ROLE}")
    grant(s, f"grant select on customerio.segments to {ROLE}")
    grant(s, f"create user mapping for {ROLE} server customerio options (app_api_key '{s.sim.key}')")
    s.db.execute("select cio.mirror('customerio.segments', 'own.segments')")
    grant(s, f"revoke {right} from {ROLE}")
    s.sim.reset()
    assert until_done(s, "call cio.refresh('own.segments')") == [f"cio: permission denied for {what}"]
    assert s.rows("select status from cio.runs") == [("done",)]


def test_a_materialized_view_of_another(s: Sync) -> None:
    s.db.execute("create materialized view public.names as select id from analytics.campaigns")
    be(s)
    error = said(s, "select cio.refresh_matview('public.names')")
    assert error.message_primary == "cio: must be owner of materialized view public.names"
    be(s, "")
    if s.db.info.server_version >= 170000:
        s.db.execute(f"grant maintain, select on public.names to {ROLE}")
        be(s)
        assert s.rows("select * from cio.refresh_matview('public.names', concurrently => false)") == [(0, 0)]


EXCEPTION_BLOCK = "begin {} exception when others then raise; end;"
REFRESH = f"call cio.refresh('{TARGET}', null, null, 'continue', a, b, c, d);"
OTHERS = [f"call cio.refresh_range('{TARGET}', '-infinity', 'infinity');", "call cio.refresh_all();",
          f"call cio.backfill('{TARGET}', now() - interval '9 days');"]  # fmt: skip


def do(body: str) -> str:
    return f"do $$declare a bigint; b int; c int; d text; begin {body} end$$"


@pytest.mark.parametrize("call", [REFRESH, *OTHERS])
@pytest.mark.parametrize("how", ["do", "procedure", "written before", "nested"])
def test_inside_an_exception_block(mirror_db: Sync, call: str, how: str) -> None:
    """Refused before anything is done, with the call to make; outside of the block the same code works."""
    s = mirror_db
    s.mirror(more="start_time => now() - interval '4 days'")
    s.db.execute("create table public.journal (x int)")
    state: Any = [s.rows(f"select * from cio.{table} order by 1, 2") for table in ("mirror_def", "bucket", "run")]
    before = "insert into public.journal values (1); " if how == "written before" else ""
    inside = EXCEPTION_BLOCK.format(before + call)
    body = f"{before}{EXCEPTION_BLOCK.format(inside) if how == 'nested' else inside}"
    if how == "procedure":
        s.db.execute("create procedure public.p() language plpgsql as " + do(body)[3:])
    with pytest.raises(psycopg.errors.ActiveSqlTransaction, match=REFUSED) as caught:
        s.db.execute("call public.p()" if how == "procedure" else do(body))
    assert [s.rows(f"select * from cio.{table} order by 1, 2") for table in ("mirror_def", "bucket", "run")] == state
    assert s.requests() == []
    s.db.execute(do(before + call))
    assert s.rows("select status from cio.runs") == [("done",)]
    s.db.execute(caught.value.diag.message_hint or "")
