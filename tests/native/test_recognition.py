"""Conditions of every shape give what a local copy of the table gives; strange ones are not pushed."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
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


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
def test_same_rows_as_a_local_copy(db: Connection, sim: Simulator, copy: str, zone: str) -> None:
    db.execute("select set_config('timezone', %s, false)", [zone])
    query = "select count(*), sum(hashtext(id)) from {} m where {}"
    different = [
        condition
        for condition in CONDITIONS
        if db.execute(query.format("customerio.messages", condition)).fetchall()
        != db.execute(query.format("native.copy", condition)).fetchall()
    ]
    assert different == []
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
