"""Several backends at once: one of them asks, whatever happens to it; and a store that does not work."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.cache.conftest import ClearCache
from tests.sql.helpers import Connection, asked, rows, server_option, value
from tests.throttle.conftest import crashing, crashing_cluster, strict, strict_simulator

__all__ = ["crashing", "crashing_cluster", "strict", "strict_simulator"]

CAMPAIGNS = "select id, name from customerio.campaigns order by id"
SLOW_MS = 400


class Asking:
    """Backends that run one statement each, at the same time."""

    def __init__(self, address: str, count: int, statement: str = CAMPAIGNS) -> None:
        self.connections = [psycopg.connect(address, autocommit=True) for _ in range(count)]
        self.results: list[Any] = []
        self._barrier = threading.Barrier(count)
        self._threads = [threading.Thread(target=self._run, args=(db, statement)) for db in self.connections]
        for thread in self._threads:
            thread.start()

    def _run(self, db: Connection, statement: str) -> None:
        self._barrier.wait()
        try:
            self.results.append(rows(db, statement))
        except psycopg.Error as error:
            self.results.append(error)

    def end(self, limit_s: float = 30.0) -> list[Any]:
        for thread in self._threads:
            thread.join(limit_s)
            assert not thread.is_alive()
        for db in self.connections:
            db.close()
        return self.results


@pytest.fixture
def slow(sim: Simulator) -> Iterator[Simulator]:
    sim.set_latency(SLOW_MS)
    yield sim
    sim.set_latency(0)


def until_asked(sim: Simulator, count: int = 1) -> None:
    deadline_s = time.monotonic() + 10
    while sim.stats()["in_flight"] < count:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.usefixtures("cached")
def test_twelve_ask_once(database: str, slow: Simulator) -> None:
    results = Asking(database, 12).end()
    assert len(asked(slow)) == 1
    assert len(results) == 12
    assert results[0]
    assert all(result == results[0] for result in results)


@pytest.mark.usefixtures("cached")
def test_twelve_ask_once_for_every_page(database: str, slow: Simulator) -> None:
    results = Asking(database, 12, "select count(*), max(created) from customerio.messages").end()
    assert len(set(asked(slow))) == len(asked(slow)) > 3
    assert [len(set(results)) for results in zip(*results)] == [1]


def test_without_a_ttl_each_asks(db: Connection, database: str, slow: Simulator) -> None:
    Asking(database, 4).end()
    assert len(asked(slow)) == 4


@pytest.mark.usefixtures("cached")
def test_other_questions_do_not_wait(database: str, slow: Simulator) -> None:
    with psycopg.connect(database) as other:
        rows(other, "select id from customerio.newsletters")  # Python has started
        asking = Asking(database, 1)
        until_asked(slow)
        assert rows(other, "select id from customerio.segments")
        assert slow.stats()["max_in_flight"] >= 2
        asking.end()


@pytest.mark.usefixtures("cached")
def test_one_who_waits_can_be_cancelled(database: str, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": 1, "action": {"kind": "hang"}}])
    asking = Asking(database, 3)
    until_asked(sim)
    time.sleep(0.3)
    began_s = time.monotonic()
    for db in asking.connections:
        db.cancel()
    results = asking.end()
    assert time.monotonic() - began_s < 1.5
    assert {getattr(result, "sqlstate", None) for result in results} == {"57014"}
    assert len(asked(sim)) == 1


def test_a_stopped_backend_is_not_waited_for_for_ever(cached: Connection, database: str, sim: Simulator) -> None:
    """It holds its turn and cannot give it back; after three timeouts the others ask themselves."""
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": 1, "action": {"kind": "hang"}}])
    with server_option(cached, "timeout", "1"):
        asking = Asking(database, 1)
        until_asked(sim)
        pid = asking.connections[0].info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            assert rows(cached, CAMPAIGNS)
            assert 2.0 < time.monotonic() - began_s < 10.0
        finally:
            os.kill(pid, signal.SIGCONT)
        assert asking.end()[0]
    assert rows(cached, CAMPAIGNS)


def test_a_killed_backend_lets_the_others_ask(crashing: str, strict: Simulator) -> None:
    """The server restarts after a kill, so the one who waits is a client of another server with the same state."""
    with psycopg.connect(crashing, autocommit=True) as db:
        db.execute("alter server customerio options (add cache_ttl '3600')")
        db.execute("checkpoint")  # synchronous_commit is off: the crash would take the latest transactions along
    strict.faults([{"match": {"path": "/v1/campaigns"}, "times": 1, "action": {"kind": "hang"}}])
    asking = Asking(crashing, 1)
    until_asked(strict)
    os.kill(asking.connections[0].info.backend_pid, signal.SIGKILL)
    (lost,) = asking.end()
    assert isinstance(lost, psycopg.Error)
    deadline_s = time.monotonic() + 20
    while True:
        try:
            with psycopg.connect(crashing, autocommit=True) as db:
                assert rows(db, CAMPAIGNS)
                assert rows(db, CAMPAIGNS)
                break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    assert len(asked(strict)) == 2


def notices_of(db: Connection) -> list[str]:
    told: list[str] = []
    db.add_notice_handler(lambda notice: told.append(f"{notice.severity}: {notice.message_primary}"))
    return told


def test_a_store_that_cannot_be_used(db: Connection, clear_cache: ClearCache, sim: Simulator, cluster: Cluster) -> None:
    """The query goes on, with one warning for a session."""
    clear_cache()
    state = cluster.private_dir / "no cache here"
    name = f"cache-{Secret(sim.key).fingerprint()}.1.db"
    (state / name).mkdir(parents=True)
    for path in (state, state / name):
        path.chmod(0o700)
        os.chown(path, cluster.account.uid, cluster.account.gid)
    told = notices_of(db)
    with server_option(db, "cache_ttl", "3600"), server_option(db, "state_dir", str(state)):
        first = rows(db, CAMPAIGNS)
        assert first == rows(db, CAMPAIGNS)
        assert rows(db, "select id from customerio.segments")
    assert told == [f"WARNING: cio_fdw: queries go on without the cache: cannot open {state / name}: Is a directory"]
    assert len(asked(sim)) == 3


def test_garbage_in_the_store(cached: Connection, sim: Simulator, state_dir: Path) -> None:
    told = notices_of(cached)
    first = rows(cached, CAMPAIGNS)
    (name,) = state_dir.glob(f"cache-{Secret(sim.key).fingerprint()}.*.db")
    with name.open("r+b") as file:
        file.write(b"garbage" * 50_000)
    assert rows(cached, CAMPAIGNS) == first
    assert rows(cached, CAMPAIGNS) == first
    assert len(asked(sim)) == 2
    assert told == []


def test_what_is_written(cached: Connection, sim: Simulator, state_dir: Path, clear_cache: ClearCache) -> None:
    """Of the key a hash, of a request's parameters a hash; bodies hold people, so that only the server reads them."""
    email = value(cached, "select customer_email from customerio.activities where customer_email is not null limit 1")
    clear_cache()
    assert rows(cached, f"select count(*) from customerio.activities where customer_email = '{email}'")
    asked_for = [target for target in asked(sim) if "customer_email" in target or "email" in target]
    assert asked_for
    written = {path: path.read_bytes() for path in state_dir.iterdir() if path.is_file()}
    assert any(path.suffix == ".db" for path in written)
    for path, data in written.items():
        assert sim.key.encode() not in data, path
        assert asked_for[0].partition("?")[2].encode() not in data, path
        assert path.stat().st_mode & 0o077 == 0


