"""Conditions of every shape give what a local copy of the table gives; strange ones are not pushed."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.multicorn.differences import OWN_ERRORS as UNABLE
from tests.multicorn.differences import UNABLE_CONDITIONS
from tests.native.backend import Connection, scalar

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
    "created::date = '2026-10-25'",
    "created::date between '2026-10-24' and '2026-11-01'",
    "created::date <> '2026-10-25'",
    "created::date in ('2026-10-25', '2026-08-01', null)",
    "created::date >= (select max(created)::date - 3 from native.copy)",
    "created::timestamp >= '2026-10-25 02:30'",
    "date_trunc('week', created) = '2026-10-19'",
    "date_trunc('month', created) >= '2026-11-01'",
    "date_trunc('day', created, 'Europe/Berlin') = '2026-10-25 00:00+02'",
    "date_trunc('day', created at time zone 'Europe/Berlin') = '2026-10-25'",
    "date_trunc('year', created) = date_trunc('year', now())",
    "(created at time zone 'Europe/Berlin')::date = '2026-10-25'",
    "(created at time zone 'EST')::date = '2026-11-01'",
    "(created at time zone interval '-3 hours')::date = '2026-10-25'",
    "((created at time zone 'Asia/Tokyo') at time zone 'America/New_York')::date = '2026-11-01'",
    "extract(epoch from created) between 1791158400 and 1791244800",
    "extract(year from created) = 2026",
    "extract(month from created) = 10",
    "date_part('epoch', created) > 1791158400.5",
    "extract(epoch from created)::bigint % 2 = 0",
    "extract(epoch from created)::int >= 1791158400",
    "1791158400 > extract(epoch from created)::int",
    "date_part('epoch', created)::int between 1791158400 and 1791244800",
    "extract(epoch from created at time zone 'Pacific/Kiritimati')::int > 2147483000",
    "extract(epoch from created)::int < -5",
    "extract(year from created)::int = 2026",
    "extract(epoch from created + interval '10 years')::int > 1900000000",
    "created + interval '290000 years' > '2026-01-01'",
    "created - interval '6000 years' < '4000-01-01 BC'",
    "created::date + 5800000 > '17906-01-01'",
    "created::date - 2400000 > '4546-01-01 BC'",
    "created + interval '292249 years' < '294276-12-31'",
    "(created + interval '290000 years') at time zone 'Europe/Berlin' > '292026-10-05'",
    "date_trunc('month', created at time zone 'Europe/Berlin') = '2026-10-01'",
    "cast(date_trunc('month', created at time zone 'Europe/Berlin') as date) >= '2026-10-01'",
    "date_trunc('day', created at time zone 'Europe/Berlin') at time zone 'Europe/Berlin' >= '2026-10-25 00:00+02'",
    "date_trunc('month', created, 'America/New_York')::timestamp = '2026-11-01'",
    "date_trunc('week', created + interval '1 day') + interval '-1 day' = '2026-10-25'",
    "date_trunc('month', date_trunc('day', created)) = '2026-10-01'",
    "created between date_trunc('month', now() - interval '1 month') and date_trunc('month', now())",
    "created::date = case when current_user is null then null else '2026-10-05'::date end",
    "created + interval '1 month' > '2026-11-24'",
    "created - interval '1 day' < '2026-10-05'",
    "'2026-11-01' - created < interval '10 days'",
    "age(created) < interval '10 days'",
    "created::date - '2026-10-05'::date in (0, 1, 2)",
    "not (created::date > '2026-10-05')",
    "created::date is not distinct from '2026-10-05'",
    "(created::date = '2026-10-05' or created::date = '2026-08-01')",
    "(created > '2026-11-01' or created < '2026-08-01')",
    "(created > '2026-11-01' or created < '2026-08-01' or created is null)",
    "(created > '2026-11-01' and campaign_id = 3 or created < '2026-08-01' and campaign_id = 4)",
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


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Europe/Berlin", "America/Havana"])
def test_same_rows_as_a_local_copy(db: Connection, sim: Simulator, copy: str, zone: str, is_multicorn: bool) -> None:
    db.execute("select set_config('timezone', %s, false)", [zone])
    different, unable = [], []
    for condition in CONDITIONS:
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
