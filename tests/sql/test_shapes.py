"""Conditions on functions of `created`, ORs and NOTs, as reporting tools write them: which ranges they ask for."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.shapes_world import changes
from tests.sql.helpers import Connection, asked, epoch, params, rows

HOUR_S = 3600
DAY_S = 24 * HOUR_S
SLACK_S = 26 * HOUR_S
"""By how much a range is widened near a change of the clock (host/steps.c)."""


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


def named(text: str) -> str:
    """The text with the dates that it names."""
    return text.format(**TIMES)


def matching(db: Connection, condition: str) -> list[tuple[Any, ...]]:
    return rows(db, f"select id from customerio.messages where {named(condition)}")


def ranges(db: Connection, sim: Simulator, condition: str) -> list[tuple[int, int]]:
    """The ranges asked for, oldest first; one without an end ends now."""
    matching(db, condition)
    found = {(int(p["start_ts"]), int(p.get("end_ts", NOW_S))) for p in map(params, asked(sim))}
    return sorted(found)


NOW_S = int(time.time())


def _times() -> dict[str, str]:
    """Dates of the months that the API tells of, by the name that the conditions below give them."""
    today = datetime.fromtimestamp(NOW_S, timezone.utc).date()
    day = today - timedelta(days=42 + today.weekday())  # a Monday
    month, next_month = day.replace(day=1), (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    quarter = month.replace(month=month.month - (month.month - 1) % 3)
    away = {"before": -1, "after": 1, "early": -65, "early_after": -64, "week_before": -7, "week": 7}
    dates = {
        **{name: day + timedelta(days=days) for name, days in away.items()},
        "day": day, "month": month, "next_month": next_month, "quarter": quarter,
    }  # fmt: skip
    numbers = {"start": epoch(str(day)), "end": epoch(str(day)) + DAY_S, "julian": day.toordinal() + 1721425}
    return {name: str(value) for name, value in {**dates, **numbers}.items()}


TIMES = _times()
THE_DAY = (epoch(TIMES["day"]), epoch(TIMES["after"]))


@pytest.mark.parametrize(
    "condition",
    [
        "created::date = '{day}'",
        "'{day}' = created::date",
        "date_trunc('day', created at time zone 'UTC') at time zone 'UTC' = '{day}'",
        "cast(date_trunc('day', created at time zone 'UTC') as timestamp) = '{day}'",
        "created between '{day}' and '{day}'::timestamptz + interval '1 day'",
        "cast(created as date) between '{day}' and '{day}'",
        "date_trunc('day', created) = '{day}'",
        "date_trunc('day', created, 'UTC') = '{day}'",
        "date_trunc('day', created at time zone 'UTC') = '{day}'",
        "date_trunc('day', created)::date = '{day}'",
        "date_bin('1 day', created, '2026-01-01') = '{day}'",
        "(created + interval '1 hour')::timestamp >= '{day} 01:00' and created < '{after}'",
        "extract(epoch from created) >= {start} and extract(epoch from created) < {end}",
        "floor(extract(epoch from created) / 1) >= 0 and created::date = '{day}'",
        "extract(julian from created) >= {julian} and created < '{after}'",
        "created - interval '1 hour' >= '{before} 23:00' and created < '{after}'",
        "created::date - date '{day}' = 0",
        "not (created < '{day}' or created >= '{after}')",
        "(created >= '{day}' and created < '{day} 12:00' or created::date = '{day}')",
        "created::date = any (array['{day}']::date[])",
    ],
)
def test_a_day(db: Connection, sim: Simulator, condition: str) -> None:
    (found,) = ranges(db, sim, condition)
    assert found[0] == THE_DAY[0]
    assert THE_DAY[1] - 1 <= found[1] <= THE_DAY[1]


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        ("date_trunc('month', created) = '{month}'", "{month}", "{next_month}"),
        ("date_trunc('quarter', created) = '{quarter}' and created < '{next_month}'", "{quarter}", "{next_month}"),
        ("date_trunc('week', created) = '{day}'", "{day}", "{week}"),
        ("date_trunc('week', created) > '{week_before}' and date_trunc('week', created) < '{week}'",
         "{day}", "{week}"),
        ("date_trunc('hour', created) = '{day} 07:00'", "{day} 07:00", "{day} 08:00"),
        ("'{day}' - created <= interval '0' and created < '{after}'", "{day}", "{after}"),
        ("(created at time zone '+02')::date = '{day}'", "{day} 02:00", "{after} 02:00"),
        ("(created at time zone 'Asia/Tokyo')::date = '{day}'", "{before} 15:00", "{day} 15:00"),
        ("date_trunc('day', created, 'Asia/Tokyo') = '{day} 00:00+09'", "{before} 15:00", "{day} 15:00"),
    ],
)  # fmt: skip
def test_a_unit(db: Connection, sim: Simulator, condition: str, low: str, high: str) -> None:
    (found,) = ranges(db, sim, condition)
    assert found == (epoch(named(low)), epoch(named(high)))


def test_days_apart_are_asked_for_apart(db: Connection, sim: Simulator) -> None:
    expected = [(epoch(TIMES["early"]), epoch(TIMES["early_after"])), THE_DAY]
    assert ranges(db, sim, "created::date in ('{day}', '{early}')") == expected
    sim.reset()
    assert ranges(db, sim, "created::date = '{day}' or created::date = '{early}'") == expected


def test_an_or_of_equalities_is_a_list(db: Connection, sim: Simulator) -> None:
    condition = "(campaign_id = 1 or campaign_id = 2) and created < '{day}'"
    matching(db, condition)
    assert {params(target)["campaign_id"] for target in asked(sim)} == {"1", "2"}


def test_an_or_across_columns_narrows_each_of_them(db: Connection, sim: Simulator) -> None:
    """(a AND x) OR (a AND y) asks for a; the rest is PostgreSQL's."""
    day = named("created::date = '{day}'")
    assert ranges(db, sim, f"({day} and campaign_id = 1 or {day} and subject is null)") == [(THE_DAY[0], THE_DAY[1])]
    assert all("campaign_id" not in params(target) for target in asked(sim))