def test_the_size_is_bounded(cached: Connection, sim: Simulator, state_dir: Path) -> None:
    with server_option(cached, "cache_max_mb", "1"), server_option(cached, "page_size", "100"):
        assert value(cached, "select count(*) from customerio.messages") > 2000
        assert value(cached, "select sum(pg_column_size(raw)) from customerio.messages") > 2**20
    (name,) = state_dir.glob(f"cache-{Secret(sim.key).fingerprint()}.*.db")
    assert 2**18 < name.stat().st_size <= 2**20


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A directory of the server's user on a disk of 4 MB."""
    place = cluster.private_dir / "small"
    place.mkdir()
    owner = f"uid={cluster.account.uid},gid={cluster.account.gid}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=4m,mode=0700,{owner}", "tmpfs", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(db: Connection, database: str, sim: Simulator, small_disk: Path) -> None:
    page = "select id from customerio.messages where created > now() - interval '170 days' order by id"
    expected = rows(db, page)
    told = notices_of(db)
    with server_option(db, "cache_ttl", "86400"), server_option(db, "state_dir", str(small_disk)):
        rows(db, CAMPAIGNS)  # the files of the limit and of the journal are there
        filler = small_disk / "filler"
        free_bytes = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(b"x" * (free_bytes - 150_000))
        assert rows(db, page) == expected
        (warning,) = told
        assert warning.startswith("WARNING: cio_fdw: queries go on without the cache: the cache ")
        assert warning.endswith("cannot be used: database or disk is full")
        assert rows(db, page) == expected
        assert len(told) == 1
        filler.unlink()
        sim.reset()
        with psycopg.connect(database, autocommit=True) as fresh:
            said = notices_of(fresh)
            assert rows(fresh, page) == expected
            count = len(asked(sim))
            assert rows(fresh, page) == expected
            assert (len(asked(sim)), said) == (count, [])
