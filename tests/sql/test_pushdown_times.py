"""What conditions on a time become: the bounds of the requests."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.days import DAY, DAY_BOUNDS, DAY_PARAMS, NEXT, ONE_DAY, dated
from tests.sql.helpers import Connection, asked, epoch, params, rows, server_option, value


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


def bounds(sim: Simulator) -> tuple[str, str]:
    """start_ts and end_ts of the only request."""
    (target,) = asked(sim)
    found = params(target)
    return found["start_ts"], found["end_ts"]


@pytest.mark.parametrize(
    "condition",
    [
        "created between '{day}' and '{next}'",
        "created >= date '{day}' and created <= date '{next}'",
        "created >= timestamp '{day}' and created < timestamp '{next}'",
        "created >= '{day} 02:00+02' and created < '{day} 20:00-04'",
        "'{day}' <= created and '{next}' > created",
        "created > '{day} 00:00:00.75' and created < '{day} 23:59:59.25'",
        "created >= (select '{day}'::date) and created < (select '{next}'::date)",
        "created >= '{day}' and created >= '{past}' and created < '{next}' and created < 'infinity'",
        "created >= '{day}'::timestamptz + interval '0' and created < to_timestamp({next_s})",
        "created = any (array['{day}'::timestamptz, '{next}'])",
    ],
)
def test_bounds_are_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    rows(db, f"select id from customerio.messages where {dated(condition)}")
    assert bounds(sim) == DAY_BOUNDS


def test_bounds_follow_the_time_zone_of_the_session(db: Connection, sim: Simulator) -> None:
    db.execute("set timezone = 'America/New_York'")
    rows(db, dated("select id from customerio.messages where created >= '{day}' and created < date '{next}'"))
    midnights = (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/New_York")) for day in (DAY, NEXT))
    assert bounds(sim) == tuple(str(int(midnight.timestamp())) for midnight in midnights)
    assert bounds(sim) != DAY_BOUNDS


def test_equality_with_a_moment(db: Connection, sim: Simulator) -> None:
    created = sim.data("messages")[-500]["created"]
    found = value(db, f"select count(*) from customerio.messages where created = to_timestamp({created})")
    assert bounds(sim) == (str(created), str(created))
    assert found == sum(row["created"] == created for row in sim.data("messages"))


@pytest.mark.parametrize(
    "condition",
    [
        "created::text >= '{day}'",
        "created <> '{day}'",
        "created > clock_timestamp() - interval '1 day'",
        "sent >= '{day}'",
        "(created > '{day}' or type = 'email')",
    ],
)
def test_bounds_that_are_not_implied_are_not_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    rows(db, f"select id from customerio.messages where {dated(condition)} limit 1")
    lowest = min(int(params(target)["start_ts"]) for target in asked(sim))
    assert lowest < epoch(dated("{before}"))


@pytest.mark.parametrize(
    "now", ["now()", "current_timestamp", "statement_timestamp()", "(select now())", "localtimestamp"]
)
def test_stable_functions_reach_the_api_as_values(db: Connection, sim: Simulator, now: str) -> None:
    at = value(db, "select extract(epoch from now())::bigint")
    rows(db, f"select id from customerio.messages where created > {now} - interval '1 day'")
    (target,) = asked(sim)
    assert abs(int(params(target)["start_ts"]) - (at - 86400)) <= 2
    assert "end_ts" not in params(target)


def test_a_range_that_ended_is_asked_for_with_its_end(db: Connection, sim: Simulator) -> None:
    at = value(db, "select extract(epoch from now())::bigint")
    condition = "created between now() - interval '1 day' and now() - interval '9 s'"
    rows(db, f"select id from customerio.messages where {condition}")
    low_s, high_s = map(int, bounds(sim))
    assert abs(low_s - (at - 86400)) <= 2
    assert abs(high_s - (at - 9)) <= 2


def test_rows_that_come_while_an_open_range_is_read(db: Connection, sim: Simulator) -> None:
    """They move the others to later pages."""
    at, newest = value(db, "select extract(epoch from now())::bigint"), sim.data("messages")[-1]
    fresh = [{**newest, "id": f"fresh{i}", "created": at - 5 - 60 * i} for i in range(10)]
    later = [{**newest, "id": f"later{i}", "created": at - i} for i in range(3)]
    sim.put_rows("messages", fresh)
    try:
        with server_option(db, "page_size", "4"), db.transaction():
            sim.reset()
            cursor = db.cursor("reading")
            cursor.execute("select id from customerio.messages where created > now() - interval '11 minutes'")
            found = [cursor.fetchone()]
            sim.put_rows("messages", later)
            found += cursor.fetchall()
        ids = [row[0] for row in found if row]
        assert len(set(ids)) == len(ids)
        assert {row["id"] for row in fresh} <= set(ids)
        first, *others = asked(sim)
        assert others
        assert all(params(first).items() <= params(other).items() for other in others), "one walk"
        assert "end_ts" not in params(first)
    finally:
        for row in (*fresh, *later):
            sim.delete_row("messages", row["id"])


def test_current_date(db: Connection, sim: Simulator) -> None:
    midnight = value(db, "select extract(epoch from current_date::timestamptz)::bigint")
    rows(db, "select id from customerio.messages where created < current_date and created >= current_date - 1")
    assert bounds(sim) == (str(midnight - 86400), str(midnight))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_parameters_of_prepared_statements(db: Connection, sim: Simulator, mode: str) -> None:
    db.execute(f"set plan_cache_mode = {mode}")
    db.execute(
        "prepare p (timestamptz, bigint, text[]) as select id from customerio.messages where created >= $1 "
        "and created < $1 + interval '1 day' and campaign_id = $2 and type = any ($3)"
    )
    db.execute(dated("execute p ('{day}', 7, '{email}')"))
    (target,) = asked(sim)
    assert params(target) == {**DAY_PARAMS, "campaign_id": "7", "type": "email"}
    sim.reset()
    assert rows(db, dated("execute p ('{day}', null, '{email}')")) == []
    assert asked(sim) == []


def test_plpgsql_variables_and_views(db: Connection, sim: Simulator) -> None:
    db.execute(f"create or replace temp view of_day as select * from customerio.messages where {ONE_DAY}")
    db.execute(
        "do $$ declare c bigint := 7; n int; begin select count(*) into n from of_day where campaign_id = c; end $$"
    )
    (target,) = asked(sim)
    assert params(target) == {**DAY_PARAMS, "campaign_id": "7"}


def test_windows_cover_six_months_and_no_more_than_180_days_each(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.messages")
    older, newer = sorted({(int(p["start_ts"]), p.get("end_ts")) for p in map(params, asked(sim))})
    assert older[1] is not None
    assert int(older[1]) + 1 == newer[0]
    assert newer[1] is None
    at = value(db, "select extract(epoch from now())::bigint")
    assert max(at - newer[0], newer[0] - older[0]) < 180 * 86400
    assert at - older[0] >= 183 * 86400


def test_a_lower_bound_beyond_the_retention_adds_no_rows_and_says_so(db: Connection, sim: Simulator) -> None:
    notices: list[str] = []
    db.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    everything = value(db, "select count(*) from customerio.messages")
    assert notices == []
    assert value(db, "select count(*) from customerio.messages where created >= 'epoch'") == everything
    assert len(notices) == 1
    assert "keeps about 6 months" in notices[0]
    sim.reset()
    assert rows(db, dated("select id from customerio.messages where created < '{gone}'")) == []
    assert asked(sim) == []
    assert len(notices) == 2
