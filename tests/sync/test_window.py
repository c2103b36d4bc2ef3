"""Window mode: what a refresh reads, writes and keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.sync.helpers import DAY, TARGET, Sync
from tests.sync.window_world import EMPTY, HOUR, MESSAGES, START, row_counts, small, starts


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.at(START)
    return mirror_db


def writes(s: Sync) -> Any:
    """Rows that were ever written in the database's own tables."""
    s.db.execute("select pg_stat_force_next_flush()" if s.db.info.server_version >= 150000 else "select pg_sleep(1.1)")
    return s.value("select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables")


def test_the_headline(mirror_db: Sync) -> None:
    s = mirror_db
    assert s.mirror() == TARGET
    assert s.ids() == set()
    assert s.refresh()[1:] == (184, 0, "done")
    oldest = s.value("select min(lo) from cio.buckets")
    assert s.ids() == s.source_ids(oldest)
    assert s.value("select count(*) from cio.gaps") == 0
    columns = "id, created, opened, metrics, raw"
    different = f"select {columns} from customerio.messages except select {columns} from {TARGET}"
    assert s.rows(different) == []


def test_newest_first(s: Sync) -> None:
    small(s)
    s.refresh()
    asked = starts(s)
    assert asked == sorted(asked, reverse=True)
    # The newest bucket begins now: a range of nothing asks nothing.
    assert len(asked) == len(set(asked)) == 10


def test_a_noop_asks_and_writes_nothing(s: Sync) -> None:
    small(s)
    s.refresh()
    s.sim.reset()
    before = writes(s)
    assert s.refresh() == (None, 0, 0, "idle")
    assert writes(s) == before
    assert s.requests() == []
    assert s.value("select count(*) from cio.runs") == 1


def test_reading_again_writes_no_row_that_is_equal(s: Sync) -> None:
    small(s)
    s.refresh()
    touched = f"select n_tup_ins, n_tup_upd, n_tup_del from pg_stat_user_tables where relid = '{TARGET}'::regclass"
    writes(s)
    before = s.rows(touched)
    s.db.execute(f"call cio.refresh_range('{TARGET}', '-infinity', 'infinity')")
    writes(s)
    assert s.rows(touched) == before
    assert row_counts(s)[1:] == (0, 0, 0, 0)


def test_tiers(s: Sync) -> None:
    small(s, days=20, more="""tiers => '{"2 days": "15 min", "14 days": "6 hours", "18 days": "1 day"}'""")
    s.refresh()
    s.at(START + timedelta(minutes=14))
    assert s.refresh()[1] == 0
    s.at(START + timedelta(minutes=15))
    assert s.refresh()[1] == 2
    s.at(START + 6 * HOUR)
    # Those younger than 14 days; the newest two once, though they are due by their own tier too.
    assert s.refresh()[1] == 14


def test_closing_read_and_settled(s: Sync) -> None:
    small(s, days=3, more="""tiers => '{"1 day": "1 hour", "3 days": "12 hours"}'""")
    s.refresh()
    s.at(START + 40 * DAY)  # nothing was refreshed for over a month
    first = [lo for (lo,) in s.rows("select lo from cio.buckets where status = 'due' order by lo")]
    assert first[0] == START - 3 * DAY
    s.refresh()
    statuses = dict(s.rows("select status, count(*) from cio.buckets group by 1"))
    assert statuses == {"settled": 40, "current": 4}
    s.sim.reset()
    s.at(START + 40 * DAY + 2 * HOUR)
    assert s.refresh()[1] == 1
    s.at(START + 45 * DAY)
    s.refresh()
    later = s.rows("select lo from cio.buckets where fetched_at > %s and lo < %s", [START + 44 * DAY, START + 36 * DAY])
    assert later == []


def test_a_late_open_is_seen(s: Sync) -> None:
    small(s)
    (row,) = s.sim.add_messages({"created": int((START - 7 * DAY).timestamp()), "metrics": {"sent": 1}})
    s.refresh()
    s.sim.touch(row["id"], opened=int((START + HOUR).timestamp()))
    opened = f"select opened is not null, _changed_at from {TARGET} where id = '{row['id']}'"
    s.at(START + 2 * HOUR)
    s.refresh()
    assert s.rows(opened) == [(False, START)]
    s.at(START + 6 * HOUR)
    s.refresh()
    assert s.rows(opened) == [(True, START + 6 * HOUR)]
    s.sim.delete(row["id"])


