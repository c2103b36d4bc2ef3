"""Where a mirror begins and on what grid: whatever moves it, time that was not read never counts as read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.sync.helpers import DAY, TARGET, Sync, today, utc

HOUR = timedelta(hours=1)
START = today() - 60 * DAY
DOWN = [{"match": {"path": "/v1/messages"}, "times": 1, "action": {"kind": "status", "status": 503}}]


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.at(START)
    return mirror_db


def begin(s: Sync, since: Any, more: str = "") -> None:
    s.mirror(more=f"start_time => '{since.isoformat()}'{', ' if more else ''}{more}")


def start_at(s: Sync, since: Any) -> None:
    s.db.execute(f"select cio.alter_mirror('{TARGET}', start_time => %s)", [since])


def settle(s: Sync) -> None:
    """Refreshes until nothing is due."""
    while s.refresh()[3] != "idle":
        pass


def has_no_hole(s: Sync) -> None:
    holes = s.rows(
        "select lo from (select lo, hi, lead(lo) over (order by lo) as next from cio.buckets) b where hi <> next"
    )
    assert holes == []


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
def test_buckets_lie_on_a_grid_of_utc(s: Sync, zone: str) -> None:
    """The clocks of each zone change within these buckets."""
    s.at(utc(2026, 4, 20))
    s.db.execute(f"set timezone = '{zone}'")
    s.mirror(more="start_time => '2026-02-20 00:00+00', retention => '4 months'")
    s.sim.faults([{"match": {}, "times": None, "action": {"kind": "body", "json": {"messages": [], "next": ""}}}])
    s.refresh(more="max_units => 3")
    s.db.execute("set timezone = 'UTC'")
    s.db.execute("call cio.refresh_all()")
    has_no_hole(s)
    grid = s.rows("select lo, hi from cio.buckets order by lo")
    assert grid == [(utc(2026, 2, 20) + n * DAY, utc(2026, 2, 21) + n * DAY) for n in range(60)]
    s.db.execute(f"set timezone = '{zone}'")
    s.db.execute(f"call cio.backfill('{TARGET}', '2026-01-31 00:00+00')")
    s.db.execute(f"select cio.alter_mirror('{TARGET}', bucket => '12 hours')")
    s.db.execute("set timezone = 'UTC'")
    has_no_hole(s)
    assert s.rows("select min(lo), max(hi), count(*) from cio.buckets") == [(utc(2026, 1, 31), utc(2026, 4, 21), 160)]
    s.db.execute(f"select cio.alter_mirror('{TARGET}', bucket => '1 day')")
    assert s.rows("select distinct hi - lo from cio.buckets") == [(DAY,)]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Anchorage"])
def test_the_time_zone_of_a_session_decides_nothing(s: Sync, zone: str) -> None:
    """Days of 24 hours and months of UTC: what is due, settled, frozen and when is the same for everybody."""
    s.at(utc(2026, 3, 31, 3))
    s.mirror(more="""start_time => '2025-10-01 00:00+00', tiers => '{"2 months": "1 month"}'""")
    s.refresh(more="max_units => 0")
    s.db.execute("update cio.bucket set fetched_at = hi where hi <= '2026-03-01'")
    asked = "select lo, hi, status, next_due_at from cio.buckets order by lo"
    looked = "select due, settled, frozen, lost, next_due_at, frontier from cio.mirrors"
    s.db.execute("set timezone = 'UTC'")
    expected = s.rows(asked), s.rows(looked), s.rows("select * from cio.gaps")
    s.db.execute(f"set timezone = '{zone}'")
    assert (s.rows(asked), s.rows(looked), s.rows("select * from cio.gaps")) == expected


def test_an_earlier_start_reads_what_lies_between(s: Sync) -> None:
    begin(s, START - 4 * DAY - 6 * HOUR)
    s.refresh()
    assert s.ids() == s.source_ids(START - 4 * DAY - 6 * HOUR, START)
    start_at(s, START - 9 * DAY - 2 * HOUR)
    # At once, not only after the next refresh.
    assert s.value(f"select cio.frontier('{TARGET}')") <= START - 9 * DAY - 2 * HOUR
    assert s.refresh()[1] == 6
    assert s.ids() == s.source_ids(START - 9 * DAY - 2 * HOUR, START)
    assert s.value(f"select cio.frontier('{TARGET}')") == START


def test_an_earlier_start_with_another_bucket(s: Sync) -> None:
    begin(s, START - 4 * DAY - 6 * HOUR)
    s.refresh()
    s.db.execute(f"select cio.alter_mirror('{TARGET}', bucket => '3 days', start_time => %s)", [START - 6 * DAY])
    settle(s)
    assert s.ids() == s.source_ids(START - 6 * DAY, START)
    has_no_hole(s)


def test_a_later_start_and_back_again(s: Sync) -> None:
    begin(s, START - 9 * DAY)
    s.refresh(more="max_units => 6")
    start_at(s, START - 2 * DAY - HOUR)
    s.sim.reset()
    s.at(START + 5 * DAY)
    s.refresh()
    edge = START - 2 * DAY - HOUR
    # What lies before it is not asked for, and the rows stay.
    assert all(int(path.partition("start_ts=")[2].partition("&")[0]) >= edge.timestamp() for path in s.requests())
    assert s.ids() == s.source_ids(START - 5 * DAY, START + 5 * DAY)
    assert s.rows("select * from cio.gaps") == []
    late = s.sim.add_messages(*({"created": int((START - n * DAY).timestamp()) - 60, "metrics": {"sent": 1}}
                                for n in range(3, 9)))  # fmt: skip
    start_at(s, START - 9 * DAY)
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    settle(s)
    assert s.ids() == s.source_ids(START - 9 * DAY, START + 5 * DAY)
    has_no_hole(s)
    s.sim.delete(*(row["id"] for row in late))


def test_a_start_moved_to_and_fro_without_a_refresh_between(s: Sync) -> None:
    begin(s, START - 9 * DAY)
    for since in (START - 3 * DAY - HOUR, START - 7 * DAY - HOUR, START - 5 * DAY - HOUR, START - 8 * DAY - HOUR):
        start_at(s, since)
        s.refresh(more="max_units => 2")
    settle(s)
    assert s.ids() == s.source_ids(START - 8 * DAY - HOUR, START)
    has_no_hole(s)


def test_an_outage_longer_than_the_retention_leaves_no_hole_in_the_ledger(s: Sync) -> None:
    begin(s, START - 3 * DAY, "retention => '10 days'")
    s.refresh()
    s.at(START + 20 * DAY)
    s.refresh()
    has_no_hole(s)
    # What the newest bucket held when it was read last is known; all after it, until the retention, is not.
    lost = s.rows("select min(lo), max(hi) from cio.gaps where reason = 'lost'")
    assert lost == [(START, START + 10 * DAY)]
    assert s.value("select lost from cio.mirrors") == 9
    assert s.value(f"select cio.frontier('{TARGET}')") == START + 20 * DAY


def test_a_bucket_that_a_backfill_could_not_read_is_read_later(s: Sync) -> None:
    begin(s, START - 3 * DAY)
    s.refresh()
    s.sim.faults([{**DOWN[0], "match": {"path": "/v1/messages", "nth": 3}}])
    with pytest.raises(psycopg.Error, match=r"cio: 1 of \d units"):
        s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 9 * DAY])
    s.sim.faults([])
    assert s.value(f"select cio.frontier('{TARGET}')") == START - 6 * DAY
    s.at(START + timedelta(minutes=5))
    s.refresh()
    assert s.source_ids(START - 6 * DAY, START) <= s.ids()
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 9 * DAY])
    settle(s)
    assert s.ids() == s.source_ids(START - 9 * DAY, START + timedelta(minutes=5))


def test_a_backfill_beyond_the_retention_goes_on_where_it_failed(s: Sync) -> None:
    """No refresh asks for those, so that the next backfill must."""
    s.mirror(more="retention => '5 days'")
    s.refresh()
    s.sim.faults([{**DOWN[0], "match": {"path": "/v1/messages", "nth": 2}}])
    with pytest.raises(psycopg.Error, match=r"cio: 1 of \d units"):
        s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 9 * DAY])
    s.sim.faults([])
    s.at(START + timedelta(minutes=5))
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 9 * DAY])
    settle(s)
    assert s.ids() == s.source_ids(START - 9 * DAY, START + timedelta(minutes=5))
    assert s.rows("select * from cio.gaps where lo < %s", [START]) == []


def test_a_backfill_reads_the_rest_of_the_first_bucket_itself(s: Sync) -> None:
    begin(s, START - 3 * DAY - 6 * HOUR)
    s.refresh()
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 5 * DAY - HOUR])
    assert s.ids() == s.source_ids(START - 5 * DAY - HOUR, START)
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 5 * DAY - 3 * HOUR])
    assert s.ids() == s.source_ids(START - 5 * DAY - 3 * HOUR, START)


def test_a_backfill_of_a_paused_mirror_moves_nothing(s: Sync) -> None:
    begin(s, START - 3 * DAY - 6 * HOUR)
    s.refresh()
    s.db.execute(f"select cio.pause('{TARGET}')")
    state = "select d.start_time, b.* from cio.mirror_def d join cio.bucket b using (mirror_id) order by b.lo"
    before = s.rows(state)
    s.sim.reset()
    s.db.execute(f"call cio.backfill('{TARGET}', %s)", [START - 9 * DAY])
    assert s.rows(state) == before
    assert s.requests() == []


def test_an_owner_who_may_not_make_temporary_tables(s: Sync) -> None:
    s.db.execute(f"revoke temporary on database {s.db.info.dbname} from public")
    s.db.execute(f"create role beginner; grant create on database {s.db.info.dbname} to beginner")
    s.db.execute("grant usage on schema customerio to beginner; grant select on customerio.messages to beginner")
    try:
        s.db.execute("set role beginner")
        begin(s, START - 3 * DAY)
        s.db.execute(f"select cio.alter_mirror('{TARGET}', bucket => '6 hours')")
    finally:
        s.db.execute("reset role")
        s.db.execute("drop owned by beginner cascade; drop role beginner")
