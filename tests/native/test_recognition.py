"""Conditions of every shape give what a local copy of the table gives; strange ones are not pushed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.multicorn.differences import OWN_ERRORS as UNABLE
from tests.multicorn.differences import UNABLE_CONDITIONS
from tests.native.backend import Connection, scalar
from tests.native.recognition_days import dated, dates

CONDITIONS = (
    "campaign_id = 3.0",
    "campaign_id = 3.5",
    "campaign_id = 3::int2",
    "campaign_id = 3::native.whole",
    "campaign_id = any (array[3, null, 5])",
    "campaign_id = any (null::bigint[])",
    "campaign_id = any (array[[1, 2], [3, 4]])",
    "campaign_id = any ('1 2 3'::int2vector)",
    "campaign_id not in (3, null)",
    "campaign_id <> all (array[3, 4])",
    "campaign_id is not distinct from 3",
    "campaign_id is distinct from 3",
    "campaign_id is not distinct from null",
    "not (campaign_id = 3)",
    "(campaign_id = 3) is not false",
    "(campaign_id, type) = (3, 'email')",
    "(campaign_id, type) < (3, 'email')",
    "campaign_id = action_id",
    "campaign_id = 3 and campaign_id = 4",
    "campaign_id = (select min(l.campaign_id) from native.copy l where l.type = m.type)",
    "campaign_id operator(native.=) 3",
    "type operator(native.=) 'email'",
    "type = 'email'::name",
    "type = 'email  '::char(10)",
    "type::name = 'email'",
    "type collate \"C\" = 'email'",
    "type = any (string_to_array('email,push', ','))",
    "type < 'f'",
    "type = (select l.type from native.copy l order by l.id limit 1)",
    "created >= '2020-01-01' and created = any (array[(select max(created) from native.copy), null])",
    "created > 'infinity'::date",
    "created < '294276-12-31'::timestamptz",
    "created > (select max(created) - interval '10 days' from native.copy)",
    "created::date = (select max(created)::date from native.copy)",
    "created > (select (max(created) - interval '10 days')::date from native.copy)",
    "created <= (select (max(created) - interval '10 days')::timestamp from native.copy)",
    "created::date = '{berlin}'",
    "created::date between '{berlin}'::date - 1 and '{berlin}'::date + 7",
    "created::date <> '{berlin}'",
    "created::date in ('{berlin}', '{early}', null)",
    "created::date >= (select max(created)::date - 3 from native.copy)",
    "created::timestamp >= '{berlin} 02:30'",
    "date_trunc('week', created) = '{week}'",
    "date_trunc('month', created) >= '{next_month}'",
    "date_trunc('day', created, 'Europe/Berlin') = '{berlin} 00:00 Europe/Berlin'",
    "date_trunc('day', created at time zone 'Europe/Berlin') = '{berlin}'",
    "date_trunc('year', created) = date_trunc('year', now())",
    "(created at time zone 'Europe/Berlin')::date = '{berlin}'",
    "(created at time zone 'EST')::date = '{new_york}'",
    "(created at time zone interval '-3 hours')::date = '{berlin}'",
    "((created at time zone 'Asia/Tokyo') at time zone 'America/New_York')::date = '{new_york}'",
    "extract(epoch from created) between {day_s} and {next_s}",
    "extract(year from created) = {year}",
    "extract(month from created) = {month_number}",
    "date_part('epoch', created) > {day_s}.5",
    "extract(epoch from created)::bigint % 2 = 0",
    "extract(epoch from created)::int >= {day_s}",
    "{day_s} > extract(epoch from created)::int",
    "date_part('epoch', created)::int between {day_s} and {next_s}",
    "extract(epoch from created at time zone 'Pacific/Kiritimati')::int > 2147483000",
    "extract(epoch from created)::int < -5",
    "extract(year from created)::int = {year}",
    "extract(epoch from created - interval '10 years')::int > {day_s} - 315576000",
    "created + interval '290000 years' > '{day}'",
    "created - interval '6000 years' < '4000-01-01 BC'",
    "created::date + 5800000 > '{day}'::date + 5800000",
    "created::date - 2400000 > '{day}'::date - 2400000",
    "created + interval '{last_years} years' < '294276-12-31'",
    "(created + interval '290000 years') at time zone 'Europe/Berlin' > timestamp '{day}' + interval '290000 years'",
    "date_trunc('month', created at time zone 'Europe/Berlin') = '{month}'",
    "cast(date_trunc('month', created at time zone 'Europe/Berlin') as date) >= '{month}'",
    "date_trunc('day', created at time zone 'Europe/Berlin') at time zone 'Europe/Berlin'"
    " >= '{berlin} 00:00 Europe/Berlin'",
    "date_trunc('month', created, 'America/New_York')::timestamp = '{next_month}'",
    "date_trunc('week', created + interval '1 day') + interval '-1 day' = '{berlin}'",
    "date_trunc('month', date_trunc('day', created)) = '{month}'",
    "created between date_trunc('month', now() - interval '1 month') and date_trunc('month', now())",
    "created::date = case when current_user is null then null else '{day}'::date end",
    "created + interval '1 month' > '{recent}'",
    "created - interval '1 day' < '{day}'",
    "'{late}' - created < interval '10 days'",
    "age(created) < interval '10 days'",
    "created::date - '{day}'::date in (0, 1, 2)",
    "not (created::date > '{day}')",
    "created::date is not distinct from '{day}'",
    "(created::date = '{day}' or created::date = '{early}')",
    "(created > '{late}' or created < '{early}')",
    "(created > '{late}' or created < '{early}' or created is null)",
    "(created > '{late}' and campaign_id = 3 or created < '{early}' and campaign_id = 4)",
    "(campaign_id = 3 or campaign_id = 4 or campaign_id is null)",
    "(campaign_id = 3 or type = 'email')",
    "(campaign_id = 3 or null::bool)",
    "(campaign_id = 3 or created > null)",
    "((campaign_id = 3 or campaign_id = 4) and (campaign_id = 4 or campaign_id = 5))",
    "not (campaign_id <> 3 and campaign_id <> 4)",
    "id = (select min(id) from native.copy)",
    "id in (select id from native.copy order by id limit 2)",
    "id = any (array(select id from native.copy order by id limit 3))",
    "(id = (select min(id) from native.copy) or id = (select max(id) from native.copy))",
    "exists (select from native.copy l where l.id = m.id and l.campaign_id = 3)",
    "forgotten",
    "not forgotten",
    "forgotten is not true",
    "forgotten is unknown",
    "forgotten < true",
    "m is not null",
    "m.tableoid is null",
    "subject is null",
    "case when campaign_id = 3 then true else type = 'push' end",
)
NOT_PUSHED = (
    "campaign_id = 3.5",
    "campaign_id = 1 + (random() * 0)::int",
    "campaign_id is distinct from 3",
    "campaign_id operator(native.=) 3",
    "type operator(native.=) 'email'",
    "(campaign_id, type) < (3, 'email')",
    "type::name = 'email'",
)


@pytest.fixture(scope="module")
def copy(database: str) -> Iterator[str]:
    """A local copy of the messages in schema native, with operators named = that mean <>."""
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("""
            drop schema if exists native cascade;
            create schema native;
            create domain native.whole as bigint;
            create function native.differs(text, text) returns bool
                language sql immutable as 'select $1 operator(pg_catalog.<>) $2';
            create operator native.= (leftarg = text, rightarg = text, function = native.differs);
            create function native.differs(bigint, int) returns bool
                language sql immutable as 'select $1 operator(pg_catalog.<>) $2';
            create operator native.= (leftarg = bigint, rightarg = int, function = native.differs);
            create table native.copy as select * from customerio.messages""")
        yield database
        db.execute("drop schema native cascade")


def answer(db: Connection, table: str, condition: str) -> object:
    """Count and sum of the rows, or the error."""
    try:
        return db.execute(f"select count(*), sum(hashtext(id)) from {table} m where {condition}").fetchall()
    except psycopg.Error as error:
        return str(error)


@pytest.mark.parametrize("year", [2026, 2027, 2028])
@pytest.mark.parametrize("month", [1, 4, 7, 12])
def test_the_days_are_where_the_clocks_change(year: int, month: int) -> None:
    found = dates(datetime(year, month, 29, tzinfo=timezone.utc))
    assert (found["berlin"], found["new_york"]) < (f"{year}-{month:02}-29",) * 2
    assert datetime.fromisoformat(found["berlin"]).weekday() == 6
    assert found["week"] < found["berlin"] < found["next_month"]
    assert found["month_number"] in ("3", "10")


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Europe/Berlin", "America/Havana"])
def test_same_rows_as_a_local_copy(db: Connection, sim: Simulator, copy: str, zone: str, is_multicorn: bool) -> None:
    db.execute("select set_config('timezone', %s, false)", [zone])
    now = datetime.now(timezone.utc)
    different, unable = [], []
    for condition in (dated(condition, now) for condition in CONDITIONS):
        expected, found = (answer(db, table, condition) for table in ("native.copy", "customerio.messages"))
        if isinstance(found, str) and found.startswith(UNABLE):
            unable.append(condition)
        elif found != expected:
            different.append((condition, found))
    assert different == []
    assert unable == (UNABLE_CONDITIONS if is_multicorn else [])
    assert scalar(db, "select count(*) from native.copy") > 1000


@pytest.mark.parametrize("condition", NOT_PUSHED)
def test_not_pushed(db: Connection, sim: Simulator, copy: str, condition: str) -> None:
    plan = "\n".join(row[0] for row in db.execute(f"explain select id from customerio.messages where {condition}"))
    assert "API Request: GET /v1/messages?" in plan
    assert "campaign_id=" not in plan.replace("Filter", "")
    assert "type=" not in plan


def test_a_search_path_that_hides_the_operators(db: Connection, sim: Simulator, copy: str) -> None:
    """First in the path, the operators named = are found for every plain = too."""
    condition = "campaign_id = 3"
    db.execute("set search_path = native, pg_catalog")
    count = "select count(*) from {} where {}"
    expected = scalar(db, count.format("native.copy", condition))
    assert expected != scalar(db, count.format("native.copy", "campaign_id operator(pg_catalog.=) 3"))
    assert scalar(db, count.format("customerio.messages", condition)) == expected


@pytest.mark.parametrize("depth", [1, 245, 246, 247])
def test_as_many_functions_as_one_likes(db: Connection, sim: Simulator, copy: str, depth: int) -> None:
    """What each may do to the order of times adds up to more hours than an integer holds."""
    hours = [*(140 * 2**n for n in range(16)), *[8_700_000] * depth]
    text = "created"
    for stride in reversed(hours):
        text = f"date_bin('{stride} hours', {text}, '2001-01-01')"
    count = f"select count(*) from {{}} where {text} + interval '1 month' >= '2001-01-15'"
    assert scalar(db, count.format("customerio.messages")) == scalar(db, count.format("native.copy")) > 1000
