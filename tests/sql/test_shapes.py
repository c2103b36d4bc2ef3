"""Conditions on functions of `created`, ORs and NOTs, as reporting tools write them: which ranges they ask for."""

from __future__ import annotations

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, epoch, params, rows

HOUR_S = 3600
DAY_S = 24 * HOUR_S
SLACK_S = 26 * HOUR_S
"""By how much a range is widened near a change of the clock (host/shapes.c)."""


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


def ranges(db: Connection, sim: Simulator, condition: str) -> list[tuple[int, int]]:
    """The closed ranges asked for, oldest first."""
    rows(db, f"select id from customerio.messages where {condition}")
    found = {(int(p["start_ts"]), int(p["end_ts"])) for p in map(params, asked(sim)) if "end_ts" in p}
    return sorted(found)


OCTOBER_5 = (epoch("2026-10-05"), epoch("2026-10-06"))


@pytest.mark.parametrize(
    "condition",
    [
        "created::date = '2026-10-05'",
        "'2026-10-05' = created::date",
        "cast(created as date) between '2026-10-05' and '2026-10-05'",
        "date_trunc('day', created) = '2026-10-05'",
        "date_trunc('day', created, 'UTC') = '2026-10-05'",
        "date_trunc('day', created at time zone 'UTC') = '2026-10-05'",
        "date_trunc('day', created)::date = '2026-10-05'",
        "date_bin('1 day', created, '2026-01-01') = '2026-10-05'",
        "(created + interval '1 hour')::timestamp >= '2026-10-05 01:00' and created < '2026-10-06'",
        "extract(epoch from created) >= 1791158400 and extract(epoch from created) < 1791244800",
        "floor(extract(epoch from created) / 1) >= 0 and created::date = '2026-10-05'",
        "extract(julian from created) >= 2461319 and created < '2026-10-06'",
        "created - interval '1 hour' >= '2026-10-04 23:00' and created < '2026-10-06'",
        "created::date - date '2026-10-05' = 0",
        "not (created < '2026-10-05' or created >= '2026-10-06')",
        "(created >= '2026-10-05' and created < '2026-10-05 12:00' or created::date = '2026-10-05')",
        "created::date = any (array['2026-10-05']::date[])",
    ],
)
def test_a_day(db: Connection, sim: Simulator, condition: str) -> None:
    (found,) = ranges(db, sim, condition)
    assert found[0] == OCTOBER_5[0]
    assert OCTOBER_5[1] - 1 <= found[1] <= OCTOBER_5[1]


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        ("date_trunc('month', created) = '2026-10-01'", "2026-10-01", "2026-11-01"),
        ("date_trunc('quarter', created) = '2026-07-01'", "2026-07-01", "2026-10-01"),
        ("date_trunc('week', created) = '2026-10-05'", "2026-10-05", "2026-10-12"),
        ("date_trunc('week', created) > '2026-09-28' and date_trunc('week', created) < '2026-10-12'",
         "2026-10-05", "2026-10-12"),
        ("date_trunc('hour', created) = '2026-10-05 07:00'", "2026-10-05 07:00", "2026-10-05 08:00"),
        ("'2026-10-05' - created <= interval '0' and created < '2026-10-06'", "2026-10-05", "2026-10-06"),
        ("(created at time zone '+02')::date = '2026-10-05'", "2026-10-05 02:00", "2026-10-06 02:00"),
        ("(created at time zone 'Asia/Tokyo')::date = '2026-10-05'", "2026-10-04 15:00", "2026-10-05 15:00"),
        ("date_trunc('day', created, 'Asia/Tokyo') = '2026-10-05 00:00+09'", "2026-10-04 15:00", "2026-10-05 15:00"),
    ],
)  # fmt: skip
def test_a_unit(db: Connection, sim: Simulator, condition: str, low: str, high: str) -> None:
    (found,) = ranges(db, sim, condition)
    assert found == (epoch(low), epoch(high))


