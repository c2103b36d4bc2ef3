"""A backend that stands still (SIGSTOP, a machine under load): with a turn that it has not used, or with a request
under way. The limit holds, and the others go on."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.ledger import busiest
from tests.conftest import SETTINGS
from tests.doors import make_cluster, set_up
from tests.preload import preloadable
from tests.throttle.world import LONG, Crowd, arrivals, until

STOPPED_S = 1.5
FREED_S = 1.0
PATIENCE_S = 30.0
"""For what a busy machine does late."""
SLOTS = 32
_FLOCK = "@hhqqi"


@pytest.fixture
def stop_next() -> Iterator[Path]:
    """A file that, once made, stops the next process that takes a turn, which removes it."""
    with tempfile.TemporaryDirectory(prefix="cio_fdw-stop-") as name:
        Path(name).chmod(0o777)
        yield Path(name) / "next"


@pytest.fixture
def stoppable(pg_config: Path, stop_next: Path, strict: Simulator) -> Iterator[Cluster]:
    settings = {**SETTINGS, "cio_fdw.python": sys.executable}
    try:
        with preloadable(Path(__file__).with_name("stopper.c")) as library:
            environment = {"LD_PRELOAD": library, "CIO_STOP_NEXT": str(stop_next)}
            with make_cluster(installation(pg_config).bin_dir, settings=settings, env=environment) as running:
                set_up(running.socket_url(), {"base_url": strict.url}, Secret(strict.key))
                yield running
    except LookupError as reason:
        pytest.skip(str(reason))


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def answers(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def slots_held(cluster: Cluster) -> list[int]:
    """The processes that have a request under way, by slot."""
    (file,) = (cluster.data_dir / "cio_fdw").glob("turns-*")
    holders = []
    with file.open("r+b") as opened:
        for slot in range(SLOTS):
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, slot, 1, 0)
            kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(opened, fcntl.F_GETLK, asked))
            holders += [pid] if kind != fcntl.F_UNLCK else []
    return holders


def test_a_turn_that_was_not_used_in_time_is_over(stoppable: Cluster, stop_next: Path, strict: Simulator) -> None:
    """It would be the eleventh request of a second of the others."""
    crowd = Crowd()
    try:
        for _ in range(4):
            crowd.add(stoppable.socket_url(), LONG)
        until(lambda: len(arrivals(strict)) > 10, PATIENCE_S)
        for _ in range(3):
            stop_next.touch(0o666)
            until(lambda: not stop_next.exists(), PATIENCE_S)
            until(lambda: any(map(is_stopped, crowd.pids)))
            (pid,) = filter(is_stopped, crowd.pids)
            before = len(arrivals(strict))
            time.sleep(STOPPED_S)
            until(lambda count=before: len(arrivals(strict)) >= count + 12, PATIENCE_S)
            os.kill(pid, signal.SIGCONT)
            time.sleep(1.2)
        assert not crowd.errors
        assert busiest(arrivals(strict)) <= 10
        assert strict.stats()["rate_limited"] == 0
    finally:
        for pid in crowd.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        crowd.end(stoppable.socket_url())


def test_a_request_of_a_stopped_backend_keeps_one_slot(stoppable: Cluster, strict: Simulator) -> None:
    address = stoppable.socket_url()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("alter server customerio options (add max_concurrency '2')")
    strict.faults([{"match": {"path": "/v1/segments"}, "times": 1, "action": {"kind": "hang"}}])
    stopped, others = Crowd(), Crowd()
    stopped.add(address, "select count(*) from customerio.segments")
    until(lambda: strict.stats()["in_flight"] == 1)
    (pid,) = stopped.pids
    os.kill(pid, signal.SIGSTOP)
    strict.reset()
    for _ in range(2):
        others.add(address, LONG)
    until(lambda: len(arrivals(strict)) >= 15, PATIENCE_S)
    # The one that hangs is one of them.
    assert strict.stats()["max_in_flight"] == 2
    assert pid in slots_held(stoppable)
    with psycopg.connect(address, autocommit=True) as witness:
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in slots_held(stoppable), FREED_S)
        # For a moment the old server still accepts.
        until(lambda: not answers(witness))

    def is_back() -> bool:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            return False
        return True

    # The server restarts all of its backends.
    until(is_back, PATIENCE_S)
    for crowd in (stopped, others):
        crowd.end(address)
    again = Crowd()
    strict.reset()
    for _ in range(2):
        again.add(address, LONG)
    until(lambda: strict.stats()["max_in_flight"] == 2)
    again.end(address)
