"""The second door in a real PostgreSQL: what Multicorn2 gets wrong by itself, and must come out right here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.multicorn import door
from tests.native import recognition_days
from tests.sql.days import DAY_PARAMS, ONE_DAY, dated
from tests.sql.helpers import Connection, asked, params, plan_lines, refused, rows, server_option, value

CLOCKS = recognition_days.dates(datetime.now(timezone.utc))["berlin"]
"""The last day on which the clocks of Berlin changed."""
SESSIONS = [
    (style, zone)
    for style in ("ISO, MDY", "SQL, DMY", "SQL, MDY", "Postgres, DMY", "Postgres, MDY", "German, DMY")
    for zone in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "<+03>-03")
]


@pytest.fixture
def local(db: Connection) -> Iterator[str]:
    """A plain table with the messages."""
    db.execute("create table public.local as select id, created, type, campaign_id from customerio.messages")
    yield "public.local"
    db.execute("drop table public.local")


@pytest.mark.parametrize(("style", "zone"), SESSIONS)
def test_moments_in_every_session(db: Connection, sim: Simulator, local: str, style: str, zone: str) -> None:
    rows(db, "select set_config('datestyle', %s, false), set_config('timezone', %s, false)", [style, zone])
    for condition in (
        dated("created >= '{day} 00:00+00' and created < '{day} 12:00+00'"),
        f"created between '{CLOCKS} 00:30+00' and '{CLOCKS} 01:30+00'",
        dated("created < timestamp '{early} 12:00:00.5'"),
        dated("created >= date '{day}' and created <= date '{late}'"),
        "created > now()::timestamp - interval '40 days'",
        "created > now()::timestamp(0)",
        "created > (now() at time zone 'Asia/Tokyo') - interval '30 days'",
        "created < now()::date and created > now() - interval '9 days'",
        dated("created = any (array['{day}'::timestamptz, (select max(created) from public.local)])"),
    ):
        query = "select count(*), min(id), max(id) from {} where " + condition
        assert rows(db, query.format("customerio.messages")) == rows(db, query.format(local)), condition


def test_bounds_are_as_narrow_as_the_session_allows(db: Connection, sim: Simulator) -> None:
    for style in ("ISO, MDY", "SQL, DMY", "Postgres, DMY", "German, DMY"):
        sim.reset()
        db.execute(f"set datestyle = '{style}'")
        rows(db, f"select id from customerio.messages where {ONE_DAY}")
        (target,) = asked(sim)
        assert params(target) == DAY_PARAMS


@pytest.mark.parametrize(
    "condition",
    [
        "type in ($1, $2) and campaign_id in ($3, $4)",
        "type = any (array[$1, $2]) and campaign_id = any (array[$3, $4])",
        "campaign_id in (1, length($1) - 2, $3, $4) and type in ('email', $2)",
        "type = $1 and campaign_id = $3 and $2 <> '' and $4 > 0",
    ],
)
def test_lists_with_parameters(db: Connection, sim: Simulator, local: str, condition: str) -> None:
    """Multicorn reads an address where it should read the list of a generic plan."""
    for mode in ("force_generic_plan", "force_custom_plan"):
        db.execute(f"set plan_cache_mode = {mode}")
        found = []
        for table in ("customerio.messages", local):
            db.execute(f"prepare p (text, text, bigint, bigint) as select id from {table} where {condition}")
            found.append(sorted(rows(db, "execute p ('email', 'push', 3, 4)")))
            db.execute("deallocate p")
        assert found[0] == found[1]
        assert found[0]


def test_whole_rows(db: Connection, sim: Simulator) -> None:
    count = len(sim.data("campaigns"))
    for query in (
        "select to_jsonb(c) from customerio.campaigns c",
        "select to_jsonb(c), id from customerio.campaigns c where id > 0",
        "select row_to_json(c)::jsonb from customerio.campaigns c",
        "select to_jsonb(c.*) from (select * from customerio.campaigns) c",
    ):
        found = [row[0] for row in rows(db, query)]
        assert len(found) == count
        assert all(row["name"] is not None and row["raw"]["id"] == row["id"] for row in found)
    assert value(db, "select count(c) from customerio.campaigns c") == count
    assert (
        value(db, "select count(*) from customerio.campaigns where tableoid = 'customerio.campaigns'::regclass")
        == count
    )


def test_limits_under_views_lose_no_rows(db: Connection, sim: Simulator) -> None:
    rare = sim.data("messages")[-1700]["id"]
    db.execute(f"create temp view v as select * from customerio.messages where id || '' = '{rare}'")
    assert [row[0] for row in rows(db, "select id from v limit 3")] == [rare]
    assert len(rows(db, "select id from customerio.messages limit 5000000000 offset 10")) > 2000
    assert rows(db, "select id from customerio.messages limit 0") == []


def test_null_tests(db: Connection, sim: Simulator) -> None:
    total = value(db, "select count(*) from customerio.campaigns")
    without = value(db, "select count(*) from customerio.campaigns where name is null")
    assert without + value(db, "select count(*) from customerio.campaigns where name is not null") == total
    assert value(db, "select count(*) from customerio.campaigns where name = (select null::text)") == 0
    active = value(db, "select count(*) from customerio.campaigns where active")
    assert active + value(db, "select count(*) from customerio.campaigns where not active") == total
    assert value(db, "select count(*) from customerio.campaigns where active is true") == active
    assert value(db, "select count(*) from customerio.campaigns where active is unknown") == 0


def test_self_joins_and_rescans_keep_their_scans_apart(db: Connection, sim: Simulator) -> None:
    expected = len(sim.data("campaigns"))
    for setting in ("enable_hashjoin", "enable_mergejoin", "enable_material"):
        db.execute(f"set {setting} = off")
    assert value(db, "select count(*) from customerio.campaigns a join customerio.campaigns b using (id)") == expected
    assert value(db, "select count(*) from customerio.campaigns a, customerio.campaigns b") == expected**2


def test_two_cursors_side_by_side(db: Connection, sim: Simulator) -> None:
    with db.transaction():
        db.execute("declare a cursor for select id from customerio.messages")
        db.execute("declare b cursor for select id from customerio.messages")
        first, second = [], []
        for _ in range(40):
            first += rows(db, "fetch 100 from a")
            second += rows(db, "fetch 100 from b")
    assert sorted(first) == sorted(second)
    assert len(set(first)) == len(first) > 2000


def test_the_key_is_nowhere(db: Connection, sim: Simulator) -> None:
    for options in ("verbose", "analyze, verbose", "format json"):
        shown = json.dumps([str(row[0]) for row in rows(db, f"explain ({options}) select * from customerio.messages")])
        assert "/v1/messages" in shown or options == "format json"
        assert sim.key not in shown


@pytest.mark.parametrize("url", ["http://api.customer.io", "http://192.0.2.1", "ftp://127.0.0.1", "//127.0.0.1"])
def test_only_https_but_on_a_loopback_address(db: Connection, sim: Simulator, url: str) -> None:
    with server_option(db, "base_url", url), refused("HV024"):
        rows(db, "select id from customerio.campaigns")
    assert asked(sim) == []


@pytest.mark.parametrize(
    ("options", "sqlstate", "says"),
    [
        ("endpoint 'campains'", "HV00R", "campains"),
        ("endpoint 'campaigns', regoin 'eu'", "HV00D", "regoin"),
        ("endpoint 'campaigns', page_size 'many'", "HV024", "many"),
    ],
)
def test_options_are_checked_when_they_are_used(
    db: Connection, sim: Simulator, options: str, sqlstate: str, says: str
) -> None:
    db.execute(f"create foreign table pg_temp.odd (id bigint) server customerio options ({options})")
    with refused(sqlstate) as caught:
        rows(db, "select id from pg_temp.odd")
    assert says in str(caught.value)
    assert caught.value.diag.message_hint
    with pytest.raises(psycopg.Error) as explained:
        rows(db, "explain select id from pg_temp.odd")
    assert explained.value.diag.message_detail == f"SQLSTATE {sqlstate}"
    assert asked(sim) == []


@pytest.mark.parametrize(
    ("column", "sqlstate"), [("nmae text", "HV005"), ("id integer", "HV004"), ("id uuid", "HV004")]
)
def test_columns_are_those_of_the_catalog(db: Connection, column: str, sqlstate: str) -> None:
    db.execute(f"create foreign table pg_temp.odd ({column}) server customerio options (endpoint 'campaigns')")
    with refused(sqlstate):
        rows(db, "select * from pg_temp.odd")


def test_a_wrong_value_ends_the_query_and_a_dropped_column_helps(db: Connection, sim: Simulator) -> None:
    body = {"campaigns": [{"id": 1, "name": "a"}, {"id": 2, "created": "yesterday"}]}
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    with refused("HV000") as caught:
        rows(db, "select id from customerio.campaigns")
    assert "table campaigns, column created, record id 2" in str(caught.value)
    db.execute("create foreign table pg_temp.few (id bigint) server customerio options (endpoint 'campaigns')")
    assert rows(db, "select id from pg_temp.few") == [(1,), (2,)]


def test_page_size(db: Connection, sim: Simulator) -> None:
    """Multicorn lets a server beat a table; one of the two must do."""
    db.execute("create foreign table pg_temp.small (id text, created timestamptz) server customerio "
               "options (endpoint 'messages', page_size '100')")  # fmt: skip
    rows(db, f"select id from pg_temp.small where {ONE_DAY}")
    assert {params(target)["limit"] for target in asked(sim)} == {"100"}
    sim.reset()
    with server_option(db, "page_size", "200"):
        rows(db, f"select id from pg_temp.small where {ONE_DAY}")
    assert {params(target)["limit"] for target in asked(sim)} == {"200"}


def test_writing_is_refused(db: Connection, sim: Simulator) -> None:
    for statement in (
        "insert into customerio.campaigns (id) values (1)",
        "update customerio.campaigns set name = 'x'",
        "delete from customerio.campaigns",
    ):
        with pytest.raises(psycopg.Error, match="only read"):
            db.execute(statement)
    assert value(db, "select 1") == 1


def test_texts_of_all_kinds(db: Connection, sim: Simulator) -> None:
    names: list[Any] = [
        "",
        "a\tb\n",
        "quote ' \" \\",
        "Zoë 日本 🎉",
        "nul \0 here",
        '{NULL,"x"}',
        7,
        True,
    ]
    body = {"campaigns": [{"id": i, "name": name, "tags": [name, None, "x,y"]} for i, name in enumerate(names)]}
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    shown = ["", "a\tb\n", "quote ' \" \\", "Zoë 日本 🎉", "nul  here", '{NULL,"x"}', "7", "true"]
    found = rows(db, "select name, tags, raw ->> 'name' from customerio.campaigns order by id")
    assert [row[0] for row in found] == shown
    assert [row[1] for row in found] == [[name, None, "x,y"] for name in shown]
    assert [row[2] for row in found] == shown


def test_moments_beyond_the_calendar_of_python(db: Connection, sim: Simulator) -> None:
    seconds = [0, -1, -(10**11), 10**11, -62_135_596_801, 1_767_312_000]
    body = {"campaigns": [{"id": i, "created": second} for i, second in enumerate(seconds)]}
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    query = "select extract(epoch from created)::bigint from customerio.campaigns order by id"
    for style in ("ISO, DMY", "SQL, MDY", "German, DMY"):
        db.execute(f"set datestyle = '{style}'; set timezone = 'Asia/Kolkata'")
        assert [row[0] for row in rows(db, query)] == seconds


def test_the_throttle_and_the_journal_are_those_of_the_server(db: Connection, database: str, sim: Simulator) -> None:
    rows(db, "select * from customerio._limits")  # the start of Python must not take the second that is looked at
    with psycopg.connect(database, autocommit=True) as other:
        rows(other, "select id from customerio.newsletters")
        found = rows(db, "select path, status, pid from customerio._requests where pid = %s", [other.info.backend_pid])
    assert found
    assert found[-1][0].startswith("/v1/newsletters")
    used = 0
    # It tells of the last second, which a busy machine may let pass.
    for _ in range(20):
        rows(db, "select id from customerio.newsletters")
        ((limit, used, kept_in),) = rows(db, "select requests_per_second, used, kept_in from customerio._limits")
        if used:
            break
    assert (limit, kept_in) == (1000, "server")
    assert used >= 1
    assert (
        plan_lines(db, "select * from customerio._limits")[-1] == "API Request: none, answered from the state directory"
    )


def test_roles_have_mappings_of_their_own(db: Connection, sim: Simulator) -> None:
    db.execute("create role stranger; grant usage on schema customerio to stranger")
    db.execute("grant select on customerio.campaigns to stranger")
    rows(db, "select id from customerio.campaigns")
    try:
        db.execute("set role stranger")
        with refused("28000") as caught:
            rows(db, "select id from customerio.campaigns")
        assert "CREATE USER MAPPING" in (caught.value.diag.message_hint or "")
    finally:
        db.execute("reset role; drop owned by stranger; drop role stranger")
    assert rows(db, "select id from customerio.campaigns")


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "SQL_ASCII"])
def test_databases_that_are_not_in_utf8(cluster: Cluster, sim: Simulator, encoding: str) -> None:
    """Python has no codec of the name WIN1252; without one, Multicorn ends the server."""
    body = {"campaigns": [{"id": 1, "name": "Café", "tags": ["é"]}]}
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    name = f"in_{encoding.lower()}"
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute(f"create database {name} encoding {encoding} locale 'C' template template0")
    address = cluster.socket_url(name)
    door.set_up(address, {"base_url": sim.url}, Secret(sim.key))
    with psycopg.connect(address, autocommit=True, client_encoding="utf8") as connection:
        found = rows(connection, "select name, tags, raw ->> 'name' from customerio.campaigns")
        assert found == [("Café", ["é"], "Café")]
        body["campaigns"][0]["name"] = "日本"
        sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
        if encoding == "SQL_ASCII":
            assert rows(connection, "select name from customerio.campaigns") == [("日本",)]
            return
        with refused("HV000") as caught:
            rows(connection, "select name from customerio.campaigns")
        assert f"column name: the API sent a character that the database's encoding {encoding} lacks" in str(
            caught.value
        )


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252"])
def test_names_beyond_ascii_are_not_imported_into(cluster: Cluster, sim: Simulator, encoding: str) -> None:
    """Multicorn decodes the statement as UTF-8, whatever the database has: an error, and the session goes on."""
    name = f"named_in_{encoding.lower()}"
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute(f"create database {name} encoding {encoding} locale 'C' template template0")
    address = cluster.socket_url(name)
    door.set_up(address, {"base_url": sim.url}, Secret(sim.key))
    with psycopg.connect(address, autocommit=True, client_encoding="utf8") as connection:
        connection.execute('create schema "schéma"')
        with refused("XX000") as caught:
            connection.execute('import foreign schema customerio from server customerio into "schéma"')
        assert "Unicode" in str(caught.value)
        assert rows(connection, "select count(*) from customerio.campaigns") == [(len(sim.data("campaigns")),)]


@pytest.mark.parametrize("fails", ["current_date", "current_timestamp", "localtimestamp"])
def test_what_to_write_instead_of_current_date(db: Connection, sim: Simulator, fails: str) -> None:
    """docs/multicorn.md names both: what Multicorn fails on before the wrapper is asked, and what works."""
    with refused("XX000") as caught:
        rows(db, f"select id from customerio.messages where created > {fails}")
    assert "lookup failed for type" in str(caught.value)
    midnight = value(db, "select extract(epoch from current_date::timestamptz)::bigint")
    for works in (f"(select {fails})", f"{fails} - interval '9 days'", "now() - interval '9 days'"):
        sim.reset()
        rows(db, f"select id from customerio.messages where created > {works}")
        assert all(int(params(target)["start_ts"]) >= midnight - 9 * 86_400 for target in asked(sim)), works
        assert asked(sim)


def test_an_outer_join_inside_another(db: Connection, sim: Simulator) -> None:
    """From PostgreSQL 16 on, Multicorn's search for join keys does not know what it finds there."""
    query = """select count(*) from customerio.campaign_actions l
        right join customerio.messages r on l.campaign_id = r.campaign_id
        left join customerio.messages f on l.campaign_id = f.transactional_message_id"""
    try:
        value(db, query)
    except psycopg.errors.InternalError_ as error:
        told = str(error)
    else:
        told = ""
    assert not told or "unrecognized node type" in told
    kept = re.sub(r"(customerio\.\w+)", r"(select * from \1 offset 0)", query)
    assert value(db, kept) >= len(sim.data("messages"))


def test_literals_of_every_size(db: Connection, sim: Simulator) -> None:
    """An int4 comes as a number, an int8 as text, a numeric as a float."""
    expected = [row[0] for row in rows(db, "select id from customerio.messages where campaign_id + 0 = 3")]
    assert expected
    for literal in ("3", "3::bigint", "3::smallint", "3.0", "3::numeric", "3::float8", "'3'", "(select 3::bigint)"):
        found = [row[0] for row in rows(db, f"select id from customerio.messages where campaign_id = {literal}")]
        assert sorted(found) == sorted(expected), literal
    for literal in ("3000000000", "-3000000000", "9223372036854775807", "99999999999999999999"):
        assert rows(db, f"select id from customerio.messages where campaign_id = {literal}") == [], literal
