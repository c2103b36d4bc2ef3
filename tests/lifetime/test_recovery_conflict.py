"""A standby whose recovery ends a scan: the statement where that suffices, else the session after Python unwound."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import make_cluster, set_up
from tests.lifetime.conftest import NOT_UNWOUND, SETTINGS
from tests.lifetime.stages import COUNT
from tests.lifetime.test_endings import Running, soon
from tests.sql.helpers import Connection, asked, value

SENDING = {"wal_level": "replica", "max_wal_senders": "4"}
DELAY = {"max_standby_streaming_delay": "200ms", "hot_standby_feedback": "off"}
ENDED_S = 10.0
"""Of it the standby waits 0.2 s; on a busy machine the record of the primary is late."""
IN_A_SUBTRANSACTION = f"do $$ begin perform ({COUNT}); exception when division_by_zero then null; end $$"


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with Simulator(messages=100, campaigns=6, rate=0, seed=5) as running:
        yield running


@pytest.fixture(scope="module")
def primary(pg_config: Path, world: Simulator, is_multicorn: bool) -> Iterator[Cluster]:
    if is_multicorn:
        pytest.skip("a wrapper in Python cannot see a conflict with recovery")
    with make_cluster(installation(pg_config).bin_dir, settings={**SETTINGS, **SENDING}) as cluster:
        with (cluster.data_dir / "pg_hba.conf").open("a") as rules:
            rules.write("local replication all trust\n")
        with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
            db.execute("select pg_reload_conf()")
            db.execute("create database doomed")
            db.execute("create table changing as select 1 as n from generate_series(1, 100)")
        for name in ("postgres", "doomed"):
            set_up(cluster.socket_url(name), {"base_url": world.url}, Secret(world.key))
        yield cluster


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Cluster]:
    data = primary.account.new_directory()
    data.rmdir()
    command = [str(primary.bin_dir / "pg_basebackup"), "-D", str(data), "-R", "-X", "stream", "-c", "fast",
               "-h", str(primary.private_dir), "-p", str(primary.port), "-U", "postgres"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120, **primary.account.popen_arguments())
    settings = {**SETTINGS, **SENDING, **DELAY}
    with make_cluster(primary.bin_dir, data_dir=data, settings=settings) as running:
        yield running
    subprocess.run(["rm", "-rf", str(data)], check=True, timeout=60)


def started(standby: Cluster, world: Simulator, database: str, statement: str) -> tuple[Connection, Running]:
    """A session of the standby whose statement waits for an answer that does not come."""
    db: Connection = psycopg.connect(standby.socket_url(database), autocommit=True)
    value(db, "select count(*) from customerio.campaigns")
    world.reset()
    world.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    running = Running(db, statement)
    deadline_s = time.monotonic() + 10
    while not asked(world):
        assert time.monotonic() < deadline_s, "no request arrived"
        time.sleep(0.01)
    return db, running


def remove_rows(primary: Cluster) -> None:
    """Removes what an older snapshot of the standby may still see."""
    with psycopg.connect(primary.socket_url(), autocommit=True) as db:
        db.execute("delete from changing")
        db.execute("vacuum changing")
        db.execute("insert into changing select 1 from generate_series(1, 100)")


def check_end(standby: Cluster, world: Simulator, running: Running) -> None:
    soon(lambda: running.is_over, ENDED_S, "the statement goes on")
    soon(lambda: world.stats()["in_flight"] == 0, 1.0, "a request is still under way")
    assert NOT_UNWOUND not in standby.log_path.read_text(errors="replace")


def test_a_statement(primary: Cluster, standby: Cluster, world: Simulator) -> None:
    db, running = started(standby, world, "postgres", COUNT)
    remove_rows(primary)
    check_end(standby, world, running)
    assert running.error.sqlstate == "40001"
    assert running.error.diag.message_primary == "canceling statement due to conflict with recovery"
    assert value(db, "select count(*) from customerio.campaigns") == 6
    db.close()


def test_a_subtransaction(primary: Cluster, standby: Cluster, world: Simulator) -> None:
    """PostgreSQL ends the session, as the handler could catch an error."""
    db, running = started(standby, world, "postgres", IN_A_SUBTRANSACTION)
    pid = db.info.backend_pid
    remove_rows(primary)
    check_end(standby, world, running)
    assert running.error.sqlstate == "40001"
    assert running.error.diag.message_primary == "terminating connection due to conflict with recovery"
    soon(lambda: not Path(f"/proc/{pid}").exists(), 1.0, "the backend lingers")


def test_a_database_that_is_dropped(primary: Cluster, standby: Cluster, world: Simulator) -> None:
    db, running = started(standby, world, "doomed", COUNT)
    pid = db.info.backend_pid
    with psycopg.connect(primary.socket_url(), autocommit=True) as other:
        other.execute("drop database doomed")
    check_end(standby, world, running)
    assert running.error.sqlstate == "57P04"
    soon(lambda: not Path(f"/proc/{pid}").exists(), 1.0, "the backend lingers")
