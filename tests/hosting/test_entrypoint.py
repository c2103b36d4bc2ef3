"""docker/entrypoint.sh on the server under test, without a container: first start, later starts, failures."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.server.account import server_account
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import door_environment, is_multicorn

DOCKER = Path(__file__).resolve().parents[2] / "docker"
READY_S = 60.0
PASSWORD = "of-the-superuser"


class Box:
    """What stands for a container: a directory of the server's user with the files of the image in it."""

    def __init__(self, bin_dir: Path, sim: Simulator) -> None:
        script = "multicorn.sql" if is_multicorn() else "quickstart.sql"
        self.account = server_account()
        self.home = self.account.new_directory()
        self.data = self.home / "data"
        for source in (DOCKER / "entrypoint.sh", DOCKER / "initdb" / script):
            shutil.copy(source, self.home)
        self.data.mkdir()
        for path in (self.data, *self.home.iterdir()):
            path.chmod(0o700)
            self.account.own(path)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.env = {
            "PATH": f"{bin_dir}:{os.environ['PATH']}", "PGDATA": str(self.data), "PGPORT": str(self.port),
            "LC_ALL": "C.UTF-8", "TMPDIR": str(self.home), "CIO_QUICKSTART": str(self.home / script),
            **door_environment(), "POSTGRES_PASSWORD": PASSWORD, "CIO_APP_API_KEY": sim.key, "CIO_BASE_URL": sim.url,
        }  # fmt: skip
        self.log = self.home / "log"

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(self.home / "entrypoint.sh"), *command],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.account.popen_arguments(),
            )  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator[int]:
        """The process id of the server, once it accepts connections over TCP."""
        process = self.start("postgres", "-c", f"unix_socket_directories={self.home}", "-c", "fsync=off")
        try:
            self._wait(process)
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, self.log.read_text()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until_s = time.monotonic() + READY_S
        while process.poll() is None and time.monotonic() < until_s:
            try:
                self.query("select 1")
            except psycopg.OperationalError:
                time.sleep(0.1)
                continue
            return
        raise AssertionError(f"the server did not come up:\n{self.log.read_text()}")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        address = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "password": PASSWORD}
        with psycopg.connect(dbname="postgres", autocommit=True, **address) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def box(cluster: Cluster, pg_config: Path, sim: Simulator) -> Iterator[Box]:
    server = installation(pg_config)
    if server.major < 15:
        pytest.skip(f"psql of PostgreSQL {server.version} has no \\getenv; the images have 15 and newer")
    if not (server.bin_dir / "psql").is_file():
        pytest.skip(f"there is no psql in {server.bin_dir}")
    made = Box(server.bin_dir, sim)
    yield made
    shutil.rmtree(made.home)


def test_first_and_later_start(box: Box, sim: Simulator) -> None:
    with box.serving() as pid:
        assert sim.log() == []  # Making the tables asks nothing.
        assert box.query("select count(*) from customerio.campaigns") == [(12,)]
        # The key is in the user mapping, and nowhere where another backend could read it.
        assert sim.key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        box.query("create table kept (n) as values (1)")
    assert sim.key not in box.log.read_text()
    # The second start makes nothing, so it needs no key.
    for name in ("POSTGRES_PASSWORD", "CIO_APP_API_KEY", "CIO_BASE_URL"):
        del box.env[name]
    with box.serving():
        assert box.query("select n, (select count(*) from customerio.campaigns) from kept") == [(1, 12)]


def test_tcp_asks_for_the_password(box: Box) -> None:
    with box.serving(), pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=box.port, user="postgres", password="another", dbname="postgres")


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "CIO_APP_API_KEY"])
def test_what_is_missing_is_named(box: Box, missing: str) -> None:
    del box.env[missing]
    assert box.start("postgres").wait(60) != 0
    assert f"{missing}: set it to" in box.log.read_text()
    assert list(box.data.iterdir()) == []


def test_a_first_start_that_fails_leaves_nothing(box: Box, sim: Simulator) -> None:
    box.env["CIO_BASE_URL"] = "http://api.example.com"
    assert box.start("postgres").wait(60) != 0
    assert "base_url" in box.log.read_text()
    assert list(box.data.iterdir()) == []
    box.env["CIO_BASE_URL"] = sim.url
    with box.serving():
        assert box.query("select count(*) from customerio.campaigns") == [(12,)]


def test_other_commands_run_as_they_are(box: Box) -> None:
    assert box.start("sh", "-c", "echo told; exit 7").wait(60) == 7
    assert box.log.read_text() == "told\n"
