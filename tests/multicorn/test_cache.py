"""Answers that are kept, as far as the second door is different: its settings, its options, its statements."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, plan_lines, refused, rows, server_option, value

NAMES = "select id, name from customerio.campaigns order by id"


@pytest.fixture
def cached(db: Connection, sim: Simulator, cluster: Cluster) -> Iterator[Connection]:
    def clear() -> None:
        for path in (cluster.data_dir / "cio_fdw").glob("cache-*.db"):
            path.unlink()

    clear()
    with server_option(db, "cache_ttl", "86400"):
        yield db
    clear()


def test_another_session_finds_it(cached: Connection, database: str, sim: Simulator) -> None:
    first = rows(cached, NAMES)
    with psycopg.connect(database, autocommit=True) as other:
        assert rows(other, NAMES) == first
        assert "API Answers From Cache: 1" in plan_lines(other, NAMES, "(analyze, timing off)")
    assert len(asked(sim)) == 1


def test_ranges_keep_step(cached: Connection, sim: Simulator) -> None:
    week = "select count(*) from customerio.messages where created > now() - interval '7 days'"
    first = value(cached, week)
    count = len(asked(sim))
    sim.add_messages(count=2)
    assert value(cached, week) == first
    assert len(asked(sim)) == count
    assert "API Requests Sent: 0" in plan_lines(cached, week, "(analyze, timing off)")


def test_a_setting_of_the_session(cached: Connection, sim: Simulator) -> None:
    rows(cached, NAMES)
    for word, count in (("off", 2), ("0", 3), ("on", 3), ("yes", 3)):
        cached.execute(f"set cio_fdw.cache = '{word}'")
        rows(cached, NAMES)
        assert len(asked(sim)) == count, word
    with cached.transaction():
        cached.execute("set local cio_fdw.cache = off")
        rows(cached, NAMES)
    assert len(asked(sim)) == 4
    cached.execute("reset cio_fdw.cache")
    rows(cached, NAMES)
    assert len(asked(sim)) == 4
    cached.execute("set cio_fdw.cache = 'perhaps'")
    with refused("22023") as caught:
        rows(cached, NAMES)
    assert 'invalid value for parameter "cio_fdw.cache": "perhaps"' in str(caught.value)


def test_a_table_of_its_own_mind(cached: Connection, sim: Simulator) -> None:
    """Multicorn lets the server's option beat the table's of that name, so a table has names of its own."""
    cached.execute(
        "create foreign table pg_temp.fresh (id bigint, name text) server customerio "
        "options (endpoint 'campaigns', table_cache_ttl '0')"
    )
    for _ in range(2):
        rows(cached, "select * from pg_temp.fresh")
    assert len(asked(sim)) == 2
    cached.execute("create foreign table pg_temp.odd (id bigint) server customerio "
                   "options (endpoint 'campaigns', table_cache_ttl 'long')")  # fmt: skip
    with refused("HV024"):
        rows(cached, "select * from pg_temp.odd")


def test_a_cancel_while_another_asks(cached: Connection, database: str, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "hang"}}])
    for _ in range(3):
        cached.execute("set statement_timeout = '100ms'")
        with refused("57014"):
            rows(cached, NAMES)
    cached.execute("set statement_timeout = 0")
    sim.faults([])
    assert len(rows(cached, NAMES)) == len(sim.data("campaigns"))


def test_a_parents_list_is_read_once_in_a_statement(db: Connection, sim: Simulator) -> None:
    """Without a cache_ttl, and for every table of the statement."""
    twice = """select (select count(*) from customerio.campaign_actions),
        (select count(*) from customerio.campaign_actions where type = 'email'),
        (select count(*) from (select distinct campaign_id from customerio.campaign_actions offset 0) x)"""
    for times in (1, 2):
        rows(db, twice)
        assert asked(sim).count("/v1/campaigns") == times, "another statement reads it again"


def test_a_statement_inside_another_reads_it_again(db: Connection, sim: Simulator) -> None:
    """A volatile function must see what has changed since the outer one began."""
    db.execute(
        "create function pg_temp.actions(bigint) returns bigint volatile language plpgsql as "
        "'begin return (select count(*) from customerio.campaign_actions); end'"
    )
    rows(db, "select pg_temp.actions(id) from (select id from customerio.campaign_actions limit 2 offset 0) x")
    assert asked(sim).count("/v1/campaigns") == 3


def test_a_cursor_does_not_lend_its_list(db: Connection, sim: Simulator) -> None:
    with db.transaction():
        db.execute("declare c cursor for select id from customerio.campaign_actions")
        rows(db, "fetch 1 from c")
        assert asked(sim).count("/v1/campaigns") == 1
        value(db, "select count(*) from customerio.campaign_actions")
        assert asked(sim).count("/v1/campaigns") == 2
        rows(db, "fetch all from c")
