"""SQLAlchemy: reflection of foreign tables, and statements that it writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import Engine, MetaData, Table, create_engine, func, inspect, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, registry

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.own_tables import OWN_TABLES
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.clients.days import DAY, NEXT, midnight
from tests.clients.seen import between, held, only_times, paths
from tests.conftest import DATABASE
from tests.sql.helpers import asked

SCHEMA = "customerio"
FOREIGN = {*ENDPOINTS, *OWN_TABLES} - {"activities_by_page"}
ONE_DAY = (midnight(DAY), midnight(NEXT))


@pytest.fixture
def engine(cluster: Cluster, database: str, sim: Simulator) -> Iterator[Engine]:
    made = create_engine(cluster.url(DATABASE).replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.dispose()


def reflected(engine: Engine, name: str) -> Table:
    return Table(name, MetaData(), schema=SCHEMA, autoload_with=engine)


def test_names_of_foreign_tables(engine: Engine, sim: Simulator) -> None:
    assert set(inspect(engine).get_foreign_table_names(schema=SCHEMA)) == FOREIGN
    assert inspect(engine).get_table_names(schema=SCHEMA) == []
    assert inspect(engine).has_table("messages", schema=SCHEMA)
    assert asked(sim) == []


def test_columns_types_and_comments_of_every_table(engine: Engine, sim: Simulator) -> None:
    for name in sorted(FOREIGN & set(ENDPOINTS)):
        table = reflected(engine, name)
        declared = ENDPOINTS[name].all_columns
        assert [column.name for column in table.columns] == [column.name for column in declared]
        assert [column.comment for column in table.columns] == [column.doc for column in declared]
        assert table.comment == ENDPOINTS[name].doc
        assert list(table.primary_key.columns) == []
    assert asked(sim) == []


def test_types_are_those_of_sqlalchemy(engine: Engine) -> None:
    columns = reflected(engine, "campaigns").columns
    shown = {name: str(columns[name].type) for name in ("id", "name", "active", "created", "tags", "raw")}
    assert shown == {"id": "BIGINT", "name": "TEXT", "active": "BOOLEAN", "created": "TIMESTAMP", "tags": "ARRAY",
                     "raw": "JSONB"}  # fmt: skip
    assert columns["created"].type.timezone


def test_reflecting_a_whole_schema_needs_the_names(engine: Engine, sim: Simulator) -> None:
    by_itself, named = MetaData(), MetaData()
    by_itself.reflect(engine, schema=SCHEMA)
    named.reflect(engine, schema=SCHEMA, only=lambda name, _: name in FOREIGN, views=True)
    one_by_one = {reflected(engine, name).name for name in inspect(engine).get_foreign_table_names(schema=SCHEMA)}
    assert set(by_itself.tables) == set(named.tables) == set()
    assert one_by_one == FOREIGN
    assert asked(sim) == []


def test_a_range_of_times_is_one_narrow_request(engine: Engine, sim: Simulator) -> None:
    messages = reflected(engine, "messages")
    statement = (
        select(messages.c.type, func.count())
        .where(messages.c.created >= ONE_DAY[0], messages.c.created < ONE_DAY[1])
        .group_by(messages.c.type)
    )
    with engine.connect() as connection:
        counted = sum(count for _, count in connection.execute(statement))
    assert only_times(sim) == between(DAY, NEXT)
    assert counted == held(sim, DAY, NEXT) > 0


@pytest.mark.parametrize("unit", ["cast", "date_trunc"])
def test_a_day_by_expression_is_narrow_too(engine: Engine, sim: Simulator, unit: str) -> None:
    messages = reflected(engine, "messages")
    if unit == "cast":
        condition = func.date(messages.c.created) == date.fromisoformat(DAY)
    else:
        condition = func.date_trunc("day", messages.c.created) == ONE_DAY[0]
    with engine.connect() as connection:
        connection.execute(text("set timezone = 'UTC'"))
        found = connection.execute(select(func.count()).select_from(messages).where(condition)).scalar_one()
    assert only_times(sim) == between(DAY, NEXT)
    assert found == held(sim, DAY, NEXT)


def test_in_and_limit(engine: Engine, sim: Simulator) -> None:
    actions, messages = reflected(engine, "campaign_actions"), reflected(engine, "messages")
    with engine.connect() as connection:
        query = select(actions.c.campaign_id).where(actions.c.campaign_id.in_([2, 5])).distinct()
        assert sorted(connection.execute(query).scalars()) == [2, 5]
        assert paths(sim) == {f"/v1/campaigns/{one}/actions" for one in (2, 5)}
        sim.reset()
        assert len(connection.execute(select(messages.c.id).limit(5)).all()) == 5
    assert len(asked(sim)) == 1


def test_stream_results_reads_as_it_goes(engine: Engine, sim: Simulator) -> None:
    messages = reflected(engine, "messages")
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True, max_row_buffer=50).execute(select(messages.c.id))
        first = result.fetchmany(10)
        partly = len(asked(sim))
        everything = len(first) + len(result.fetchall())
        assert partly < len(asked(sim))
        assert everything == connection.execute(select(func.count()).select_from(messages)).scalar_one()


def test_a_mapped_class_and_its_raw_record(engine: Engine, sim: Simulator) -> None:
    """The ORM wants a primary key: the one that the API means."""
    campaigns = reflected(engine, "campaigns")
    mapping = registry()

    class Campaign:
        id: int
        name: str

    mapping.map_imperatively(Campaign, campaigns, primary_key=[campaigns.c.id])
    try:
        with Session(engine) as session:
            found = session.get(Campaign, 7)
            assert found is not None
            assert asked(sim) == ["/v1/campaigns/7"]
            assert session.scalar(select(campaigns.c.raw["id"].as_integer()).where(campaigns.c.id == 7)) == 7
    finally:
        mapping.dispose()


def test_an_error_of_the_api_and_the_connection_after_it(engine: Engine, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "reset"}}])
    with engine.connect() as connection:
        with pytest.raises(OperationalError) as caught:
            connection.execute(text("select * from customerio.segments"))
        connection.rollback()
        assert caught.value.orig.sqlstate == "08006"
        assert connection.execute(text("select count(*) from customerio.campaigns")).scalar_one() == 12
