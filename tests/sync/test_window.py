"""Window mode: what a refresh reads, writes and keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.sync.helpers import DAY, TARGET, Sync, today

HOUR = timedelta(hours=1)
MESSAGES = {"path": "/v1/messages"}
EMPTY = {"match": MESSAGES, "times": None, "action": {"kind": "body", "json": {"messages": [], "next": ""}}}
START = today() - 60 * DAY
"""The clock of most tests begins here, so that it can move on and stay in the past."""


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.at(START)
    return mirror_db


def small(s: Sync, days: int = 10, more: str = "") -> str:
    """A mirror that begins `days` before the clock."""
    since = (START - days * DAY).isoformat()
    return s.mirror(more=f"start_time => '{since}'{', ' if more else ''}{more}")


def starts(s: Sync) -> list[int]:
    """The start_ts of each request, in order."""
    found = []
    for target in s.requests():
        query = dict(pair.split("=") for pair in target.partition("?")[2].split("&"))
        found.append(int(query["start_ts"]))
    return found


def row_counts(s: Sync) -> Any:
    return s.rows("""select rows_seen, rows_inserted, rows_updated, rows_deleted, rows_withheld
                     from cio.runs order by run_id desc limit 1""")[0]  # fmt: skip


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


def test_one_bad_bucket_does_not_stop_the_others(s: Sync) -> None:
    small(s)
    bad = str(int((START - 4 * DAY).timestamp()))
    fault = {
        "match": {**MESSAGES, "param": {"start_ts": bad}},
        "times": None,
        "action": {"kind": "status", "status": 503},
    }
    s.sim.faults([fault])
    with pytest.raises(psycopg.Error, match=r"cio: 1 of 11 units of analytics.messages failed") as caught:
        s.refresh()
    assert caught.value.sqlstate == "08006"
    assert "HTTP 503" in str(caught.value.diag.message_detail)
    assert caught.value.diag.message_hint == f"SELECT * FROM cio.errors WHERE target = '{TARGET}'::regclass;"
    assert s.rows("select lo, attempts from cio.errors") == [(START - 4 * DAY, 1)]
    assert s.value("select count(*) from cio.buckets where status = 'current'") == 10
    assert s.refresh()[3] == "idle"  # it waits
    s.at(START + timedelta(seconds=31))
    with pytest.raises(psycopg.Error, match="1 of 1 units"):
        s.refresh()
    assert s.rows("select attempts, next_attempt_at from cio.errors") == [(2, START + timedelta(seconds=91))]
    s.sim.faults([])
    s.at(START + timedelta(seconds=92))
    assert s.refresh()[1:] == (1, 0, "done")
    assert s.rows("select * from cio.errors") == []
    assert s.ids() == s.source_ids(START - 10 * DAY, START)


def test_an_outage_ends_the_run_after_three_failures(s: Sync) -> None:
    small(s)
    s.sim.faults([{"match": MESSAGES, "times": None, "action": {"kind": "status", "status": 503}}])
    with pytest.raises(psycopg.Error, match="3 of 4 units"):
        s.refresh()
    assert len(s.requests()) == 3


def test_a_wrong_key_ends_the_run_at_once(s: Sync) -> None:
    small(s)
    s.db.execute("alter user mapping for current_user server customerio options (set app_api_key 'wrong')")
    with pytest.raises(psycopg.Error, match="1 of 2 units") as caught:
        s.refresh()
    assert caught.value.sqlstate == "28000"
    assert len(s.requests()) == 1


def test_on_error_stop(s: Sync) -> None:
    small(s)
    s.sim.faults([{"match": {**MESSAGES, "nth": 3}, "times": 1, "action": {"kind": "status", "status": 503}}])
    with pytest.raises(psycopg.Error, match="1 of 4 units"):
        s.refresh(more="on_error => 'stop'")


def test_max_units_and_max_runtime(s: Sync) -> None:
    small(s)
    assert s.refresh(more="max_units => 4")[1:] == (4, 7, "partial")
    assert s.refresh(more="max_runtime => '0 s'")[1:] == (0, 7, "partial")
    assert s.refresh(more="max_units => 7")[1:3] == (7, 0)
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    assert s.refresh(more="max_runtime => '1 hour'")[1:] == (11, 0, "done")


def test_frontier_and_live(s: Sync) -> None:
    small(s)
    assert s.value(f"select cio.frontier('{TARGET}') = '-infinity'")
    s.refresh(more="max_units => 5")
    assert s.value(f"select cio.frontier('{TARGET}')") == START - 10 * DAY
    everything = s.source_ids(START - 10 * DAY)
    assert {row[0] for row in s.rows(f"select id from {TARGET}_live")} == everything
    s.refresh()
    assert s.value(f"select cio.frontier('{TARGET}')") == START
    s.sim.reset()
    assert {row[0] for row in s.rows(f"select id from {TARGET}_live")} == everything
    assert min(starts(s)) == int(START.timestamp())


def test_fresh(s: Sync) -> None:
    small(s)
    s.refresh()
    rows = s.rows(f"select status, fresh_as_of, count(*) from {TARGET}_fresh group by 1, 2")
    assert [row[:2] for row in rows] == [("current", START)]
    s.at(START + HOUR)
    assert {row[0] for row in s.rows(f"select status from {TARGET}_fresh where created < %s", [START - 3 * DAY])} == {
        "current"
    }
    assert {row[0] for row in s.rows(f"select status from {TARGET}_fresh where created > %s", [START - DAY])} <= {"due"}


def test_range(s: Sync) -> None:
    small(s)
    s.refresh()
    s.sim.reset()
    s.db.execute(f"call cio.refresh_range('{TARGET}', %s, %s)", [START - 5 * DAY, START - 3 * DAY])
    assert starts(s) == [int((START - 4 * DAY).timestamp()), int((START - 5 * DAY).timestamp())]
    s.sim.reset()
    s.db.execute(f"call cio.refresh_range('{TARGET}', %s, %s)", [START - 3 * DAY, START - 5 * DAY])
    assert s.requests() == []


def test_invalidate(s: Sync) -> None:
    small(s)
    s.refresh()
    assert s.value(f"select cio.invalidate('{TARGET}', %s, %s)", [START - 5 * DAY, START - 3 * DAY]) == 2
    assert s.refresh()[1:] == (2, 0, "done")


def test_reset(s: Sync) -> None:
    small(s)
    s.refresh()
    before = s.ids()
    s.db.execute(f"select cio.reset('{TARGET}')")
    assert s.ids() == before
    assert s.refresh()[1:] == (11, 0, "done")
    assert row_counts(s)[1:] == (0, 0, 0, 0)
    s.db.execute(f"select cio.reset('{TARGET}', truncate => true)")
    assert s.ids() == set()
    s.refresh()
    assert s.ids() == before


def test_backfill(s: Sync) -> None:
    small(s, days=3)
    s.refresh()
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 20 * DAY])
    assert s.ids() == s.source_ids(START - 20 * DAY, START)
    s.sim.reset()
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 20 * DAY])
    assert s.requests() == []
    s.sim.faults([EMPTY])
    s.db.execute(f"call cio.backfill('{TARGET}', %s, stop_after_empty => 3)", [START - 60 * DAY])
    assert len(s.requests()) == 3


def test_pause_and_resume(s: Sync) -> None:
    small(s)
    s.db.execute(f"select cio.pause('{TARGET}')")
    assert s.refresh() == (None, 0, 0, "paused")
    s.db.execute("call cio.refresh_all()")
    assert s.requests() == []
    s.db.execute(f"select cio.resume('{TARGET}')")
    assert s.refresh()[3] == "done"


@pytest.mark.parametrize("bucket", ["6 hours", "3 days"])
def test_another_bucket_keeps_what_is_known(s: Sync, bucket: str) -> None:
    small(s, days=12)
    s.refresh()
    s.db.execute(f"select cio.alter_mirror('{TARGET}', bucket => '{bucket}')")
    s.sim.reset()
    assert s.refresh()[3] == "idle"
    assert {row[0] for row in s.rows("select hi - lo from cio.buckets")} == {s.value(f"select interval '{bucket}'")}
    s.at(START + HOUR)
    s.refresh()
    assert s.ids() == s.source_ids(START - 12 * DAY, START + HOUR)
    assert {row[0] for row in s.rows(f"select status from {TARGET}_fresh")} <= {"current", "due"}


def test_alter_keeps_what_is_null(s: Sync) -> None:
    small(s)
    s.db.execute(f"""select cio.alter_mirror('{TARGET}', tiers => '{{"5 days": "1 hour"}}', deletes => 'ignore')""")
    found = s.rows("select tiers, lookback, deletes, bucket, on_new_column, max_delete_fraction from cio.mirrors")
    assert found == [({"5 days": "1 hour"}, 5 * DAY, "ignore", DAY, "add", 0.2)]


def test_forget(s: Sync) -> None:
    small(s)
    s.refresh()
    victims = sorted(s.ids())[:2]
    s.sim.delete(*victims)
    assert s.value(f"select cio.forget('{TARGET}', %s, %s)", victims) == 2
    assert not s.ids(where="true") & set(victims)
    s.db.execute(f"call cio.refresh_range('{TARGET}', '-infinity', 'infinity')")
    assert not s.ids(where="true") & set(victims)


def test_unmirror(s: Sync) -> None:
    small(s)
    s.refresh()
    before = s.ids()
    s.db.execute(f"select cio.unmirror('{TARGET}')")
    assert s.ids() == before
    assert s.value("select to_regclass('analytics.messages_fresh')") is None
    assert s.value("select count(*) from cio.bucket") == 0
    # The table that is left can become a mirror again.
    small(s)
    assert s.refresh()[3] == "done"
    s.db.execute(f"select cio.unmirror('{TARGET}', drop_table => true)")
    assert s.value(f"select to_regclass('{TARGET}')") is None


def test_estimate(s: Sync) -> None:
    small(s)
    assert s.rows(f"select scope, requests from cio.estimate('{TARGET}')") == [
        ("first load", 10), ("per day", 286), ("now due", 11)]  # fmt: skip
    assert s.rows("select due, next_due_at from cio.mirrors") == [(11, START)]
    s.refresh(more="max_units => 4")
    assert s.value("select due from cio.mirrors") == 7
    assert s.rows(f"select requests, seconds from cio.estimate('{TARGET}') where scope = 'now due'") == [(7, 0)]


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
