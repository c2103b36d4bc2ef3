"""A server with both doors: one limit, one journal, one cache; and both in one session."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server import database as native_door
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.ledger import busiest
from tests.multicorn.door import WRAPPER
from tests.sql.helpers import asked, refused, rows, value
from tests.throttle.conftest import strict, strict_simulator
from tests.throttle.world import Crowd, arrivals, share_of_429, steady_per_s

__all__ = ["strict", "strict_simulator"]

SECONDS = 10.0
CHILDREN = "select count(*) from {}.campaign_actions"
NATIVE, SECOND = "customerio", "second"


@pytest.fixture(scope="module")
def both(cluster: Cluster, pg_config: Path, strict_simulator: Simulator) -> str:
    """The address of a database with a schema for each door, on servers of the same key and API."""
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute("create database both_doors")
    address = cluster.socket_url("both_doors")
    native_door.set_up(address, {"base_url": strict_simulator.url}, Secret(strict_simulator.key))
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("create extension multicorn")
        db.execute(
            f"create server second foreign data wrapper multicorn options (wrapper '{WRAPPER}', "
            f"base_url '{strict_simulator.url}')"
        )
        db.execute(f"create user mapping for current_user server second options (app_api_key '{strict_simulator.key}')")
        db.execute("create schema second; import foreign schema customerio from server second into second")
    return address


@pytest.fixture
def kept(both: str, strict: Simulator, cluster: Cluster) -> Iterator[str]:
    """The same, with answers that are kept for an hour, and none kept yet."""
    for change, after in (("add cache_ttl '3600'", True), ("drop cache_ttl", False)):
        for server in (NATIVE, SECOND):
            # Each in a session of its own: Multicorn's validator after the native one would not find its package.
            with psycopg.connect(both, autocommit=True) as db:
                db.execute(f"alter server {server} options ({change})")
        if after:
            yield both
    for path in (cluster.data_dir / "cio_fdw").glob("cache-*.db"):
        path.unlink()


def journal(address: str, schema: str) -> dict[int, int]:
    """Requests by backend, as one of the doors shows them."""
    with psycopg.connect(address, autocommit=True) as db:
        return dict(rows(db, f"select pid, count(*) from {schema}._requests group by pid"))


def test_backends_of_both_doors_share_the_rate(both: str, strict: Simulator) -> None:
    crowd = Crowd()
    try:
        for schema in (NATIVE, SECOND) * 3:
            crowd.add(both, CHILDREN.format(schema))
        time.sleep(SECONDS)
        assert not crowd.errors
        times_s, in_flight = arrivals(strict), strict.stats()["max_in_flight"]
        assert busiest(times_s) <= 10
        assert in_flight <= 3
        assert share_of_429(strict) < 0.01
        # This finds a limit that is divided, or doors of which one stands still.
        assert steady_per_s(times_s) >= 7.0
        crowd.end(both)
        sent = [journal(both, schema) for schema in (NATIVE, SECOND)]
        assert sent[0] == sent[1]
        shares = [sum(sent[0][pid] for pid in crowd.pids[door::2]) / len(times_s) for door in (0, 1)]
        assert min(shares) > 0.25
    finally:
        crowd.end(both)


@pytest.mark.parametrize(("first", "then"), [(NATIVE, SECOND), (SECOND, NATIVE)])
def test_what_one_door_keeps_the_other_uses(kept: str, strict: Simulator, first: str, then: str) -> None:
    queries = (
        "select id, name from {}.campaigns order by id",
        "select count(*), max(created) from {}.messages where created > now() - interval '20 days'",
        "select id from {}.campaign_actions where campaign_id in (1, 2, 3) order by id",
    )
    with psycopg.connect(kept, autocommit=True) as one, psycopg.connect(kept, autocommit=True) as other:
        found = [rows(one, query.format(first)) for query in queries]
        count = len(asked(strict))
        assert count >= 5
        assert [rows(other, query.format(then)) for query in queries] == found
        assert len(asked(strict)) == count


def test_both_in_one_session(both: str, strict: Simulator) -> None:
    """Multicorn first: the native door joins its interpreter."""
    with psycopg.connect(both, autocommit=True) as db:
        campaigns = len(strict.data("campaigns"))
        for schema in (SECOND, NATIVE, SECOND, NATIVE):
            assert value(db, f"select count(*) from {schema}.campaigns") == campaigns
        joined = "select count(*) from second.campaigns a join customerio.campaigns b using (id, name)"
        assert value(db, joined) == campaigns
        strict.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
        db.execute("set statement_timeout = '300ms'")
        for schema in (NATIVE, SECOND, NATIVE, SECOND):
            with refused("57014"):
                rows(db, f"select id from {schema}.messages")
        assert value(db, "select count(*) from pg_stat_activity where pid = pg_backend_pid()") == 1


def test_the_native_door_first(both: str, strict: Simulator) -> None:
    """Its interpreter takes packages of one place alone, which need not have Multicorn's: then that is the error."""
    with psycopg.connect(both, autocommit=True) as db:
        campaigns = len(strict.data("campaigns"))
        assert value(db, "select count(*) from customerio.campaigns") == campaigns
        complaint = ""
        try:
            assert value(db, "select count(*) from second.campaigns") == campaigns
        except psycopg.Error as error:
            complaint = str(error)
        assert not complaint or "No module named" in complaint
        assert value(db, "select count(*) from customerio.campaigns") == campaigns


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="PL/Python and Multicorn in one session end the server")
@pytest.mark.parametrize("first", ["plpython", "multicorn"])
def test_plpython_in_the_same_session(both: str, strict: Simulator, first: str) -> None:
    with psycopg.connect(both, autocommit=True) as db:
        if not value(db, "select count(*) from pg_available_extensions where name = 'plpython3u'"):
            pytest.skip("the server under test has no PL/Python")
        db.execute("create extension if not exists plpython3u")
    with psycopg.connect(both, autocommit=True) as db:
        campaigns = "select count(*) from second.campaigns"
        if first == "multicorn":
            value(db, campaigns)
        db.execute("create or replace function pg_temp.six() returns int language plpython3u as 'return 2 * 3'")
        assert value(db, "select pg_temp.six()") == 6
        assert value(db, campaigns) == len(strict.data("campaigns"))
        assert value(db, "select pg_temp.six() + count(*) from second.campaigns") == 6 + len(strict.data("campaigns"))
