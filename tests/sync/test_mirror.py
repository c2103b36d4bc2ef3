"""cio.mirror: what it makes, and what it refuses."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cio_fdw.catalog import ENDPOINTS
from tests.sql.days import DATES
from tests.sync.helpers import TARGET, Sync


def everything(s: Sync) -> Any:
    """What there is outside the catalogs' own schemas, and all state."""
    return s.rows("""
        select oid::regclass::text from pg_class where relnamespace not in (
            select oid from pg_namespace where nspname like 'pg\\_%' or nspname in ('information_schema', 'cio'))
        union all select nspname from pg_namespace
        union all select target::text from cio.mirror_def order by 1""")


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=list(ENDPOINTS))
def test_what_the_catalog_says(mirror_db: Sync, endpoint: Any) -> None:
    s = mirror_db
    s.mirror(endpoint.name)
    found = s.rows("select mode, key_columns, time_column from cio.mirrors")
    assert found == [(endpoint.incremental, list(endpoint.key), endpoint.time_column or None)]
    comments = dict(s.rows(
        f"select attname, col_description(attrelid, attnum) from pg_attribute "
        f"where attrelid = 'analytics.{endpoint.name}'::regclass and attnum > 0"))  # fmt: skip
    assert comments["raw"] == "The whole record as the API sent it."
    assert all(comments.values())


