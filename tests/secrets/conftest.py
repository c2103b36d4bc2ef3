"""A server that tells everything it can: debug5, proxies and a .netrc in its environment, and a key to look for.

vault    module    the running Vault
root     test      a session of the superuser
plain    test      a session of a role that may use the server and read the tables, and has no mapping
"""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import make_cluster, set_up
from tests.sql.helpers import Connection

KEY = "s3cr3t-Zk9wQ-of-the-vault"
PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass
class Vault:
    """`proxy` is where the environment's proxies point."""

    cluster: Cluster
    sim: Simulator
    proxy: socket.socket
    address: str

    def log(self) -> str:
        return self.cluster.log_path.read_text(errors="replace")

    def own(self, path: Path, mode: int) -> str:
        """Gives a file to the server's user."""
        path.chmod(mode)
        shutil.chown(path, self.cluster.account.uid, self.cluster.account.gid)
        return str(path)

    def file(self, name: str, content: str, mode: int = 0o600) -> str:
        """The path of a new file of the server's user."""
        path = self.cluster.private_dir / name
        path.write_text(content)
        return self.own(path, mode)


@pytest.fixture(scope="module")
def vault(pg_config: Path) -> Iterator[Vault]:
    settings = {
        **THROW_AWAY, "cio_fdw.python": sys.executable, "log_min_messages": "debug5", "log_connections": "on",
        "log_error_verbosity": "verbose",
    }  # fmt: skip
    with (
        Simulator(messages=400, campaigns=4, rate=0, seed=3, key=KEY) as sim,
        socket.create_server(("127.0.0.1", 0)) as proxy,
    ):
        proxy.setblocking(False)
        environment = dict.fromkeys(PROXY_NAMES, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        bin_dir = installation(pg_config).bin_dir
        with make_cluster(bin_dir, settings=settings, env={**environment, "no_proxy": ""}) as cluster:
            address = cluster.socket_url()
            running = Vault(cluster, sim, proxy, address)
            # HOME of the server is its data directory.
            netrc = cluster.data_dir / ".netrc"
            netrc.write_text("machine 127.0.0.1 login mallory password stolen\n")
            running.own(netrc, 0o600)
            set_up(address, {"base_url": sim.url, "requests_per_second": "1000", "max_retries": "1"}, Secret(KEY))
            with psycopg.connect(address, autocommit=True) as db:
                make_plain_role(db)
            yield running


def make_plain_role(db: Connection) -> None:
    db.execute("""
        create role plain login;
        create schema plain authorization plain;
        grant usage on foreign server customerio to plain;
        grant usage on schema customerio to plain;
        grant select on all tables in schema customerio to plain""")


@pytest.fixture
def root(vault: Vault) -> Iterator[Connection]:
    vault.sim.reset()
    with psycopg.connect(vault.address, autocommit=True) as db:
        yield db


@pytest.fixture
def plain(vault: Vault) -> Iterator[Connection]:
    with psycopg.connect(vault.address, user="plain", autocommit=True) as db:
        yield db
        db.execute("drop user mapping if exists for plain server customerio")


def said(error: Optional[BaseException]) -> str:
    """All that the client is told of an error."""
    if not isinstance(error, psycopg.Error):
        return repr(error)
    names = [name for name in dir(error.diag) if not name.startswith("_")]
    return "\n".join(str(getattr(error.diag, name)) for name in names) + str(error) + repr(error)
