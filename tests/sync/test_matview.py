"""Materialized views over foreign tables, refreshed as users know it, and by cio.refresh_matview."""

from __future__ import annotations

import psycopg
import pytest

from tests.sync.helpers import Sync

VIEW = "public.sends"
EMPTY = [{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "body", "json": {"segments": []}}}]


@pytest.fixture
def s(mirror_db: Sync) -> Sync:
    mirror_db.db.execute(f"create materialized view {VIEW} as select id, name from customerio.segments with no data")
    return mirror_db


def count(s: Sync) -> int:
    return int(s.value(f"select count(*) from {VIEW}"))


def refreshed(s: Sync, more: str = "") -> tuple[int, int]:
    return s.rows(f"select * from cio.refresh_matview('{VIEW}'{more})")[0]  # type: ignore[return-value]


def test_the_first_and_the_next(s: Sync) -> None:
    n = len(s.sim.data("segments"))
    assert refreshed(s) == (0, n)
    s.db.execute(f"create unique index on {VIEW} (id)")
    before = s.value(f"select relfilenode from pg_class where oid = '{VIEW}'::regclass")
    assert refreshed(s) == (n, n)
    # Concurrently: the table was not written anew.
    assert s.value(f"select relfilenode from pg_class where oid = '{VIEW}'::regclass") == before
    assert refreshed(s, ", concurrently => false") == (n, n)
    assert s.value(f"select relfilenode from pg_class where oid = '{VIEW}'::regclass") != before


@pytest.mark.parametrize("index", [True, False])
def test_it_refuses_to_wipe(s: Sync, index: bool) -> None:
    refreshed(s)
    n = count(s)
    if index:
        s.db.execute(f"create unique index on {VIEW} (id)")
    s.sim.faults(EMPTY)
    with pytest.raises(
        psycopg.Error, match=f"cio: refreshing sends would leave 0 of {n} rows|refreshing public.sends would"
    ) as caught:
        refreshed(s)
    assert count(s) == n
    s.db.execute(caught.value.diag.message_hint or "")
    assert count(s) == 0


def test_a_plain_refresh_wipes(s: Sync) -> None:
    """What the function is for."""
    refreshed(s)
    s.sim.faults(EMPTY)
    s.db.execute(f"refresh materialized view {VIEW}")
    assert count(s) == 0


def test_a_failed_scan_keeps_the_rows(s: Sync) -> None:
    refreshed(s)
    n = count(s)
    s.sim.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "status", "status": 503}}])
    with pytest.raises(psycopg.Error, match="HTTP 503"):
        refreshed(s)
    assert count(s) == n


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("'pg_class'", "cio: pg_class is not a materialized view"),
        (f"'{VIEW}', max_drop => 2", "cio: max_drop must be between 0 and 1"),
        (f"'{VIEW}', concurrently => true", "cannot be refreshed concurrently: it has no rows yet, or no unique index"),
    ],
)
def test_wrong_arguments(s: Sync, arguments: str, said: str) -> None:
    with pytest.raises(psycopg.Error, match=said) as caught:
        s.db.execute(f"select * from cio.refresh_matview({arguments})")
    assert caught.value.diag.message_hint


def test_a_view_over_a_mirror(s: Sync) -> None:
    s.mirror("campaigns")
    s.refresh("analytics.campaigns")
    s.db.execute(
        "create materialized view public.c as select id, name from analytics.campaigns where _deleted_at is null"
    )
    s.sim.reset()
    s.db.execute("select * from cio.refresh_matview('public.c')")
    assert s.requests() == []
