"""Copies of a server: logical replication of a mirror, and a physical standby that reads mirrors and foreign tables."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any, Callable

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.conftest import SETTINGS
from tests.doors import make_cluster
from tests.hosting.conftest import CAMPAIGNS, Hosted

TARGET = "analytics.campaigns"
NAMES = f"select id, name from {TARGET} where _deleted_at is null order by id"
CAUGHT_UP_S = 60.0
SENDING = {"wal_level": "logical", "max_wal_senders": "8", "max_replication_slots": "8", "hot_standby": "on"}


@pytest.fixture(scope="module")
def primary(hosted: Hosted) -> Cluster:
    cluster = hosted(SENDING)
    with (cluster.data_dir / "pg_hba.conf").open("a") as rules:
        rules.write("local replication all trust\n")
    with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
        db.execute("select pg_reload_conf()")
        db.execute(f"select cio.mirror('customerio.campaigns', '{TARGET}')")
        db.execute(f"call cio.refresh('{TARGET}')")
    return cluster


@pytest.fixture
def writer(primary: Cluster) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(primary.socket_url(), autocommit=True) as db:
        yield db


def rows(db: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return db.execute(query).fetchall()


def wait_until(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + CAUGHT_UP_S
    while not holds():
        assert time.monotonic() < until_s, "the copy does not catch up"
        time.sleep(0.1)


def change(writer: psycopg.Connection[Any], world: Simulator, name: str) -> list[tuple[Any, ...]]:
    """Renames a campaign at the source and refreshes the mirror; returns its names."""
    row = dict(world.data("campaigns")[0])
    world.put_rows("campaigns", [{**row, "name": name, "updated": int(row["updated"]) + 1}])
    writer.execute(f"select cio.invalidate('{TARGET}')")
    writer.execute(f"call cio.refresh('{TARGET}')")
    found = rows(writer, NAMES)
    assert name in {row[1] for row in found}
    return found


def test_logical_replication_of_a_mirror(
    primary: Cluster, writer: psycopg.Connection[Any], hosted: Hosted, world: Simulator
) -> None:
    writer.execute(f"create publication copies for table {TARGET}")
    command = [str(primary.bin_dir / "pg_dump"), "--schema-only", "--table", TARGET, "-d", primary.socket_url()]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    columns = [line for line in dumped.splitlines() if not line.startswith("\\")]
    subscriber = hosted(SENDING)
    with psycopg.connect(subscriber.socket_url(), autocommit=True) as copy:
        copy.execute("create schema analytics")
        copy.execute("\n".join(columns).encode())
        copy.execute("reset search_path")
        where = f"host={primary.private_dir} port={primary.port} user=postgres dbname=postgres"
        copy.execute(f"create subscription copies connection '{where}' publication copies")
        try:
            wait_until(lambda: rows(copy, NAMES) == rows(writer, NAMES))
            assert len(rows(copy, NAMES)) == CAMPAIGNS
            named = change(writer, world, "renamed for the subscriber")
            wait_until(lambda: rows(copy, NAMES) == named)
        finally:
            copy.execute("drop subscription copies")
            writer.execute("drop publication copies")


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Cluster]:
    data = primary.account.new_directory()
    data.rmdir()
    command = [str(primary.bin_dir / "pg_basebackup"), "-D", str(data), "-R", "-X", "stream", "-c", "fast",
               "-h", str(primary.private_dir), "-p", str(primary.port), "-U", "postgres"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120, **primary.account.popen_arguments())
    settings = {**SETTINGS, **SENDING, "cio_fdw.python": primary.settings["cio_fdw.python"]}
    with make_cluster(primary.bin_dir, data_dir=data, settings=settings) as running:
        yield running
    subprocess.run(["rm", "-rf", str(data)], check=True, timeout=60)


@pytest.fixture
def reader(standby: Cluster) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(standby.socket_url(), autocommit=True) as db:
        assert rows(db, "select pg_is_in_recovery()") == [(True,)]
        yield db


def test_a_standby_reads_mirrors(
    writer: psycopg.Connection[Any], reader: psycopg.Connection[Any], world: Simulator
) -> None:
    named = change(writer, world, "renamed for the standby")
    wait_until(lambda: rows(reader, NAMES) == named)
    assert rows(reader, "select target::text, mode from cio.mirrors") == [(TARGET, "snapshot")]


def test_a_standby_asks_the_api(reader: psycopg.Connection[Any], world: Simulator) -> None:
    world.reset()
    assert rows(reader, "select count(*) from customerio.campaigns") == [(CAMPAIGNS,)]
    assert [entry["path"] for entry in world.log()] == ["/v1/campaigns"]
    assert rows(reader, "select count(*) > 0 from customerio._requests") == [(True,)]


def test_a_standby_clears_its_cache(reader: psycopg.Connection[Any]) -> None:
    assert rows(reader, "select cio_fdw_cache_clear()") == [(0,)]


def test_a_standby_refuses_to_refresh(reader: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match=r"^cannot execute .* (in|during)") as caught:
        reader.execute(f"call cio.refresh('{TARGET}')")
    assert caught.value.sqlstate == "25006"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute("import foreign schema customerio from server customerio into customerio")
    assert rows(reader, "select count(*) from customerio.campaigns") == [(CAMPAIGNS,)]


def test_a_promoted_standby_goes_on(standby: Cluster, reader: psycopg.Connection[Any], world: Simulator) -> None:
    reader.execute("select pg_promote()")
    wait_until(lambda: rows(reader, "select pg_is_in_recovery()") == [(False,)])
    assert "promoted" in str(change(reader, world, "renamed, and promoted"))
