"""`cio-fdw up`, as a process: its one line, its key, its end, and a second start on the same data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import psycopg
import pytest

from cio_fdw.server.account import server_account
from cio_fdw.server.cluster import LOG_FILE
from cio_fdw.simulator.client import Simulator

COUNT = "select count(*) from customerio.campaigns"


@pytest.fixture
def kept_dir():
    parent = server_account().new_directory()
    yield parent / "data with space"
    shutil.rmtree(parent)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cio_fdw", *words]


@contextmanager
def up(url: str, key: str, data_dir: Optional[Path] = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address it printed; ended with SIGTERM, if it still runs."""
    words = ["up", "--base-url", url, "--api-key-env", "OTHER_KEY"]
    words += ["--data-dir", str(data_dir)] if data_dir else []
    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True, env={**os.environ, "OTHER_KEY": key})
    try:
        line = process.stdout.readline()
        assert line.startswith("ready: postgresql://postgres:")
        yield process, line.removeprefix("ready: ").strip()
    finally:
        process.terminate()
        rest = process.stdout.read()
        process.stdout.close()
        process.wait(20)
    assert rest == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_serves_until_the_signal(sim, number):
    with up(sim.url, sim.key) as (process, url):
        with psycopg.connect(url) as connection:
            assert connection.execute(COUNT).fetchone() == (12,)
            data_dir = Path(connection.execute("show data_directory").fetchone()[0])
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not data_dir.exists()


def test_second_start_brings_server_and_key_up_to_date(sim, kept_dir):
    with up(sim.url, sim.key, kept_dir) as (_, url), psycopg.connect(url) as connection:
        assert connection.execute(COUNT).fetchone() == (12,)
        connection.execute("create view mine as select id from customerio.campaigns")
        connection.execute("alter server customerio options (add timeout '5')")
    with (
        Simulator(key="another-key", messages=10, campaigns=3, rate=0) as other,
        up(other.url, other.key, kept_dir) as (_, url),
        psycopg.connect(url) as connection,
    ):
        assert connection.execute("select count(*) from mine").fetchone() == (3,)
        options = connection.execute("select srvoptions from pg_foreign_server").fetchone()[0]
        assert sorted(options) == sorted(["timeout=5", f"base_url={other.url}"])


def test_key_is_in_no_log_and_on_no_command_line(sim, kept_dir):
    key = sim.key
    with up(sim.url, key, kept_dir) as (process, url), psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(COUNT).fetchone() == (12,)
        assert key.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    log = (kept_dir / LOG_FILE).read_text()
    assert "ready to accept connections" in log
    assert key not in log


def test_refused_key_is_not_shown(kept_dir):
    key = "not a valid key: spaces"
    done = subprocess.run(
        command("up", "--base-url", "http://127.0.0.1:9", "--data-dir", str(kept_dir)),
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "CIO_APP_API_KEY": key},
    )  # fmt: skip
    assert done.returncode == 1
    assert 'invalid value for option "app_api_key"' in done.stderr
    assert key not in done.stderr + done.stdout + (kept_dir / LOG_FILE).read_text()


def test_unset_key_is_explained():
    environment = {name: text for name, text in os.environ.items() if name != "CIO_APP_API_KEY"}
    done = subprocess.run(command("up"), capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "cio-fdw: the environment variable CIO_APP_API_KEY holds no App API key: "
        "export CIO_APP_API_KEY=… (or --api-key-env NAME)\n"
    )


def test_server_that_ends_by_itself_is_reported(sim, kept_dir):
    with up(sim.url, sim.key, kept_dir) as (process, _):
        postmaster = int((kept_dir / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGINT)
        assert process.wait(20) == 1
