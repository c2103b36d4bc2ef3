"""activities_by_page: one page of the feed at a time, by the cursor that the page before it told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, refused, rows

PAGE = 100


@pytest.fixture
def feed(db: Connection, sim: Simulator) -> Iterator[str]:
    db.execute("create schema by_page")
    db.execute("import foreign schema customerio limit to (activities_by_page) from server customerio into by_page")
    yield "by_page.activities_by_page"
    db.execute("drop schema by_page cascade")


def test_page_after_page(db: Connection, sim: Simulator, feed: str) -> None:
    token, found = "", []
    while token is not None:
        sim.reset()
        page = rows(db, f"select id, page, next_page from {feed} where page = %s", [token])
        assert len(asked(sim)) == 1
        assert {row[1] for row in page} == {token}
        (following,) = {row[2] for row in page}
        found += [row[0] for row in page]
        token = following
    assert found == [
        row["id"] for row in sorted(sim.data("activities"), key=lambda r: (r["timestamp"], r["id"]), reverse=True)
    ]
    assert len(found) > 2 * PAGE


def test_all_pages(db: Connection, sim: Simulator, feed: str) -> None:
    counts = rows(db, f"select page, count(*) from {feed} group by page")
    assert len(counts) == len(asked(sim)) > 2
    assert sum(count for _, count in counts) == len(sim.data("activities"))


def test_a_refused_cursor(db: Connection, feed: str) -> None:
    with refused("HV000") as caught:
        db.execute(f"select 1 from {feed} where page = 'no token'")
    assert "HTTP 400" in str(caught.value)


def test_null_is_no_page(db: Connection, sim: Simulator, feed: str) -> None:
    assert rows(db, f"select 1 from {feed} where page = null") == []
    assert asked(sim) == []