def test_days_apart_are_asked_for_apart(db: Connection, sim: Simulator) -> None:
    expected = [(epoch("2026-08-01"), epoch("2026-08-02")), OCTOBER_5]
    assert ranges(db, sim, "created::date in ('2026-10-05', '2026-08-01')") == expected
    sim.reset()
    assert ranges(db, sim, "created::date = '2026-10-05' or created::date = '2026-08-01'") == expected


def test_an_or_of_equalities_is_a_list(db: Connection, sim: Simulator) -> None:
    condition = "(campaign_id = 1 or campaign_id = 2) and created < '2026-10-01'"
    rows(db, f"select id from customerio.messages where {condition}")
    assert {params(target)["campaign_id"] for target in asked(sim)} == {"1", "2"}


def test_an_or_across_columns_narrows_each_of_them(db: Connection, sim: Simulator) -> None:
    """(a AND x) OR (a AND y) asks for a; the rest is PostgreSQL's."""
    day = "created::date = '2026-10-05'"
    assert ranges(db, sim, f"({day} and campaign_id = 1 or {day} and subject is null)") == [
        (OCTOBER_5[0], OCTOBER_5[1])
    ]
    assert all("campaign_id" not in params(target) for target in asked(sim))


@pytest.mark.parametrize(
    "condition",
    [
        "extract(month from created) = 10",
        "extract(hour from created) > 7",
        "date_trunc('day', created) <> '2026-10-05'",
        "created::text like '2026-10-05%'",
        "to_char(created, 'YYYY-MM-DD') = '2026-10-05'",
        "created::time > '12:00'",
        "date_trunc('day', sent) = '2026-10-05'",
        "(created::date = '2026-10-05' or campaign_id = 3)",
        "created + (sent - created) < '2026-10-05'",
        "created::date = '2026-10-05'::date + (random() * 0)::int",
        "created::date is distinct from '2026-10-05'",
        "created::date <> all (array['2026-10-05']::date[])",
    ],
)
def test_what_keeps_no_order_is_not_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    whole = sum(high - low for low, high in ranges(db, sim, condition))
    assert whole > 180 * DAY_S


def test_contradictory_shapes_ask_nothing(db: Connection, sim: Simulator) -> None:
    for condition in (
        "created::date = null::date",
        "created::date > '2026-10-05' and created < '2026-10-05'",
        "created::date = 'infinity'",
        "extract(year from created) > 9999",
        "date_trunc('day', created) = '-infinity'",
    ):
        assert rows(db, f"select id from customerio.messages where {condition}") == []
    assert asked(sim) == []


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-10-25"),  # 03:00 becomes 02:00
        ("America/Havana", "2026-11-01"),  # 01:00 becomes 00:00: midnight comes twice
        ("America/St_Johns", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-10-04"),  # by half an hour, forwards
    ],
)
def test_days_of_a_clock_change_are_asked_for_generously(db: Connection, sim: Simulator, zone: str, day: str) -> None:
    db.execute("select set_config('timezone', %s, false)", [zone])
    ((low, high),) = rows(
        db,
        "select extract(epoch from %s::timestamptz)::bigint, extract(epoch from %s::date + 1)::bigint",
        [day, day],
    )
    ((start_s, end_s),) = ranges(db, sim, f"created::date = '{day}'")
    assert low - SLACK_S - HOUR_S <= start_s <= low - HOUR_S
    assert high + HOUR_S <= end_s <= high + SLACK_S + DAY_S


def test_values_of_parameters_and_sub_selects(db: Connection, sim: Simulator) -> None:
    db.execute("prepare shaped (date) as select id from customerio.messages where created::date = $1")
    for mode in ("force_custom_plan", "force_generic_plan"):
        sim.reset()
        db.execute(f"set plan_cache_mode = {mode}")
        rows(db, "execute shaped ('2026-10-05')")
        (target,) = asked(sim)
        assert (int(params(target)["start_ts"]), int(params(target)["end_ts"])) == OCTOBER_5
    db.execute("deallocate shaped")
    sim.reset()
    assert ranges(db, sim, "created::date = (select '2026-10-05'::date)") == [OCTOBER_5]
