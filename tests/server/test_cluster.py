"""Cluster: who may connect, what is reused, what is left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.server.account import server_account
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.server.errors import ServerError
from cio_fdw.server.postgres import installation


@pytest.fixture
def bin_dir(pg_config: Path) -> Path:
    return installation(pg_config).bin_dir


@pytest.fixture
def kept_dir():
    """A directory that the server's user reaches and that the test removes."""
    import shutil

    parent = server_account().new_directory()
    yield parent / "kept"
    shutil.rmtree(parent)


def one(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


def test_tcp_needs_the_password(cluster):
    assert one(cluster.url(), "select 1") == 1
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url().replace(cluster.password, "guess"))


def test_socket_is_private(cluster):
    assert one(cluster.socket_url(), "select current_user") == "postgres"
    assert cluster.private_dir.stat().st_mode & 0o777 == 0o700
    assert cluster.private_dir.stat().st_uid == server_account().uid


def test_server_does_not_run_as_root(cluster):
    status = Path(f"/proc/{cluster.pid}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert set(uids) == {str(server_account().uid)}
    assert "0" not in uids


def test_environment_does_not_hold_keys(bin_dir, monkeypatch):
    monkeypatch.setenv("CIO_APP_API_KEY", "key-of-the-environment")
    with Cluster(bin_dir, settings=THROW_AWAY) as cluster:
        environment = Path(f"/proc/{cluster.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"key-of-the-environment" not in environment


def test_temporary_cluster_leaves_nothing(bin_dir):
    with Cluster(bin_dir, settings=THROW_AWAY) as cluster:
        private, pid = cluster.private_dir, cluster.pid
        assert one(cluster.url(), "show fsync") == "off"
    assert not private.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_data_directory_is_reused_with_its_password(bin_dir, kept_dir):
    with Cluster(bin_dir, data_dir=kept_dir, settings=THROW_AWAY) as cluster:
        one(cluster.url(), "select 'kept' as t")
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute("create table kept as select 7 as n")
        password = cluster.password
    with Cluster(bin_dir, data_dir=kept_dir, settings=THROW_AWAY) as cluster:
        assert cluster.password == password
        assert one(cluster.url(), "select n from kept") == 7
    assert (kept_dir / "PG_VERSION").is_file()


def test_restart_keeps_the_port(bin_dir):
    with Cluster(bin_dir, settings=THROW_AWAY) as cluster:
        port, pid = cluster.port, cluster.pid
        cluster.restart()
        assert cluster.port == port
        assert cluster.pid != pid
        assert one(cluster.url(), "select 1") == 1


def test_second_server_on_one_data_directory_is_refused(bin_dir, kept_dir):
    with Cluster(bin_dir, data_dir=kept_dir, settings=THROW_AWAY) as cluster:
        with pytest.raises(ServerError, match=r'lock file "postmaster\.pid" already exists'):
            Cluster(bin_dir, data_dir=kept_dir).__enter__()
        assert one(cluster.url(), "select 1") == 1


def test_taken_port_is_reported(bin_dir, cluster):
    with pytest.raises(ServerError, match=rf"did not start on port {cluster.port}:(?s:.*)Address already in use"):
        Cluster(bin_dir, port=cluster.port).__enter__()


def test_directory_with_other_files_is_refused(bin_dir, kept_dir):
    kept_dir.mkdir()
    (kept_dir / "letter.txt").write_text("dear")
    with pytest.raises(ServerError, match="neither empty nor a PostgreSQL data directory"):
        Cluster(bin_dir, data_dir=kept_dir).__enter__()
    assert [path.name for path in kept_dir.iterdir()] == ["letter.txt"]


def test_cluster_of_somebody_else_is_refused(bin_dir, kept_dir):
    with Cluster(bin_dir, data_dir=kept_dir, settings=THROW_AWAY):
        pass
    (kept_dir / "cio_fdw_password").unlink()
    with pytest.raises(ServerError, match="that cio_fdw did not make"):
        Cluster(bin_dir, data_dir=kept_dir).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands over to another user")
def test_unreachable_directory_is_refused_and_not_opened(bin_dir, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerError, match="that user must be able to reach it"):
        Cluster(bin_dir, data_dir=closed / "data").__enter__()
    assert closed.stat().st_mode & 0o777 == 0o700
