"""A user's session, statement by statement on both doors of one server: rows, notices and errors are the same.

What is not the same stands in DIFFERENT, by statement, and in docs/multicorn.md. Requests are compared by the tests of
each; here it is what a user sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple, Optional

import psycopg
import pytest
from psycopg.types.string import TextLoader

from cio_fdw.secret import Secret
from cio_fdw.server import database as native_door
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.multicorn import door
from tests.sql.days import DATES, dated
from tests.sql.helpers import Connection

AS_TEXT = ("json", "jsonb", "timestamptz", "timestamp", "date", "interval")
DAY, NEXT = (date.fromisoformat(DATES[name]) for name in ("day", "next"))
OF_MESSAGES = "select count(*) from customerio.messages where created"
SAME = (
    "select type, count(*), count(opened) from customerio.messages where created > now() - interval '9 d' group by 1",
    "select c.name, count(*) from customerio.messages m join customerio.campaigns c on c.id = m.campaign_id group by 1",
    "select id, type, name, sending_state from customerio.campaign_actions where campaign_id = 2 order by id",
    "select * from customerio.campaigns order by id",
    "select c from customerio.campaigns c where id = 1",
    "select tableoid::regclass, id from customerio.campaigns where id < 3",
    "create materialized view sends as select created::date d, type, count(*) from customerio.messages group by 1, 2",
    "create unique index on sends (d, type)",
    "refresh materialized view concurrently sends",
    "select * from sends order by 1, 2",
    "select cio.mirror('customerio.campaigns', 'analytics.campaigns')",
    "select count(*) from analytics.campaigns",
    dated(f"{OF_MESSAGES} >= '{{day}}' and created < '{{next}}'"),
    "set datestyle = 'German, DMY'; set timezone = 'America/New_York'; set intervalstyle = 'iso_8601'",
    f"{OF_MESSAGES} >= '{DAY:%d.%m.%Y}' and created < '{NEXT:%d.%m.%Y}'",
    "select created, created - now() > '1 day' from customerio.campaigns order by id",
    "set datestyle = 'Postgres, DMY'; set timezone = 'Asia/Kolkata'",
    f"{OF_MESSAGES} >= '{DAY:%d %b %Y}' and created < timestamp '{NEXT} 00:00:00.5'",
    "reset datestyle; reset timezone; reset intervalstyle",
    f"{OF_MESSAGES} > '2020-01-01'",
    f"{OF_MESSAGES} > '-infinity' and created < 'infinity'",
    f"{OF_MESSAGES} is null",
    f"{OF_MESSAGES} > (select max(created) - interval '3 days' from customerio.messages)",
    "prepare p (bigint, bigint[], timestamptz, text) as select count(*) from customerio.messages "
    "where campaign_id = $1 and campaign_id = any ($2) and created > $3 and type = $4",
    f"execute p (3, '{{3,4}}', '{DAY}', 'email')",
    "set plan_cache_mode = force_generic_plan",
    f"execute p (3, '{{3,4}}', '{DAY}', 'email')",
    "execute p (null, null, null, null)",
    "reset plan_cache_mode; deallocate p",
    "begin; declare c cursor for select id from customerio.campaigns order by id; fetch 5 from c",
    "fetch 3 from c",
    "move 2 from c",
    "commit",
    "begin; declare h cursor with hold for select id from customerio.campaigns order by id; commit",
    "fetch all from h",
    "close h",
    "select * from customerio.nosuch",
    "select nosuch from customerio.campaigns",
    "select 1 / (id - id) from customerio.campaigns",
    "truncate customerio.campaigns",
    "create index on customerio.campaigns (id)",
    "select * from customerio.campaigns tablesample system (10)",
    "create schema again",
    "import foreign schema customerio limit to (campaigns, _requests) from server customerio into again",
    "import foreign schema customerio except (campaigns, _requests) from server customerio into again",
    "select count(*) from pg_foreign_table",
    "import foreign schema customerio limit to (campaigns) from server customerio into again",
    "do $$ begin perform nosuch from customerio.campaigns; exception when undefined_column then null; end $$",
    "create foreign table odd (id bigint) server customerio options (endpoint 'no_such_endpoint')",
    "select * from odd",
    "select path, status from customerio._requests limit 0",
    "select requests_per_second, max_concurrency, kept_in from customerio._limits",
    "begin isolation level serializable read only; select count(*) from customerio.campaigns; commit",
)
REFUSED = {
    "select * from customerio.nosuch": "42P01",
    "select nosuch from customerio.campaigns": "42703",
    "select 1 / (id - id) from customerio.campaigns": "22012",
    "truncate customerio.campaigns": "0A000",
    "create index on customerio.campaigns (id)": "42809",
    "select * from customerio.campaigns tablesample system (10)": "0A000",
    "import foreign schema customerio limit to (campaigns) from server customerio into again": "42P07",
    "select * from odd": "HV00R",
}
"""Of SAME: with which SQLSTATE."""
DIFFERENT = {
    "select count(*) from customerio.messages where created > current_date": "Multicorn fails on it",
    "insert into customerio.campaigns (id) values (1)": "its own text and XX000",
    "analyze customerio.campaigns": "not available",
    "explain select * from customerio.messages where created::date = current_date - 52": "not pushed",
    "explain (format json) select * from customerio.campaigns": "one key for all",
    "create server other foreign data wrapper cio_fdw options (regoin 'us')": "checked when a table is used",
    "import foreign schema customerio limit to (no_such) from server customerio into again": "XX000",
    "create foreign table t (id integer) server customerio options (endpoint 'campaigns'); table t": "its name",
    "select count(*) from customerio.messages where created is distinct from now()": "a WARNING",
    "select cio_fdw_cache_clear()": "no such function",
    "set cio_fdw.no_such = 1": "settings are not defined",
}


class Seen(NamedTuple):
    """What one statement shows: the rows in any order or the command's tag, the error, and what else was told."""

    result: object
    error: Optional[tuple[Optional[str], ...]]
    told: tuple[str, ...]


