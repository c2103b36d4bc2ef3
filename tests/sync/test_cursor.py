"""Cursor mode: a feed read page by page, with no hole however often it is interrupted."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.sync.helpers import DAY, Sync

TARGET = "analytics.activities"
FEED = {"path": "/v1/activities"}
PAGE = 100
BEGIN_S = int(time.time()) - 5 * 86400


def event(number: int, at_s: Optional[int] = None) -> dict[str, Any]:
    """The activity of this number: a higher one is later."""
    at = BEGIN_S + number if at_s is None else at_s
    person = {"id": "u-1", "email": None, "cio_id": "c1"}
    return {"id": f"01{number:08d}", "type": "event", "name": "x", "timestamp": at, "customer_id": "u-1",
            "customer_identifiers": person, "data": {"n": number}}  # fmt: skip


@pytest.fixture
def feed(world: Simulator) -> Iterator[Simulator]:
    """A feed of events 0 … 999, and nothing else."""
    before = world.data("activities")
    for row in before:
        world.delete_row("activities", row["id"])
    world.put_rows("activities", [event(n) for n in range(1000)])
    yield world
    for row in world.data("activities"):
        world.delete_row("activities", row["id"])
    world.put_rows("activities", before)


@pytest.fixture
def s(feed: Simulator, mirror_db: Sync) -> Sync:
    mirror_db.at(datetime.now(timezone.utc))
    mirror_db.mirror("activities")
    return mirror_db


def later(s: Sync, minutes: int = 20) -> None:
    assert s.now is not None
    s.at(s.now + timedelta(minutes=minutes))


def stored(s: Sync) -> set[int]:
    return {row[0] for row in s.rows(f"select (data->>'n')::int from {TARGET}")}


def segments(s: Sync) -> list[tuple[int, int, bool]]:
    """(top, bottom, whether something is left to read below), newest first."""
    found = s.rows("select top_key, bottom_key, next_page is not null from cio.segment order by top_at desc")
    return [(int(top[2:]), int(bottom[2:]), is_open) for top, bottom, is_open in found]


def test_first_load_and_new_rows(s: Sync) -> None:
    assert s.refresh(TARGET)[1:] == (10, 0, "done")
    assert stored(s) == set(range(1000))
    assert segments(s) == [(999, 0, False)]
    assert s.refresh(TARGET)[3] == "idle"
    later(s)
    s.sim.put_rows("activities", [event(n) for n in range(1000, 1005)])
    s.sim.reset()
    assert s.refresh(TARGET)[1:] == (2, 0, "done")  # the page where the known rows begin, and one of overlap
    assert len(s.requests()) == 2
    assert stored(s) == set(range(1005))
    assert s.rows("select rows_inserted, rows_updated from cio.runs order by run_id desc limit 1") == [(5, 0)]


def test_an_interrupted_run_leaves_a_gap_that_the_next_one_closes(s: Sync) -> None:
    s.refresh(TARGET, "max_units => 4")
    assert segments(s) == [(999, 600, True)]
    later(s)
    s.sim.put_rows("activities", [event(n) for n in range(1000, 1500)])
    s.refresh(TARGET, "max_units => 2")
    assert segments(s) == [(1499, 1300, True), (999, 600, True)]
    gaps = s.rows(
        "select extract(epoch from lo)::bigint, extract(epoch from hi)::bigint, reason from cio.gaps order by 2"
    )
    assert gaps == [(None, BEGIN_S + 600, "unread"), (BEGIN_S + 999, BEGIN_S + 1300, "unread")]
    later(s)
    assert s.refresh(TARGET)[2:] == (0, "done")
    assert segments(s) == [(1499, 0, False)]
    assert stored(s) == set(range(1500))
    assert s.rows("select * from cio.gaps") == []


def test_many_rows_while_it_reads(s: Sync) -> None:
    """The tokens are offsets, so that new rows make pages overlap."""
    top = 1000
    for _ in range(30):
        s.refresh(TARGET, "max_units => 1")
        s.sim.put_rows("activities", [event(n) for n in range(top, top + 37)])
        top += 37
        later(s)
    s.refresh(TARGET)
    later(s)
    s.refresh(TARGET)
    assert stored(s) == set(range(top))
    assert segments(s) == [(top - 1, 0, False)]


def test_a_row_that_comes_late_is_found_by_the_overlap(s: Sync) -> None:
    s.refresh(TARGET)
    s.sim.put_rows("activities", [event(5000, BEGIN_S + 850), event(1000)])
    later(s)
    s.refresh(TARGET)
    assert stored(s) == {*range(1001), 5000}


def test_a_refused_token_costs_a_walk_from_the_head(s: Sync) -> None:
    s.refresh(TARGET, "max_units => 4")
    token = s.value("select next_page from cio.segment")
    refuse = {"match": {**FEED, "param": {"start": token}}, "times": 1, "action": {"kind": "status", "status": 400}}
    s.sim.faults([refuse])
    assert s.refresh(TARGET)[3] == "done"
    assert stored(s) == set(range(1000))
    assert segments(s) == [(999, 0, False)]
    assert any("the page token is refused" in notice for notice in s.notices)


def test_tokens_that_are_always_refused_are_an_error(s: Sync) -> None:
    s.refresh(TARGET, "max_units => 1")
    s.sim.faults(
        [{"match": {**FEED, "param": {"start": ""}}, "times": None, "action": {"kind": "status", "status": 400}}]
    )
    with pytest.raises(psycopg.Error, match=r"1 of .* units of analytics.activities failed"):
        s.refresh(TARGET)
    assert len(s.requests()) < 15
    s.sim.faults([])
    later(s)
    s.refresh(TARGET)
    assert stored(s) == set(range(1000))


def test_a_fault_in_the_middle_keeps_what_was_read(s: Sync) -> None:
    s.sim.faults([{"match": {**FEED, "nth": 6}, "times": 1, "action": {"kind": "status", "status": 503}}])
    with pytest.raises(psycopg.Error, match="1 of 6 units"):
        s.refresh(TARGET)
    assert segments(s) == [(999, 500, True)]
    assert s.refresh(TARGET)[3] == "idle"  # it waits
    later(s)
    s.sim.reset()
    s.refresh(TARGET)
    assert stored(s) == set(range(1000))
    assert len(s.requests()) <= 8


@pytest.mark.parametrize("offset", [100, 300, 900])
def test_an_empty_page_is_no_end(s: Sync, offset: int) -> None:
    """Neither in the first load, nor where a later refresh meets the known rows."""
    start, odd = (base64.b64encode(f"activity:{n}".encode()).decode() for n in (offset, 5000))
    faults = [{"match": {**FEED, "param": {"start": start}}, "times": 1, "action": body([], odd)},
              {"match": {**FEED, "param": {"start": odd}}, "times": 1, "action": body([], start)}]  # fmt: skip
    s.sim.faults(faults)
    assert s.refresh(TARGET)[1:] == (10, 0, "done")
    assert len(s.requests()) == 12
    assert stored(s) == set(range(1000))
    assert segments(s) == [(999, 0, False)]
    later(s)
    s.sim.reset()
    s.sim.put_rows("activities", [event(n) for n in range(1000, 1000 + offset + 1)])
    s.sim.faults(faults)
    assert s.refresh(TARGET)[3] == "done"
    assert stored(s) == set(range(1000 + offset + 1))
    assert segments(s) == [(1000 + offset, 0, False)]


def body(rows: list[dict[str, Any]], following: str) -> dict[str, Any]:
    return {"kind": "body", "json": {"activities": rows, "next": following}}


def test_a_feed_that_is_not_sorted_is_read_to_its_end(s: Sync) -> None:
    s.refresh(TARGET)
    later(s)
    body = {"activities": [event(2001), event(2003), event(2002), event(998)], "next": "YWN0aXZpdHk6MTAw"}
    s.sim.faults([{"match": FEED, "times": 1, "action": {"kind": "body", "json": body}}])
    s.notices.clear()
    assert s.refresh(TARGET)[1:] == (10, 0, "done")
    assert any("not sorted newest first" in notice for notice in s.notices)
    assert stored(s) == {*range(1000), 2001, 2002, 2003}
    later(s)
    assert s.refresh(TARGET)[1] <= 3


def test_one_at_a_time(s: Sync) -> None:
    with s.connect() as other:
        mirror_id = s.value("select mirror_id from cio.mirror_def")
        with other.transaction():
            other.execute("select pg_advisory_xact_lock(cio._lock_class(), %s)", [mirror_id])
            assert s.refresh(TARGET)[3] == "skipped"
    assert s.requests() == []
    assert s.refresh(TARGET)[3] == "done"


def test_what_the_feed_forgets_is_lost_and_shown(s: Sync) -> None:
    s.refresh(TARGET, "max_units => 4")
    for n in range(700):
        s.sim.delete_row("activities", f"01{n:08d}")
    s.sim.put_rows("activities", [event(n) for n in range(40_000, 40_150)])
    later(s)
    s.refresh(TARGET)
    # 600 … 699 were read in time; what was below them is gone. The rows stay.
    assert stored(s) == {*range(600, 1000), *range(40_000, 40_150)}
    assert segments(s) == [(40_149, 600, False)]


def test_a_hole_between_segments_that_is_gone_for_good(s: Sync) -> None:
    s.refresh(TARGET)
    s.sim.put_rows("activities", [event(n) for n in range(1000, 1400)])
    later(s)
    s.refresh(TARGET, "max_units => 1")
    for n in range(1350):
        s.sim.delete_row("activities", f"01{n:08d}")
    later(s)
    assert s.refresh(TARGET)[3] == "done"
    assert stored(s) == {*range(1000), *range(1300, 1400)}
    assert segments(s) == [(1399, 1300, False), (999, 0, False)]
    assert s.rows("select extract(epoch from lo)::bigint, reason from cio.gaps") == [(BEGIN_S + 999, "lost")]
    later(s)
    assert s.refresh(TARGET)[1] == 1


def test_an_empty_feed(s: Sync, feed: Simulator) -> None:
    for row in feed.data("activities"):
        feed.delete_row("activities", row["id"])
    assert s.refresh(TARGET)[1:] == (1, 0, "done")
    assert s.refresh(TARGET)[3] == "idle"
    feed.put_rows("activities", [event(1)])
    later(s)
    s.refresh(TARGET)
    assert stored(s) == {1}


def test_fresh(s: Sync) -> None:
    s.refresh(TARGET)
    assert s.rows(f"select status, fresh_as_of, count(*) from {TARGET}_fresh group by 1, 2") == [
        ("settled", s.now, 1000)
    ]


def test_loss_deadline(s: Sync) -> None:
    s.refresh(TARGET, "max_units => 4")
    deadline = datetime.fromtimestamp(BEGIN_S + 600, timezone.utc) + 30 * DAY
    assert s.rows("select loss_deadline from cio.mirrors") == [(deadline,)]


def test_by_the_table_with_pages_itself(feed: Simulator, mirror_db: Sync) -> None:
    mirror_db.mirror("activities_by_page", TARGET)
    mirror_db.refresh(TARGET)
    assert stored(mirror_db) == set(range(1000))


def test_without_a_table_by_page(feed: Simulator, mirror_db: Sync) -> None:
    mirror_db.db.execute("drop foreign table customerio.activities_by_page")
    with pytest.raises(psycopg.Error, match="cio: cursor mode needs a foreign table that tells the page") as caught:
        mirror_db.mirror("activities")
    mirror_db.db.execute(caught.value.diag.message_hint or "")
    mirror_db.mirror("activities")
