"""activities_by_page: one page of the feed at a time, by the cursor that the page before it told."""

from __future__ import annotations

import base64
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


def token(offset: int) -> str:
    return base64.b64encode(f"activity:{offset}".encode()).decode()


def test_an_empty_page_is_no_end(db: Connection, sim: Simulator, feed: str) -> None:
    """It has no row that could tell the next page, so that the rows of that one stand for it."""
    query = f"select id, page, next_page from {feed} where page = %s"
    expected = rows(db, query, [token(PAGE)])
    sim.reset()
    empty = {"kind": "body", "json": {"activities": [], "next": token(7 * PAGE)}}
    back = {"kind": "body", "json": {"activities": [], "next": token(PAGE)}}
    faults = [{"match": {"param": {"start": token(PAGE)}}, "times": 1, "action": empty},
              {"match": {"param": {"start": token(7 * PAGE)}}, "times": 1, "action": back}]  # fmt: skip
    sim.faults(faults)
    assert rows(db, query, [token(PAGE)]) == expected
    assert len(asked(sim)) == 3
    sim.faults([{**fault, "times": None} for fault in faults])
    with refused("HV000") as caught:
        db.execute(query, [token(PAGE)])
    assert "leads back to an earlier page" in str(caught.value)
    sim.faults([])


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
