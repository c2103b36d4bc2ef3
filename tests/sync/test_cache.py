"""A refresh reads what the API says now, whatever cio_fdw keeps for dashboards (option cache_ttl)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from cio_fdw.server.cluster import Cluster
from tests.sync.helpers import Sync


@pytest.fixture
def s(mirror_db: Sync, cluster: Cluster) -> Iterator[Sync]:
    mirror_db.at(datetime.now(timezone.utc))
    mirror_db.db.execute("alter server customerio options (add cache_ttl '86400')")
    yield mirror_db
    for path in (cluster.data_dir / "cio_fdw").glob("cache-*.db"):
        path.unlink()


NAMES = "select name from {} order by id"
CACHE_SETTING = "select coalesce(nullif(current_setting('cio_fdw.cache', true), ''), 'on')"
"""On the second door PostgreSQL knows no such setting, and after SET LOCAL of one it leaves the empty text."""


def test_a_refresh_reads_past_the_cache(s: Sync) -> None:
    target = s.mirror("segments")
    before = s.rows(NAMES.format("customerio.segments"))
    first = s.sim.data("segments")[0]
    s.sim.put_rows("segments", [{**first, "name": "renamed"}])
    try:
        assert s.refresh(target)[3] == "done"
        assert ("renamed",) in s.rows(NAMES.format(target))
        assert s.rows(NAMES.format("customerio.segments")) == before, "the session itself goes on with the cache"
        assert s.value(CACHE_SETTING) == "on"
        s.sim.put_rows("segments", [{**first, "name": "renamed again"}])
        assert s.now is not None
        s.at(s.now + timedelta(hours=1))
        s.refresh(target)
        assert ("renamed again",) in s.rows(NAMES.format(target))
    finally:
        s.sim.put_rows("segments", [first])


def test_a_materialized_view_too(s: Sync) -> None:
    s.db.execute("create materialized view analytics_names as select id, name from customerio.segments")
    first = s.sim.data("segments")[0]
    s.sim.put_rows("segments", [{**first, "name": "renamed"}])
    try:
        s.db.execute("refresh materialized view analytics_names")
        assert ("renamed",) not in s.rows(NAMES.format("analytics_names")), "a plain refresh is a query like others"
        s.db.execute("select * from cio.refresh_matview('analytics_names')")
        assert ("renamed",) in s.rows(NAMES.format("analytics_names"))
        assert s.value(CACHE_SETTING) == "on"
    finally:
        s.sim.put_rows("segments", [first])


def test_windows_ask_each_time(s: Sync) -> None:
    target = s.mirror("messages", more="start_time => now() - interval '2 days'")
    s.refresh(target)
    count = len(s.requests())
    assert count > 0
    s.db.execute(f"call cio.refresh_range('{target}', now() - interval '1 day', now())")
    assert len(s.requests()) > count