def test_the_option_endpoint_counts_not_the_name(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute(
        "create foreign table m (id text, created timestamptz) server customerio options (endpoint 'messages')"
    )
    s.db.execute("select cio.mirror('m', 'here')")
    assert s.rows("select mode, target::text from cio.mirrors") == [("window", "here")]


def test_anchor_date_is_the_start(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute(f"alter server customerio options (add anchor_date '{DATES['late']}')")
    s.mirror()
    s.db.execute("set timezone = 'UTC'")
    assert str(s.value("select start_time from cio.mirrors")) == f"{DATES['late']} 00:00:00+00:00"


def test_a_name_without_schema_goes_where_the_search_path_begins(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create schema mine")
    s.db.execute("set search_path = mine, public")
    assert s.value("select cio.mirror('customerio.messages')::text") == "messages"
    assert s.value("select to_regclass('mine.messages')") is not None
    assert s.refresh("messages", "max_units => 1")[1] == 1


def test_odd_names(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("""create foreign table public."Odd "" 100% 'x'" (id text, created timestamptz)
                    server customerio options (endpoint 'messages')""")
    target = """"We'ird %s"."T""able %I" """
    s.db.execute(
        "select cio.mirror(%s, %s, start_time => now() - interval '2 days')", ["""public."Odd "" 100% 'x'\"""", target]
    )
    s.db.execute("call cio.refresh(%s)", [target])
    assert s.value("select count(*) from cio.mirrors where due = 0") == 1
    assert s.value("""select count(*) from "We'ird %s"."T""able %I_live" """) >= 0


def test_a_key_whose_name_has_a_percent_sign(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute('create table public.src ("a%s" int, "b ""%1$s" int, v json, at timestamptz)')
    s.db.execute("""insert into public.src values (1, 1, '{"a": 1}', '2026-01-01'), (1, 2, null, null)""")
    s.db.execute(
        """select cio.mirror('public.src', 'public.dst', mode => 'snapshot', key => array['a%s', 'b "%1$s']::name[])"""
    )
    assert s.refresh("public.dst")[3] == "done"
    assert s.value("select count(*) from public.dst") == 2
    s.db.execute("""update public.src set v = '{"a":  1}' where v is not null""")
    s.db.execute("select cio.invalidate('public.dst')")
    s.refresh("public.dst")
    assert s.value("select rows_updated from cio.runs order by run_id desc limit 1") == 1


def test_an_existing_table_that_fits(mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create schema analytics")
    s.db.execute("create table analytics.campaigns (like customerio.campaigns, mine int)")
    with pytest.raises(psycopg.Error, match=r"cio: analytics.campaigns has no unique index on its key") as caught:
        s.mirror("campaigns")
    s.db.execute(caught.value.diag.message_hint or "")
    s.mirror("campaigns")
    assert s.refresh("analytics.campaigns")[3] == "done"


def test_if_not_exists(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror()
    with pytest.raises(psycopg.Error, match=r"cio: analytics.messages is a mirror already"):
        s.mirror()
    assert s.mirror(more="if_not_exists => true") == TARGET
    with pytest.raises(psycopg.Error, match="is a mirror already"):
        s.mirror("message_drafts", TARGET, "if_not_exists => true")


def test_mirrors_whose_table_was_dropped_are_forgotten(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror()
    s.db.execute(f"drop table {TARGET} cascade")
    assert s.rows("select * from cio.mirrors") == []
    s.mirror()
    assert s.value("select count(*) from cio.mirror_def") == 1


WRONG = [
    ("mode => 'fast'", "mode cannot be 'fast'"),
    ("key => '{nope}'", "customerio.messages has no column nope"),
    ("key => '{}'", "customerio.messages has no known key"),
    ("time_column => 'id'", "the time column id is text, not timestamp with time zone"),
    ("bucket => '1 month'", "bucket must be at least a minute, and without months"),
    ("bucket => '0'", "bucket must be at least a minute, and without months"),
    ("bucket => null", "bucket must be at least a minute, and without months"),
    ("retention => '1 hour'", "retention 01:00:00 is shorter than bucket 1 day"),
    ("start_time => '2999-01-01'", "start_time must be a time in the past"),
    ("start_time => '-infinity'", "start_time must be a time in the past"),
    ("deletes => 'maybe'", "deletes cannot be 'maybe'"),
    ("on_new_column => null", "on_new_column cannot be null"),
    ("max_delete_fraction => 2", "max_delete_fraction must be between 0 and 1"),
    ("max_delete_fraction => 'NaN'", "max_delete_fraction must be between 0 and 1"),
    ("tiers => '[]'", "tiers must be an object of ages and periods"),
    ("tiers => null", "tiers must be an object of ages and periods"),
    ("""tiers => '{"soon": "1 day"}'""", "tiers must map intervals to intervals"),
    ("""tiers => '{"2 days": "6 hours", "14 days": "15 min"}'""", "tiers out of order"),
    ("""tiers => '{"2 days": "0"}'""", "must be longer than nothing"),
    ("mode => 'cursor'", "cursor mode needs a foreign table that tells the page of each row"),
]


@pytest.mark.parametrize(("more", "said"), WRONG, ids=[more for more, _ in WRONG])
def test_wrong_arguments(mirror_db: Sync, more: str, said: str) -> None:
    before = everything(mirror_db)
    with pytest.raises(psycopg.Error) as caught:
        mirror_db.mirror(more=more)
    assert str(caught.value.diag.message_primary).startswith("cio: ")
    assert said in str(caught.value.diag.message_primary)
    assert caught.value.diag.message_hint
    assert everything(mirror_db) == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("select cio.mirror(null)", "no foreign table was named"),
        ("select cio.mirror('customerio.messages', 'a.b.c')", "the target needs a schema"),
        ("select cio.mirror('customerio.messages', 'a b')", "'a b' is not the name of a table"),
        ("select cio.mirror('customerio.messages', 'customerio.messages')", "customerio.messages exists and is not a"),
        ("select cio.mirror('customerio.messages', 'public.other')", "public.other exists with other columns: id is"),
        ("select cio.mirror('public.other')", "public.other exists and"),
        ("select cio.mirror('public.other', 'public.copy')", "mode cannot be null"),
        ("select cio.mirror('public.other', 'public.copy', mode => 'snapshot')", "public.other has no known key"),
        ("select cio.pause('public.other')", "public.other is not a mirror"),
        ("select cio.frontier('public.other')", "public.other is not a mirror"),
        ("select cio.unmirror(null)", "no table was named"),
        ("call cio.refresh('public.other')", "public.other is not a mirror"),
        ("call cio.refresh_range('public.other', now(), now())", "public.other is not a mirror"),
        ("call cio.backfill('public.other', '2026-01-01')", "public.other is not a mirror"),
        ("select cio.schedule('public.other')", "public.other is not a mirror"),
    ],
)  # fmt: skip
def test_wrong_tables(mirror_db: Sync, command: str, said: str) -> None:
    s = mirror_db
    s.db.execute("create table public.other (x int)")
    before = everything(s)
    if "mirror('public.other')" in command:
        said = "mode cannot be null"
    with pytest.raises(psycopg.Error) as caught:
        s.db.execute(command)
    assert str(caught.value.diag.message_primary).startswith(f"cio: {said}")
    assert caught.value.diag.message_hint
    assert everything(s) == before


def test_unknown_table(mirror_db: Sync) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        mirror_db.mirror("mesages")


@pytest.mark.parametrize("more", ["on_error => 'shrug'", "max_units => -1", "max_runtime => '-1 s'"])
def test_wrong_arguments_of_refresh(mirror_db: Sync, more: str) -> None:
    mirror_db.mirror()
    with pytest.raises(psycopg.Error, match=r"cio: ") as caught:
        mirror_db.refresh(more=more)
    assert caught.value.diag.message_hint
    assert mirror_db.requests() == []


def test_wrong_ranges(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror()
    s.mirror("activities")
    for call in (f"refresh_range('{TARGET}', null, now())", "refresh_range('analytics.activities', now(), now())",
                 f"backfill('{TARGET}', 'infinity')", "backfill('analytics.activities', '2026-01-01')"):  # fmt: skip
        with pytest.raises(psycopg.Error, match=r"cio: ") as caught:
            s.db.execute(f"call cio.{call}")
        assert caught.value.diag.message_hint
    assert s.requests() == []


def test_without_a_key(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror()
    s.db.execute("drop user mapping for current_user server customerio")
    with pytest.raises(psycopg.Error, match=r"cio: 1 of 2 units of analytics.messages failed|1 of 1 units") as caught:
        s.refresh()
    assert caught.value.sqlstate == "28000"
    assert "no user mapping" in str(caught.value.diag.message_detail)


def test_a_source_that_was_dropped(mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror()
    s.refresh(more="max_units => 3")
    s.db.execute("drop foreign table customerio.messages cascade")
    with pytest.raises(psycopg.Error, match=r"cio: the source of analytics.messages was dropped") as caught:
        s.refresh()
    assert "cio.unmirror" in str(caught.value.diag.message_hint)
    s.db.execute("import foreign schema customerio limit to (messages) from server customerio into customerio")
    s.db.execute(f"select cio.alter_mirror('{TARGET}', source => 'customerio.messages')")
    assert s.refresh(more="max_units => 1")[1] == 1
    assert s.value("select to_regclass('analytics.messages_live')") is not None