@pytest.mark.parametrize(
    "condition",
    [
        "extract(month from created) = 10",
        "extract(hour from created) > 7",
        "date_trunc('day', created) <> '{day}'",
        "created::text like '{day}%'",
        "to_char(created, 'YYYY-MM-DD') = '{day}'",
        "created::time > '12:00'",
        "date_trunc('day', sent) = '{day}'",
        "(created::date = '{day}' or campaign_id = 3)",
        "created + (sent - created) < '{day}'",
        "created::date = '{day}'::date + (random() * 0)::int",
        "created::date is distinct from '{day}'",
        "created::date <> all (array['{day}']::date[])",
    ],
)
def test_what_keeps_no_order_is_not_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    whole = sum(high - low for low, high in ranges(db, sim, condition))
    assert whole > 180 * DAY_S


def test_contradictory_shapes_ask_nothing(db: Connection, sim: Simulator) -> None:
    for condition in (
        "created::date = null::date",
        "created::date > '{day}' and created < '{day}'",
        "date_trunc('day', created) = '-infinity'",
    ):
        assert matching(db, condition) == []
    assert asked(sim) == []


@pytest.mark.parametrize("condition", ["created::date = 'infinity'", "extract(year from created) > 9999"])
def test_what_no_instant_meets_asks_for_those_that_were_not_tried(
    db: Connection, sim: Simulator, condition: str
) -> None:
    assert matching(db, condition) == []
    (target,) = asked(sim)
    assert int(params(target)["start_ts"]) == epoch("9999-12-31")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Havana", "America/St_Johns", "Australia/Lord_Howe"])
def test_days_of_a_clock_change_are_asked_for_generously(db: Connection, sim: Simulator, zone: str) -> None:
    """In Havana midnight comes twice; on Lord Howe the clock changes by half an hour."""
    changed = changes(zone, NOW_S - 175 * DAY_S, NOW_S - 3 * DAY_S)
    if not changed:
        pytest.skip(f"the clock of {zone} did not change in the months that the API tells of")
    db.execute("select set_config('timezone', %s, false)", [zone])
    ((day, low, high),) = rows(
        db,
        """
        select d::text, extract(epoch from d::timestamptz)::bigint, extract(epoch from (d + 1)::timestamptz)::bigint
        from (select to_timestamp(%s)::date) s (d)""",
        [changed[-1]],
    )
    ((start_s, end_s),) = ranges(db, sim, f"created::date = '{day}'")
    assert low - SLACK_S - HOUR_S <= start_s <= low - HOUR_S
    assert high + HOUR_S <= end_s <= high + SLACK_S + DAY_S


def test_values_of_parameters_and_sub_selects(db: Connection, sim: Simulator) -> None:
    db.execute("prepare shaped (date) as select id from customerio.messages where created::date = $1")
    for mode in ("force_custom_plan", "force_generic_plan"):
        sim.reset()
        db.execute(f"set plan_cache_mode = {mode}")
        rows(db, named("execute shaped ('{day}')"))
        (target,) = asked(sim)
        assert (int(params(target)["start_ts"]), int(params(target)["end_ts"])) == THE_DAY
    db.execute("deallocate shaped")
    sim.reset()
    assert ranges(db, sim, "created::date = (select '{day}'::date)") == [THE_DAY]
