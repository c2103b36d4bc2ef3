"""The process that looks a host name up: it knows nothing, and ends with its statement or with its backend."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.lifetime.conftest import Place
from tests.lifetime.stages import STAGES, alter, server_options
from tests.lifetime.test_endings import CANCEL_S, NOISE_S, Running, begin, cancel_by_function, db, soon
from tests.native.backend import postmaster_start, threads_now
from tests.processes import children, is_running
from tests.sql.helpers import Connection, value

__all__ = ["db"]
STAGE = STAGES["host name"]


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_lookups_that_are_cancelled_leave_nothing(place: Place, admin: Connection, db: Connection) -> None:
    pid, before = db.info.backend_pid, 0
    with STAGE.held(place, admin, db) as statement:
        for number in range(100):
            db.execute(f"set statement_timeout = '{10 + number % 20}ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                db.execute(statement)
            assert children(pid) == []
            soon(lambda: threads_now(pid) == 1, 0.2, "a thread is left")
            before = before or open_files(pid)
    assert open_files(pid) == before
    db.execute("set statement_timeout = 0")
    assert value(db, "select count(*) from customerio.campaigns") == 6


def test_a_lookup_for_redis_that_is_cancelled(place: Place, admin: Connection, db: Connection) -> None:
    """It is asked again and again, with pauses, before the statement fails."""
    pid = db.info.backend_pid
    options = {"throttle_url": "redis://redis.slow.test:6379/0"}
    with server_options(place, admin, options, ""):
        for after_s in (0.3, 0.6, 1.05, 1.3):
            running = Running(db, STAGE.statement)
            time.sleep(after_s)
            struck_s = time.monotonic()
            cancel_by_function(admin, db)
            running.join()
            assert running.error.sqlstate == "57014"
            assert running.ended_s - struck_s < CANCEL_S + NOISE_S
            assert children(pid) == []
            soon(lambda: threads_now(pid) == 1, 0.2, "a thread is left")
        running = Running(db, STAGE.statement)
        running.join()
        assert running.error.sqlstate == "08006"
        assert "redis.slow.test:6379, TimeoutError" in running.error.diag.message_primary
        assert children(pid) == []
    assert value(db, "select count(*) from customerio.campaigns") == 6


def test_the_process_knows_the_name_alone(place: Place, admin: Connection, db: Connection) -> None:
    pid = db.info.backend_pid
    with STAGE.held(place, admin, db) as statement:
        running = begin(place, STAGE, db, statement)
        (lookup,) = (Path(f"/proc/{child}") for child in children(pid))
        command = (lookup / "cmdline").read_bytes()
        environment = (lookup / "environ").read_bytes()
        files = {int(link.name): str(link.readlink()) for link in (lookup / "fd").iterdir()}
        backends_files = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        cancel_by_function(admin, db)
        running.join()
    assert command.split(b"\0") == [b"/usr/bin/getent", b"ahosts", b"--", b"api.slow.test", b""]
    assert place.sim.key.encode() not in command + environment
    assert set(files) == {0, 1, 2}
    assert files[0] == files[2] == "/dev/null"
    assert files[1].startswith("socket:")
    assert files[1] not in backends_files


def test_it_is_tried_again_when_it_fails(place: Place, admin: Connection, db: Connection) -> None:
    """As after a hiccup of the name server."""
    with STAGE.held(place, admin, db) as statement:
        running = begin(place, STAGE, db, statement)
        (first,) = children(db.info.backend_pid)
        os.kill(first, signal.SIGKILL)
        soon(lambda: bool({*children(db.info.backend_pid)} - {first}), 5.0, "no other lookup began")
        assert not running.is_over
        alter(admin, {"max_retries": ("set", "0")})
        cancel_by_function(admin, db)
        running.join()
        assert running.error.sqlstate == "57014"
        running = begin(place, STAGE, db, statement)
        (only,) = children(db.info.backend_pid)
        os.kill(only, signal.SIGKILL)
        running.join()
        assert running.error.sqlstate == "08006"
        assert running.error.diag.message_detail == "host name lookup: /usr/bin/getent ended with -9"
        alter(admin, {"max_retries": ("set", "9")})
    assert children(db.info.backend_pid) == []
    soon(lambda: threads_now(db.info.backend_pid) == 1, 0.2, "a thread is left")


def test_it_ends_with_a_backend_that_is_killed(place: Place, db: Connection) -> None:
    """The server starts its other backends again then."""
    pid = db.info.backend_pid
    with place.connect() as admin, STAGE.held(place, admin, db) as statement:
        start = postmaster_start(admin)
        running = begin(place, STAGE, db, statement)
    (lookup,) = children(pid)
    os.kill(pid, signal.SIGKILL)
    soon(lambda: not is_running(lookup), CANCEL_S + NOISE_S, "the lookup goes on")
    running.join()
    soon(lambda: is_up_since(place, start), 10.0, "the server does not come back")


def is_up_since(place: Place, start: Any) -> bool:
    """Whether the server has started its backends again."""
    try:
        with place.connect() as admin:
            return bool(postmaster_start(admin) != start)
    except psycopg.OperationalError:
        return False
