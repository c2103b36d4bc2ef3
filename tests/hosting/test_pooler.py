"""Through PgBouncer in transaction mode: sessions are shared, so nothing of one client may reach another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.server.account import server_account
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.hosting.conftest import CAMPAIGNS, Hosted

POOL = 2
CLIENTS = 20
PORT = 6543
"""Only the name of a socket in a directory of the test's own."""
START_S = 20.0
LEAVES = """
import psycopg, sys
psycopg.connect(sys.argv[1], autocommit=True).execute('select * from customerio.segments')
"""
HANG = [{"match": {"path": "/segments"}, "times": None, "action": {"kind": "hang"}}]


@pytest.fixture(scope="module")
def pooled(hosted: Hosted) -> Cluster:
    # Without it PostgreSQL looks for a client that left only when it has something to send.
    return hosted({"client_connection_check_interval": "200ms"})


@pytest.fixture(scope="module")
def pooler(pooled: Cluster) -> Iterator[str]:
    """The address of a running PgBouncer with two server connections."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    account = server_account()
    home = account.new_directory()
    texts = {
        "users": '"postgres" ""\n',
        "pgbouncer.ini": f"""
            [databases]
            postgres = host={pooled.private_dir} port={pooled.port}
            [pgbouncer]
            listen_port = {PORT}
            unix_socket_dir = {home}
            auth_type = trust
            auth_file = {home}/users
            pool_mode = transaction
            default_pool_size = {POOL}
            max_client_conn = 100
            """.replace("  ", ""),
    }
    for name, text in texts.items():
        (home / name).write_text(text)
        account.own(home / name)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(home / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, **account.popen_arguments(),
        )  # fmt: skip
    try:
        _wait_for(home / f".s.PGSQL.{PORT}", process, home / "log")
        yield f"host={home} port={PORT} user=postgres dbname=postgres"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(home)


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + START_S
    while not socket.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until_s, log.read_text()
        time.sleep(0.05)


def client(address: str) -> psycopg.Connection[Any]:
    # Prepared statements live in sessions, which this pool does not promise.
    return psycopg.connect(address, autocommit=True, prepare_threshold=None)


def test_twenty_clients_share_two_sessions(pooler: str, world: Simulator) -> None:
    world.reset()

    def work(_number: int) -> set[int]:
        pids = set()
        with client(pooler) as db:
            for _ in range(3):
                row = db.execute("select count(*), pg_backend_pid() from customerio.campaigns").fetchone()
                assert row is not None
                assert row[0] == CAMPAIGNS
                pids.add(row[1])
        return pids

    with ThreadPoolExecutor(CLIENTS) as clients:
        pids = set().union(*clients.map(work, range(CLIENTS)))
    assert 1 <= len(pids) <= POOL
    assert len(world.log()) == CLIENTS * 3


def test_settings_of_a_transaction_end_with_it(pooler: str, is_multicorn: bool) -> None:
    # Multicorn's server does not know the setting: what nobody has set, or what is empty, is the default.
    default = (None, "") if is_multicorn else ("on",)
    with client(pooler) as db:
        with db.transaction():
            db.execute("set local cio_fdw.cache = off")
            assert db.execute("show cio_fdw.cache").fetchone() == ("off",)
        for _ in range(2 * POOL):
            row = db.execute("select current_setting('cio_fdw.cache', true)").fetchone()
            assert row is not None
            assert row[0] in default


def test_a_cursor_lives_in_its_transaction(pooler: str) -> None:
    with client(pooler) as one, client(pooler) as other, one.transaction():
        with one.cursor(name="reading") as cursor:
            cursor.execute("select id from customerio.messages order by created")
            first = cursor.fetchmany(10)
            assert other.execute("select count(*) from customerio.campaigns").fetchone() == (CAMPAIGNS,)
            rest = cursor.fetchall()
        assert len({row[0] for row in [*first, *rest]}) == len(first) + len(rest) > 100


def test_a_cancel_reaches_the_scan_of_its_client(pooler: str, world: Simulator) -> None:
    world.reset()
    world.faults(HANG)
    try:
        with client(pooler) as db, client(pooler) as bystander:
            for _ in range(5):
                timer = threading.Timer(0.3, db.cancel)
                timer.start()
                with pytest.raises(psycopg.errors.QueryCanceled):
                    db.execute("select * from customerio.segments")
                timer.join()
                assert bystander.execute("select count(*) from customerio.campaigns").fetchone() == (CAMPAIGNS,)
                assert db.execute("select count(*) from customerio.campaigns").fetchone() == (CAMPAIGNS,)
    finally:
        world.reset()


def test_a_client_that_leaves_frees_its_session(pooler: str, pooled: Cluster, world: Simulator) -> None:
    world.reset()
    world.faults(HANG)
    running = (
        "select count(*) from pg_stat_activity where state = 'active' and query like 'select * from customerio.segm%'"
    )
    until_s = time.monotonic() + 30
    try:
        command = [sys.executable, "-c", LEAVES, pooler]
        with psycopg.connect(pooled.socket_url(), autocommit=True) as admin:
            with subprocess.Popen(command) as leaving:
                while admin.execute(running).fetchone() != (1,):
                    assert time.monotonic() < until_s
                    time.sleep(0.05)
                leaving.kill()
            while admin.execute(running).fetchone() != (0,):
                assert time.monotonic() < until_s
                time.sleep(0.05)
    finally:
        world.reset()