class Session:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told: list[str] = []
        connection.add_notice_handler(lambda said: self._told.append(f"{said.severity}: {said.message_primary}"))
        for name in AS_TEXT:
            connection.adapters.register_loader(name, TextLoader)

    def see(self, statement: str) -> Seen:
        self._told.clear()
        result: object = None
        error = None
        try:
            cursor = self._connection.execute(statement.encode())
            while cursor.nextset():
                pass
            result = sorted(map(str, cursor.fetchall())) if cursor.description else cursor.statusmessage
        except psycopg.Error as failure:
            diagnostic = failure.diag
            error = (failure.sqlstate, diagnostic.message_primary, diagnostic.message_detail, diagnostic.message_hint)
            if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self._connection.rollback()
        return Seen(result, error, tuple(self._told))


@pytest.fixture(scope="module")
def sessions(cluster: Cluster, pg_config: Path, simulator: Simulator) -> Iterator[tuple[Session, Session]]:
    """The native door's first."""
    simulator.reset()
    opened = []
    for name, set_up in (("side_native", native_door.set_up), ("side_second", door.set_up)):
        with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
            admin.execute(f"create database {name}")
        address = cluster.socket_url(name)
        set_up(address, {"base_url": simulator.url, "requests_per_second": "1000"}, Secret(simulator.key))
        connection = psycopg.connect(address, autocommit=True, prepare_threshold=None)
        connection.execute("create extension cio_sync")
        opened.append(connection)
    yield Session(opened[0]), Session(opened[1])
    for connection in opened:
        connection.close()


def test_the_same_session(sessions: tuple[Session, Session]) -> None:
    native, second = sessions
    seen = {statement: (native.see(statement), second.see(statement)) for statement in SAME}
    assert {statement: pair for statement, pair in seen.items() if pair[0] != pair[1]} == {}
    failed = {statement: pair[0].error[0] for statement, pair in seen.items() if pair[0].error}
    assert failed == REFUSED
    shown = [pair[0].result for pair in seen.values() if isinstance(pair[0].result, list)]
    assert sum(len(rows) for rows in shown) > 100


@pytest.mark.parametrize("statement", DIFFERENT, ids=lambda statement: statement[:50])
def test_what_is_known_to_differ(sessions: tuple[Session, Session], statement: str) -> None:
    native, second = (session.see(statement) for session in sessions)
    assert native != second
