"""JDBC: prepared statements, parameters, fetch size and cancelling, and what each asks of the API."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cio_fdw.simulator.client import Simulator
from tests.clients.days import DAY, EARLY, LATE, NEXT, PAST, midnight
from tests.clients.jdbc import Connect, java, jdbc, table
from tests.clients.seen import between, held, only_times, paths
from tests.sql.helpers import asked

__all__ = ["java", "jdbc"]

DAYS = [(midnight(DAY) + timedelta(days=day), timedelta(days=1)) for day in range(12)]
COUNT = "select count(*) as n from customerio.messages where created >= ? and created < ?"


def timestamp(java: Any, moment: datetime) -> Any:
    return java.sql.Timestamp(int(moment.timestamp() * 1000))


def offset(java: Any, moment: datetime) -> Any:
    return java.time.OffsetDateTime.parse(moment.isoformat())


@pytest.mark.parametrize("as_java", [timestamp, offset])
@pytest.mark.parametrize("settings", [*itertools.product(("0", "1", "5"), ("true", "false"))], ids="-".join)
def test_times_as_parameters_before_and_after_the_threshold(
    jdbc: Connect, java: Any, sim: Simulator, as_java: Any, settings: tuple[str, str]
) -> None:
    """The twelfth run is well behind the driver's threshold (5) and the server's own five custom plans."""
    threshold, binary = settings
    connection = jdbc(prepareThreshold=threshold, binaryTransfer=binary)
    connection.createStatement().execute("set plan_cache_mode = auto")
    statement = connection.prepareStatement(COUNT)
    for first, length in DAYS:
        sim.reset()
        statement.setObject(1, as_java(java, first))
        statement.setObject(2, as_java(java, first + length))
        ((counted,),) = [tuple(row.values()) for row in table(statement.executeQuery())]
        days = [f"{moment:%Y-%m-%d}" for moment in (first, first + length)]
        assert only_times(sim) == between(*days)
        assert counted == held(sim, *days)


def test_a_generic_plan_pushes_its_parameters(jdbc: Connect, java: Any, sim: Simulator) -> None:
    connection = jdbc(prepareThreshold="1")
    connection.createStatement().execute("set plan_cache_mode = force_generic_plan")
    statement = connection.prepareStatement("select id from customerio.campaign_actions where campaign_id = ?")
    for number in range(1, 9):
        sim.reset()
        statement.setLong(1, number)
        assert len(table(statement.executeQuery())) > 0
        assert paths(sim) == {f"/v1/campaigns/{number}/actions"}


def test_ids_as_int_long_text_and_array(jdbc: Connect, java: Any, sim: Simulator) -> None:
    connection = jdbc()
    by_id = connection.prepareStatement("select id from customerio.campaigns where id = ?")
    for set_one in (by_id.setInt, by_id.setLong):
        sim.reset()
        set_one(1, 7)
        assert table(by_id.executeQuery()) == [{"id": 7}]
        assert asked(sim) == ["/v1/campaigns/7"]
    sim.reset()
    listed = connection.prepareStatement("select distinct campaign_id from customerio.campaign_actions "
                                         "where campaign_id = any(?) order by 1")  # fmt: skip
    listed.setArray(1, connection.createArrayOf("int8", [java.lang.Long(2), java.lang.Long(5)]))
    assert table(listed.executeQuery()) == [{"campaign_id": 2}, {"campaign_id": 5}]
    assert paths(sim) == {"/v1/campaigns/2/actions", "/v1/campaigns/5/actions"}
    sim.reset()
    typed = connection.prepareStatement("select count(*) as n from customerio.messages where type = ? and created < ?")
    typed.setString(1, "email")
    typed.setObject(2, offset(java, DAYS[0][0]))
    assert table(typed.executeQuery())[0]["n"] > 0
    assert all("type=email" in target for target in asked(sim))


def test_a_date_is_midnight_in_the_session_zone(jdbc: Connect, java: Any, sim: Simulator) -> None:
    """The driver makes the machine's zone the session's: New York."""
    statement = jdbc().prepareStatement(COUNT)
    statement.setDate(1, java.sql.Date.valueOf(DAY))
    statement.setDate(2, java.sql.Date.valueOf(NEXT))
    ((counted,),) = [tuple(row.values()) for row in table(statement.executeQuery())]
    days = (midnight(day).replace(tzinfo=ZoneInfo("America/New_York")) for day in (DAY, NEXT))
    first, last = (day.astimezone(timezone.utc) for day in days)
    assert only_times(sim) == (first.timestamp(), last.timestamp())
    assert counted == held(sim, f"{first:%F %T}", f"{last:%F %T}")


def test_values_of_every_type(jdbc: Connect, java: Any, sim: Simulator) -> None:
    """As text and, once the statement is prepared on the server, in binary."""
    connection = jdbc(prepareThreshold="2")
    statement = connection.prepareStatement("select id, name, active, created, tags, raw from customerio.campaigns "
                                            "where id = 7")  # fmt: skip
    sent = next(row for row in sim.data("campaigns") if row["id"] == 7)
    for _ in range(5):
        result = statement.executeQuery()
        assert result.next()
        assert int(result.getLong("id")) == 7
        assert str(result.getString("name")) == sent["name"]
        assert bool(result.getBoolean("active")) == sent["active"]
        assert int(result.getTimestamp("created").getTime()) == sent["created"] * 1000
        moment = result.getObject("created", java.time.OffsetDateTime)
        assert int(moment.toEpochSecond()) == sent["created"]
        assert [str(tag) for tag in result.getArray("tags").getArray()] == (sent["tags"] or [])
        assert '"id": 7' in str(result.getObject("raw").getValue())
        assert not result.next()


def test_fetch_size_without_autocommit_asks_as_it_reads(jdbc: Connect, sim: Simulator) -> None:
    connection = jdbc()
    connection.setAutoCommit(False)
    statement = connection.createStatement()
    statement.setFetchSize(100)
    result = statement.executeQuery(f"select id from customerio.messages where {PAST}")
    found = {str(result.getString(1)) for _ in range(10) if result.next()}
    partly = len(asked(sim))
    found |= {row["id"] for row in table(result)}
    whole = len(asked(sim))
    assert 1 <= partly < whole
    assert len(found) == held(sim, EARLY, LATE)
    sim.reset()
    abandoned = statement.executeQuery(f"select id from customerio.messages where {PAST}")
    assert abandoned.next()
    abandoned.close()
    connection.commit()
    assert len(asked(sim)) == partly


def test_fetch_size_in_autocommit_reads_all_first(jdbc: Connect, sim: Simulator) -> None:
    """The driver ignores it then: what Metabase and Tableau set has no effect outside a transaction."""
    statement = jdbc().createStatement()
    statement.setFetchSize(100)
    result = statement.executeQuery(f"select id from customerio.messages where {PAST}")
    assert result.next()
    sent = len(asked(sim))
    assert len(table(result)) + 1 == held(sim, EARLY, LATE)
    assert len(asked(sim)) == sent > 1


def test_max_rows_stops_the_paging(jdbc: Connect, sim: Simulator) -> None:
    statement = jdbc().createStatement()
    statement.setMaxRows(5)
    assert len(table(statement.executeQuery(f"select id from customerio.messages where {PAST}"))) == 5
    assert 1 <= len(asked(sim)) < 3


@pytest.fixture
def hanging(sim: Simulator) -> Simulator:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    return sim


def fails(java: Any, statement: Any) -> str:
    """SQLSTATE of a statement that must fail."""
    with pytest.raises(java.sql.SQLException) as caught:
        statement.executeQuery("select id from customerio.messages")
    return str(caught.value.getSQLState())


def test_cancel_from_another_thread(jdbc: Connect, java: Any, hanging: Simulator) -> None:
    connection = jdbc()
    statement = connection.createStatement()

    def cancel() -> None:
        while not asked(hanging):
            time.sleep(0.01)
        statement.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    assert fails(java, statement) == "57014"
    thread.join(10)
    assert table(connection.createStatement().executeQuery("select count(*) as n from customerio.campaigns")) == [
        {"n": 12}
    ]


def test_query_timeout(jdbc: Connect, java: Any, hanging: Simulator) -> None:
    connection = jdbc()
    statement = connection.createStatement()
    statement.setQueryTimeout(1)
    began_s = time.monotonic()
    assert fails(java, statement) == "57014"
    # The request itself would go on for the timeout of a minute.
    assert 1 <= time.monotonic() - began_s < 20
    hanging.faults([])
    assert len(table(statement.executeQuery("select id from customerio.campaigns"))) == 12


def test_an_error_of_the_api_has_state_and_hint(jdbc: Connect, java: Any, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/segments"}, "times": None, "action": {"kind": "status", "status": 403}}])
    connection = jdbc()
    with pytest.raises(java.sql.SQLException) as caught:
        connection.createStatement().executeQuery("select * from customerio.segments")
    assert str(caught.value.getSQLState()) == "42501"
    assert "Give the key the scope for this endpoint" in str(caught.value.getServerErrorMessage().getHint())
    assert connection.isValid(5)
