"""The library loaded before it is needed: by the postmaster, or by each session."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from tests.hosting.conftest import CAMPAIGNS, Hosted
from tests.native.backend import scalar

COUNT = "select count(*) from customerio.campaigns"


@pytest.fixture(scope="module", params=["shared_preload_libraries", "session_preload_libraries"])
def preloading(request: pytest.FixtureRequest, hosted: Hosted, is_multicorn: bool) -> Cluster:
    return hosted({request.param: "multicorn" if is_multicorn else "cio_fdw", "cio_fdw.log_min_duration": "0"})


def test_tables_work_at_once(preloading: Cluster) -> None:
    with psycopg.connect(preloading.socket_url(), autocommit=True) as db:
        assert scalar(db, COUNT) == CAMPAIGNS
    assert 'scan of "campaigns" took' in preloading.log_path.read_text()


def test_settings_are_known_at_once(preloading: Cluster) -> None:
    with psycopg.connect(preloading.socket_url(), autocommit=True) as db:
        assert scalar(db, "show cio_fdw.cache") == "on"
        assert scalar(db, "show cio_fdw.log_min_duration") == "0"


def test_the_postmaster_runs_no_python(preloading: Cluster) -> None:
    """Its children inherit what it has: an interpreter with threads or sockets would not survive the fork."""
    with psycopg.connect(preloading.socket_url(), autocommit=True) as db:
        scalar(db, COUNT)
        assert len(list(Path(f"/proc/{preloading.pid}/task").iterdir())) == 1
        mapped = Path(f"/proc/{preloading.pid}/maps").read_text()
        assert "msgspec" not in mapped
        assert "msgspec" in Path(f"/proc/{db.info.backend_pid}/maps").read_text()


def test_a_crash_of_a_backend_is_survived(preloading: Cluster) -> None:
    with psycopg.connect(preloading.socket_url(), autocommit=True) as victim:
        scalar(victim, COUNT)
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            scalar(victim, "select pg_sleep(5)")
    until_s = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(preloading.socket_url(), autocommit=True) as db:
                assert scalar(db, COUNT) == CAMPAIGNS
                return
        except psycopg.OperationalError:
            assert time.monotonic() < until_s
            time.sleep(0.1)
