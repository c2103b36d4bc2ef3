"""LIMIT reaches the page size when all that is fetched is returned, and only then."""

from __future__ import annotations

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.days import dated
from tests.sql.helpers import Connection, asked, params, rows

WEEKS = dated("created between '{weeks}' and '{weeks_end}'")


@pytest.mark.parametrize(
    ("rest", "size", "count"),
    [
        (f"where {WEEKS} limit 5", "5", 5),
        (f"where {WEEKS} limit 5 offset 7", "12", 5),
        (f"where {WEEKS} and campaign_id = 3 limit 5", "5", 5),
        (f"where {WEEKS} limit 2000", "1000", None),
        (f"where {WEEKS} fetch first 3 rows only", "3", 3),
    ],
)
def test_limit_is_the_page_size(db: Connection, sim: Simulator, rest: str, size: str, count: int | None) -> None:
    found = rows(db, f"select id from customerio.messages {rest}")
    assert {params(target)["limit"] for target in asked(sim)} == {size}
    if count is not None:
        assert len(found) == count
        assert len(asked(sim)) == 1


def test_explain_expects_no_more_requests_than_the_limit_needs(db: Connection, sim: Simulator) -> None:
    query = "select id from customerio.messages"
    for command in ("explain", "explain (analyze)"):
        whole, five = ([line for (line,) in rows(db, f"{command} {query}{rest}")] for rest in ("", " limit 5"))
        assert int(_estimated(whole)) > 1
        assert _estimated(five) == "1"
    assert "API Requests Sent: 1" in [line.strip() for line in five]


def _estimated(lines: list[str]) -> str:
    (found,) = (line.partition("API Requests Estimated: ")[2] for line in lines if "Requests Estimated" in line)
    return found


@pytest.mark.parametrize(
    "query",
    [
        f"select id from customerio.messages where {WEEKS} order by created limit 5",
        f"select id from customerio.messages where {WEEKS} and subject like '%a%' limit 5",
        f"select id from customerio.messages where {WEEKS} and campaign_id <> 3 limit 5",
        f"select id from customerio.messages where {WEEKS} and (campaign_id = 3 or subject is null) limit 5",
        f"select distinct type from customerio.messages where {WEEKS} limit 5",
        f"select type, count(*) from customerio.messages where {WEEKS} group by type limit 5",
        f"select count(*) from customerio.messages where {WEEKS} limit 5",
        f"select generate_series(1, 2), id from customerio.messages where {WEEKS} limit 5",
        f"select row_number() over () from customerio.messages where {WEEKS} limit 5",
        f"select id from customerio.messages where {WEEKS} union all select 'x' limit 5",
        f"select m.id from customerio.messages m, generate_series(1, 2) where {WEEKS} limit 5",
        f"select id from (select * from customerio.messages where {WEEKS} offset 0) s where subject <> '' limit 5",
        f"select id from customerio.messages where {WEEKS}",
        f"select id from customerio.messages where {WEEKS} limit length(current_setting('TimeZone'))",
        f"select id from customerio.messages where {WEEKS} limit 3 offset length(current_setting('TimeZone'))",
        f"select id from customerio.messages where {WEEKS} limit (select 5)",
    ],
)
def test_limit_is_not_the_page_size(db: Connection, sim: Simulator, query: str) -> None:
    assert rows(db, query)
    sizes = {params(target)["limit"] for target in asked(sim)}
    assert sizes == {"1000"}


def test_a_limited_query_reads_on_when_a_window_is_empty(db: Connection, sim: Simulator) -> None:
    """The first window has too few rows: the next one is asked too."""
    everything = len(rows(db, "select id from customerio.messages"))
    assert len(rows(db, f"select id from customerio.messages limit {everything}")) == everything


def test_a_prepared_limit_is_not_known(db: Connection, sim: Simulator) -> None:
    db.execute("set plan_cache_mode = force_generic_plan")
    db.execute(f"prepare limited (int) as select id from customerio.messages where {WEEKS} limit $1")
    assert len(rows(db, "execute limited (5)")) == 5
    assert {params(target)["limit"] for target in asked(sim)} == {"1000"}
    db.execute("deallocate limited")
