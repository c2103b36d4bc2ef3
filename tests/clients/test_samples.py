"""What BI tools write for date filters and group-bys asks the API for exactly those times, and counts what is there.

The statements are in samples.py, with where they come from. Rows are counted a second time from the simulator's own
data. Conditions that look alike but keep no order of time ask for everything that the API keeps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from cio_fdw.simulator.client import Simulator
from tests.clients.samples import FOREVER, SAMPLES, TABLE, WIDE, Bounds, Sample, Values, day, fill, last_year
from tests.sql.helpers import Connection, asked, params, rows, value

PAGE = "1000"
WHOLE_DAYS = 180
"""The API keeps six months: what is not narrowed asks for more than this."""

Row = dict[str, Any]


@pytest.fixture
def now(db: Connection) -> Iterator[datetime]:
    """now() of a transaction in UTC, so that midnight cannot come between a statement and what it is compared with."""
    db.execute("set timezone = 'UTC'")
    with db.transaction():
        yield value(db, "select now()")


@pytest.fixture(scope="module")
def messages(simulator: Simulator) -> list[Row]:
    return simulator.data("messages")


def counted(messages: list[Row], bounds: Bounds, wanted: Values) -> int:
    low, high = bounds
    return sum(
        low.timestamp() <= row["created"] < high.timestamp()
        and all(row[column] in values for column, values in wanted.items())
        for row in messages
    )


def check_ranges(targets: list[str], bounds: Bounds) -> None:
    """Together the requests ask for the bounds without a gap, and for no more: what ends in the future has no end."""
    low_s, high_s = (bound.timestamp() for bound in bounds)
    forever_s = FOREVER.timestamp()
    if high_s > time.time():
        high_s = forever_s
    found = sorted({(int(p["start_ts"]), int(p.get("end_ts", forever_s))) for p in map(params, targets)})
    assert found[0][0] == int(low_s)
    assert all(after[0] == before[1] + 1 for before, after in zip(found, found[1:]))
    assert int(high_s) <= found[-1][1] <= high_s


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.bounds is not last_year], ids=str)
def test_asks_for_the_times_of_the_filter(
    db: Connection, sim: Simulator, now: datetime, messages: list[Row], sample: Sample
) -> None:
    found = rows(db, fill(sample.query, now))
    bounds = sample.bounds(now)
    targets = asked(sim)
    assert {target.partition("?")[0] for target in targets} == {"/v1/messages"}
    chains = [dict(zip(sample.pushed, values)) for values in product(*sample.pushed.values())]
    for chain in chains:
        own = {"limit": PAGE, **{name: str(one) for name, one in chain.items()}}
        of_chain = [target for target in targets if own.items() <= params(target).items()]
        check_ranges(of_chain, bounds)
        assert {name for target in of_chain for name in params(target)} <= {"start_ts", "end_ts", *own}
        targets = [target for target in targets if target not in of_chain]
    assert targets == []
    assert sum(row[-1] for row in found) == counted(messages, bounds, {**sample.pushed, **sample.kept})


def test_each_counts_what_is_there(db: Connection, sim: Simulator, now: datetime, messages: list[Row]) -> None:
    """Whatever it asks for."""
    samples = [sample for sample in SAMPLES if sample.bounds is not last_year]
    found = {str(sample): sum(row[-1] for row in rows(db, fill(sample.query, now))) for sample in samples}
    expected = {
        str(sample): counted(messages, sample.bounds(now), {**sample.pushed, **sample.kept}) for sample in samples
    }
    assert found == expected
    assert sum(expected.values()) > 0


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.bounds is last_year], ids=str)
def test_a_year_asks_for_nothing_after_it(
    db: Connection, sim: Simulator, now: datetime, messages: list[Row], sample: Sample
) -> None:
    found = rows(db, fill(sample.query, now))
    low, high = last_year(now)
    for target in asked(sim):
        assert int(params(target)["start_ts"]) < int(params(target)["end_ts"]) <= high.timestamp()
    kept = [row for row in messages if row["created"] >= (now - timedelta(days=183)).timestamp()]
    assert sum(row[-1] for row in found) <= counted(messages, (low, high), {})
    assert sum(row[-1] for row in found) >= counted(kept, (low, high), {})


@pytest.mark.parametrize(("name", "condition"), WIDE, ids=[name for name, _ in WIDE])
def test_what_keeps_no_order_of_time_asks_for_everything(
    db: Connection, sim: Simulator, now: datetime, name: str, condition: str
) -> None:
    found = rows(db, f"SELECT id FROM {TABLE} WHERE {fill(condition, now)}")
    targets = asked(sim)
    ranges = [(int(p["start_ts"]), int(p.get("end_ts", now.timestamp()))) for p in map(params, targets)]
    assert (
        max(end for _, end in ranges) - min(start for start, _ in ranges) > timedelta(days=WHOLE_DAYS).total_seconds()
    )
    assert all("type" not in params(target) for target in targets)
    db.execute("create temp table copied on commit drop as select * from customerio.messages")
    assert sorted(found) == sorted(rows(db, f"SELECT id FROM copied WHERE {fill(condition, now)}"))


def test_metabase_binds_its_times(db: Connection, sim: Simulator, now: datetime, messages: list[Row]) -> None:
    """Metabase sends the bounds as parameters of a prepared statement (metabase/metabase#20333)."""
    low, high = bounds = day(now)
    query = f'SELECT COUNT(*) AS "count" FROM {TABLE} WHERE ({TABLE}."created" >= %s AND {TABLE}."created" < %s)'
    for _ in range(7):  # from the sixth on, PostgreSQL may take a generic plan
        sim.reset()
        found = db.execute(query, [low, high], prepare=True).fetchall()
        check_ranges(asked(sim), bounds)
        assert found == [(counted(messages, bounds, {}),)]


def test_tableau_asks_twice_for_a_top_ten(db: Connection, sim: Simulator, now: datetime) -> None:
    """The inner statement, which finds the ten, has no times: it reads everything, the outer one a day."""
    query = (
        f'SELECT CAST("messages"."type" AS TEXT) AS "type", COUNT(1) AS "cnt:ok" FROM {TABLE} "messages" '
        'INNER JOIN (SELECT CAST("messages"."type" AS TEXT) AS "type", COUNT(1) AS "$__alias__0" '
        f'FROM {TABLE} "messages" GROUP BY 1 ORDER BY 2 DESC, 1 ASC LIMIT 10) "t0" '
        'ON (CAST("messages"."type" AS TEXT) = "t0"."type") '
        'WHERE (("messages"."created" >= (TIMESTAMP \'{day} 00:00:00.000\')) '
        'AND ("messages"."created" < (TIMESTAMP \'{end} 00:00:00.000\'))) GROUP BY 1'
    )
    rows(db, fill(query, now))
    low, high = day(now)
    closed = [(int(p["start_ts"]), int(p["end_ts"])) for p in map(params, asked(sim)) if "end_ts" in p]
    assert (int(low.timestamp()), int(high.timestamp())) in closed
    assert min(start for start, _ in closed) < (now - timedelta(days=WHOLE_DAYS)).timestamp()


def test_power_bi_looks_for_the_ends_of_a_slicer(
    db: Connection, sim: Simulator, now: datetime, messages: list[Row]
) -> None:
    """A slicer of dates asks for the first and the last time: everything is read, as nothing is narrower."""
    query = (
        'select max("rows"."created") as "a0", min("rows"."created") as "a1" '
        f'from (select "created" from {TABLE} "$Table") "rows"'
    )
    ((newest, oldest),) = rows(db, query)
    starts = [int(params(target)["start_ts"]) for target in asked(sim)]
    assert min(starts) < (now - timedelta(days=WHOLE_DAYS)).timestamp()
    times = [row["created"] for row in messages if row["created"] >= min(starts)]
    assert (newest.timestamp(), oldest.timestamp()) == (max(times), min(times))
