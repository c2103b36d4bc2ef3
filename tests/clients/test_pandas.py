"""pandas.read_sql: times, chunks, nulls, and what a frame costs in requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pandas as pd
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import InvalidRequestError

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.clients.days import DAY, PAST, WEEK, midnight
from tests.clients.seen import between, only_times, paths
from tests.conftest import DATABASE
from tests.sql.helpers import asked

RANGE = text(
    "select id, type, created, opened, campaign_id from customerio.messages where created >= :lo and created < :hi"
)


@pytest.fixture
def engine(cluster: Cluster, database: str, sim: Simulator) -> Iterator[Engine]:
    made = create_engine(cluster.url(DATABASE).replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("lo", "hi"),
    [
        (midnight(DAY), midnight(WEEK)),
        (pd.Timestamp(DAY, tz="UTC"), pd.Timestamp(WEEK, tz="UTC")),
        (date.fromisoformat(DAY), date.fromisoformat(WEEK)),
    ],
    ids=["datetime", "Timestamp", "date"],
)
def test_dates_as_parameters_are_pushed(engine: Engine, sim: Simulator, lo: object, hi: object) -> None:
    with engine.connect() as connection:
        connection.execute(text("set timezone = 'UTC'"))
        frame = pd.read_sql(RANGE, connection, params={"lo": lo, "hi": hi})
    assert only_times(sim) == between(DAY, WEEK)
    assert isinstance(frame["created"].dtype, pd.DatetimeTZDtype)
    assert frame["created"].min() >= pd.Timestamp(DAY, tz="UTC")
    sent = {row["id"]: row for row in sim.data("messages")}
    assert [stamp.timestamp() for stamp in frame["created"]] == [sent[one]["created"] for one in frame["id"]]
    opened = [None if pd.isna(stamp) else stamp.timestamp() for stamp in frame["opened"]]
    assert opened == [sent[one]["metrics"].get("opened") for one in frame["id"]]
    assert None in opened


def test_chunks_have_every_row_once(engine: Engine, sim: Simulator) -> None:
    query = f"select id from customerio.messages where {PAST}"
    whole = pd.read_sql(text(query), engine)
    at_once = len(asked(sim))
    sim.reset()
    with engine.connect().execution_options(stream_results=True, max_row_buffer=200) as connection:
        chunks = pd.read_sql(text(query), connection, chunksize=200)
        first = next(chunks)
        partly = len(asked(sim))
        rest = pd.concat(chunks)
    assert len(first) == 200
    assert partly < len(asked(sim)) <= at_once + 1
    assert sorted(whole["id"]) == sorted([*first["id"], *rest["id"]])


def test_chunks_without_streaming_read_all_before_the_first(engine: Engine, sim: Simulator) -> None:
    """The pitfall that docs/clients.md names: chunksize alone makes frames small, not the reading."""
    with engine.connect() as connection:
        chunks = pd.read_sql(text(f"select id from customerio.messages where {PAST}"), connection, chunksize=200)
        next(chunks)
        sent = len(asked(sim))
        for _ in chunks:
            pass
    assert len(asked(sim)) == sent > 1


def test_read_sql_table_wants_a_view(engine: Engine, sim: Simulator) -> None:
    """It takes what MetaData.reflect takes: views, and no foreign tables."""
    with pytest.raises(InvalidRequestError, match="requested table\\(s\\) not available"):
        pd.read_sql_table("campaigns", engine, schema="customerio")
    with engine.begin() as connection:
        connection.execute(text("create view campaign_view as select id, created, tags from customerio.campaigns"))
    try:
        frame = pd.read_sql_table("campaign_view", engine, columns=["id", "created", "tags"])
    finally:
        with engine.begin() as connection:
            connection.execute(text("drop view campaign_view"))
    assert asked(sim) == ["/v1/campaigns"]
    assert sorted(frame["id"]) == list(range(1, 13))
    assert isinstance(frame["created"].dtype, pd.DatetimeTZDtype)
    assert all(isinstance(one, list) for one in frame["tags"])


def test_a_frame_joined_in_sql_asks_only_for_its_keys(engine: Engine, sim: Simulator) -> None:
    keys = pd.DataFrame({"campaign_id": [3, 8]})
    query = text("select campaign_id, count(*) as actions from customerio.campaign_actions "
                 "where campaign_id = any(:ids) group by 1 order by 1")  # fmt: skip
    frame = pd.read_sql(query, engine, params={"ids": keys["campaign_id"].tolist()}, index_col="campaign_id")
    assert list(frame.index) == [3, 8]
    assert paths(sim) == {f"/v1/campaigns/{one}/actions" for one in (3, 8)}


def test_an_index_of_times_resamples_to_what_sql_counts(engine: Engine, sim: Simulator) -> None:
    query = f"select created from customerio.messages where {PAST}"
    frame = pd.read_sql(text(query), engine, index_col="created")
    by_day = frame.assign(n=1).resample("D")["n"].sum()
    counting = (
        f"select date_trunc('day', created, 'UTC') as day, count(*) as n "
        f"from customerio.messages where {PAST} group by 1"
    )
    counted = pd.read_sql(text(counting), engine, index_col="day")["n"].sort_index()
    assert by_day[by_day > 0].to_dict() == counted.to_dict()
