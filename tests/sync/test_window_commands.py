"""Window mode: refreshes that fail or are cut short, and every command of a mirror."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.sync.helpers import DAY, TARGET, Sync
from tests.sync.window_world import EMPTY, HOUR, MESSAGES, START, row_counts, small, starts


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.at(START)
    return mirror_db


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
