"""A state directory that cannot be used, for want of room or otherwise: one clear error, or a state that is made anew.

Nothing is sent meanwhile, nothing hangs, and once the cause is gone the same session goes on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, refused, rows, value
from tests.throttle.world import SHORT

AT_ONCE_S = 5.0
"""A statement that waits for a state that never comes waits 10 s, or for ever."""
TINY_BYTES = 64 * 1024
"""Less than the state file reserves."""


@pytest.fixture
def db(crashing: str) -> Iterator[Connection]:
    with psycopg.connect(crashing, autocommit=True) as connection:
        assert len(rows(connection, SHORT)) == 1
        yield connection


@pytest.fixture
def place(crashing_cluster: Cluster) -> Path:
    return crashing_cluster.data_dir / "cio_fdw"


def error_of(db: Connection, strict: Simulator) -> str:
    """What the client is told, soon and before anything is sent."""
    before, began_s = strict.stats()["requests"], time.monotonic()
    with refused("58030") as caught:
        rows(db, SHORT)
    assert time.monotonic() - began_s < AT_ONCE_S
    assert strict.stats()["requests"] == before
    assert "state_dir" in (caught.value.diag.message_hint or "")
    return caught.value.diag.message_primary or ""


def check_works(db: Connection, crashing: str) -> None:
    """In the session that met the failure, and in another one."""
    assert len(rows(db, SHORT)) == 1
    with psycopg.connect(crashing, autocommit=True) as other:
        assert len(rows(other, SHORT)) == 1
        assert value(other, "select in_flight + waiting from customerio._limits") == 0
        assert value(other, "select count(*) from customerio._requests") >= 1


@contextmanager
def state_dir(db: Connection, path: Path) -> Iterator[None]:
    db.execute(f"alter server customerio options (add state_dir '{path}')")
    yield
    db.execute("alter server customerio options (drop state_dir)")


def test_a_disk_without_room(crashing_cluster: Cluster, crashing: str, strict: Simulator, db: Connection) -> None:
    account, disk = crashing_cluster.account, crashing_cluster.private_dir / "disk"
    disk.mkdir()
    options = f"size={TINY_BYTES},uid={account.uid},gid={account.gid},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "cio_fdw-test", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        with state_dir(db, disk):
            for _ in range(2):
                assert error_of(db, strict) == f"cio_fdw: cannot write {disk}/{turns(strict)}: No space left on device"
            subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
            check_works(db, crashing)
            # What was reserved is enough: the requests go on when the disk fills up later.
            fill(disk / "filler")
            assert shutil.disk_usage(disk).free == 0
            check_works(db, crashing)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def turns(strict: Simulator) -> str:
    """The name of the file with the turns of the key."""
    return f"turns-{Secret(strict.key).fingerprint()}"


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def limit_files(cluster: Cluster, db: Connection, size_bytes: int) -> None:
    """The longest file that the backend may write, -1 for any. Its own user may set that, root perhaps not."""
    program = (
        "import resource, sys; pid, size = map(int, sys.argv[1:]); "
        "resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))"
    )
    command = [sys.executable, "-c", program, str(db.info.backend_pid), str(size_bytes)]
    subprocess.run(command, check=True, **cluster.account.popen_arguments())


def test_files_that_may_not_grow(crashing_cluster: Cluster, crashing: str, strict: Simulator, db: Connection) -> None:
    """As of a quota. The limit is that of the backend; what it had open before goes on."""
    place = crashing_cluster.private_dir / "quota"
    with state_dir(db, place):  # First, as the backend that commits writes the log of PostgreSQL too.
        limit_files(crashing_cluster, db, 4096)
        for _ in range(2):
            assert error_of(db, strict) == f"cio_fdw: cannot write {place}/{turns(strict)}: File too large"
        limit_files(crashing_cluster, db, -1)
        check_works(db, crashing)


def test_writes_that_fail(crashing_cluster: Cluster, crashing: str, strict: Simulator, db: Connection) -> None:
    limit_files(crashing_cluster, db, 0)
    place = crashing_cluster.data_dir / "cio_fdw"
    for _ in range(2):
        assert error_of(db, strict) == f"cio_fdw: cannot write {place}/{turns(strict)}: File too large"
    limit_files(crashing_cluster, db, -1)
    check_works(db, crashing)


def test_a_directory_that_may_not_be_written(place: Path, crashing: str, strict: Simulator, db: Connection) -> None:
    shutil.rmtree(place)
    place.mkdir()
    owner = place.parent.stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    place.chmod(0o500)
    assert error_of(db, strict) == f"cio_fdw: cannot open {place}/{turns(strict)}: Permission denied"
    place.chmod(0o700)
    check_works(db, crashing)


def test_a_file_in_its_place(place: Path, crashing: str, strict: Simulator, db: Connection) -> None:
    place.rename(place.with_name("kept"))
    place.write_text("not a directory")
    assert error_of(db, strict) == f"cio_fdw: cannot open {place}/{turns(strict)}: Not a directory"
    with psycopg.connect(crashing, autocommit=True) as other:
        assert error_of(other, strict) == f"cio_fdw: cannot open {place}: Not a directory"
    place.unlink()
    check_works(db, crashing)


def test_a_link_in_its_place(place: Path, crashing: str, strict: Simulator, db: Connection) -> None:
    """It is not followed, even to a directory that would do."""
    place.symlink_to(place.rename(place.with_name("kept")))
    with psycopg.connect(crashing, autocommit=True) as other:
        assert error_of(other, strict) == f"cio_fdw: cannot open {place}: Not a directory"
    place.unlink()
    check_works(db, crashing)


def test_a_directory_that_is_removed(place: Path, crashing: str, strict: Simulator, db: Connection) -> None:
    shutil.rmtree(place)
    check_works(db, crashing)
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("garbage", [b"\0", b"\xff", b"garbled "], ids=["zeros", "ones", "text"])
def test_garbled_files(place: Path, crashing: str, strict: Simulator, db: Connection, garbage: bytes) -> None:
    """All of the state: turns, journal, what was learned of sizes."""
    files = [path for path in place.iterdir() if path.is_file()]
    assert turns(strict) in {path.name for path in files}
    for path in files:
        with path.open("r+b") as file:
            file.write(garbage * (path.stat().st_size // len(garbage)))
    check_works(db, crashing)
    check_works(db, crashing)


def test_files_cut_short(place: Path, crashing: str, strict: Simulator, db: Connection) -> None:
    for path in place.iterdir():
        os.truncate(path, 100)
    check_works(db, crashing)