@pytest.mark.parametrize("deletes", ["mark", "delete", "ignore"])
def test_deletes(s: Sync, deletes: str) -> None:
    small(s, more=f"deletes => '{deletes}'")
    added = s.sim.add_messages(
        *({"created": int(START.timestamp()) - 3600 - i, "metrics": {"sent": 1}} for i in range(4))
    )
    ids = {row["id"] for row in added}
    s.refresh()
    s.sim.delete(*sorted(ids)[:2])
    s.at(START + HOUR)
    s.refresh()
    gone = set(sorted(ids)[:2])
    live, kept = s.ids() & ids, s.ids(where="true") & ids
    expected = {"mark": (ids - gone, ids), "delete": (ids - gone, ids - gone), "ignore": (ids, ids)}[deletes]
    assert (live, kept) == expected
    s.sim.put_rows("messages", [row for row in added if row["id"] in gone])
    s.at(START + 2 * HOUR)
    s.refresh()
    assert s.ids() & ids == ids
    s.sim.delete(*ids)


def test_masses_that_vanish_are_withheld_until_forced(s: Sync) -> None:
    small(s)
    day = int(START.timestamp()) - 7200
    added = s.sim.add_messages(*({"created": day + i, "metrics": {"sent": 1}} for i in range(40)))
    ids = [row["id"] for row in added]
    s.refresh()
    s.sim.delete(*ids[:20])
    s.at(START + HOUR)
    s.notices.clear()
    s.refresh()
    assert set(ids) <= s.ids()
    assert any("20 rows are missing at the source" in notice for notice in s.notices)
    assert row_counts(s)[3:] == (0, 20)
    suspect = s.rows("select lo, hi from cio.buckets where status = 'suspect'")
    assert suspect == [(START - DAY, START)]
    s.db.execute(f"call cio.refresh_range('{TARGET}', %s, %s, force => true)", list(suspect[0]))
    assert s.ids() & set(ids) == set(ids[20:])
    assert s.rows("select 1 from cio.buckets where status = 'suspect'") == []
    s.sim.delete(*ids[20:])


def test_an_empty_answer_deletes_nothing(s: Sync) -> None:
    small(s)
    s.refresh()
    before = s.ids()
    assert before
    s.sim.faults([EMPTY])
    s.at(START + 7 * HOUR)
    s.refresh()
    assert s.ids() == before
    s.sim.faults([])
    s.at(START + 14 * HOUR)
    s.refresh()
    assert s.rows("select 1 from cio.buckets where status = 'suspect'") == []


def test_a_row_on_two_pages_is_one_row(s: Sync) -> None:
    small(s, days=1)
    row = s.sim.add_messages({"created": int(START.timestamp()) - 60, "metrics": {"sent": 1}})[0]
    body = {"messages": [row, row], "next": ""}
    s.sim.faults([{"match": MESSAGES, "times": None, "action": {"kind": "body", "json": body}}])
    assert s.refresh()[3] == "done"
    assert row["id"] in s.ids()
    s.sim.delete(row["id"])


def test_what_the_source_forgets_is_kept(s: Sync) -> None:
    small(s, days=9, more="retention => '10 days'")
    s.refresh()
    kept = s.ids()
    s.at(START + 5 * DAY)
    s.sim.faults([EMPTY])
    s.refresh()
    s.sim.reset()
    s.refresh(more="max_units => 100")
    assert s.ids() == kept
    statuses = dict(s.rows("select status, count(*) from cio.buckets where lo < %s group by 1", [START - 5 * DAY]))
    assert statuses == {"frozen": 4}
    s.db.execute(f"call cio.refresh_range('{TARGET}', '-infinity', %s, force => true)", [START - 5 * DAY])
    assert s.requests() == []


def test_a_bucket_that_was_never_read_in_time_is_lost(s: Sync) -> None:
    small(s, days=9, more="retention => '10 days'")
    s.refresh(more="max_units => 6")
    s.at(START + 5 * DAY)
    s.refresh()
    gaps = s.rows("select lo, reason from cio.gaps order by lo")
    assert gaps == [(START - (9 - i) * DAY, "lost") for i in range(4)]
    assert s.value(f"select cio.frontier('{TARGET}')") == START + 5 * DAY


def test_without_search_path_nor_dst(s: Sync) -> None:
    """Nothing depends on the session's settings."""
    for setting in (
        "timezone = 'America/New_York'",
        "datestyle = 'SQL, DMY'",
        "search_path = ''",
        "intervalstyle = 'iso_8601'",
        "default_transaction_isolation = 'repeatable read'",
    ):
        s.db.execute(f"set {setting}")
    small(s)
    assert s.refresh()[1:] == (11, 0, "done")
    assert s.ids() == s.source_ids(START - 10 * DAY, START)
    assert len(s.rows(f"select id from {TARGET}_live")) == len(s.source_ids(START - 10 * DAY))
