"""Columns that come and go at the source."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from tests.sync.helpers import Sync

TARGET = "analytics.t"
COLUMNS = "id text, created timestamptz, subject text"


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.db.execute(f"create foreign table public.t ({COLUMNS}) server customerio options (endpoint 'messages')")
    mirror_db.at(datetime.now(timezone.utc))
    return mirror_db


def make(s: Sync, on_new_column: str) -> None:
    more = "on_new_column => %s, start_time => now() - interval '9 days'"
    s.db.execute(f"select cio.mirror('public.t', 'analytics.t', {more})",
                 [on_new_column])  # fmt: skip
    s.refresh(TARGET)
    s.db.execute("alter foreign table public.t add column type text")
    assert s.now is not None
    s.at(s.now + timedelta(minutes=16))


def columns(s: Sync, table: str = TARGET) -> list[str]:
    return [row[0] for row in s.rows(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped "
        "order by attnum",
        [table])]  # fmt: skip


def test_add(s: Sync) -> None:
    make(s, "add")
    s.db.execute("create view public.on_top as select * from analytics.t_fresh")
    s.notices.clear()
    assert s.refresh(TARGET)[1:] == (10, 0, "done")  # every bucket, for the new column
    assert "cio: analytics.t: new columns: type" in s.notices
    assert s.value(f"select count(*) from {TARGET} where type is null") == 0
    assert columns(s) == ["id", "created", "subject", "_first_seen_at", "_changed_at", "_deleted_at", "type"]
    assert columns(s, "analytics.t_fresh")[-1] == "type"
    assert columns(s, "analytics.t_live") == ["id", "created", "subject", "type"]


def test_ignore_and_sync_columns(s: Sync) -> None:
    make(s, "ignore")
    s.refresh(TARGET)
    assert "type" not in columns(s)
    assert s.rows(f"select cio.sync_columns('{TARGET}')") == [("type",)]
    assert s.rows(f"select cio.sync_columns('{TARGET}')") == []
    s.refresh(TARGET)
    assert s.value(f"select count(*) from {TARGET} where type is null") == 0


def test_fail(s: Sync) -> None:
    make(s, "fail")
    s.sim.reset()
    with pytest.raises(
        psycopg.Error, match=r"cio: t has new columns: type|cio: public.t has new columns: type"
    ) as caught:
        s.refresh(TARGET)
    assert s.requests() == []
    s.db.execute(caught.value.diag.message_hint or "")
    assert s.refresh(TARGET)[3] == "done"


def test_a_column_that_is_gone_keeps_its_old_values(s: Sync) -> None:
    make(s, "add")
    s.refresh(TARGET)
    before = s.rows(f"select id, subject from {TARGET} order by id")
    s.db.execute("alter foreign table public.t drop column subject cascade")
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    assert s.refresh(TARGET)[3] == "done"
    assert s.rows(f"select id, subject from {TARGET} order by id") == before


def test_a_column_of_another_type(s: Sync) -> None:
    make(s, "add")
    s.db.execute("alter table analytics.t add column type int")
    with pytest.raises(
        psycopg.Error, match=r"cio: column type of .*t is text now, and integer in analytics.t"
    ) as caught:
        s.refresh(TARGET)
    s.db.execute(caught.value.diag.message_hint or "")
    assert s.refresh(TARGET)[3] == "done"


def test_a_key_column_that_is_gone(s: Sync) -> None:
    make(s, "add")
    s.db.execute("alter foreign table public.t drop column id cascade")
    with pytest.raises(psycopg.Error, match=r"cio: column id, which the mirror analytics.t needs, is gone"):
        s.refresh(TARGET)


def test_a_reader_is_not_held_up_by_a_new_column(s: Sync) -> None:
    make(s, "add")
    with s.connect() as reader, reader.transaction():
        reader.execute(f"select count(*) from {TARGET}")
        s.notices.clear()
        assert s.refresh(TARGET)[3] == "done"
        assert any("wait until nobody uses the table" in notice for notice in s.notices)
    assert "type" not in columns(s)
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    s.refresh(TARGET)
    assert "type" in columns(s)


def test_own_columns_of_the_table_stay(s: Sync) -> None:
    make(s, "add")
    s.db.execute(f"""alter table {TARGET} add column note text,
        add column day date generated always as ((created at time zone 'UTC')::date) stored""")
    s.db.execute(f"update {TARGET} set note = 'mine'")
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    s.refresh(TARGET)
    assert s.rows(f"select distinct note from {TARGET}") == [("mine",)]
