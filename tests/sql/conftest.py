"""Foreign tables of which the planner knows nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, server_option


@pytest.fixture
def unseen(db: Connection, cluster: Cluster, sim: Simulator) -> Iterator[Connection]:
    """Foreign tables without statistics, of a server that nothing is known of."""
    state = cluster.private_dir / "unseen"
    state.mkdir(mode=0o700)
    os.chown(state, cluster.account.uid, cluster.account.gid)
    with server_option(db, "state_dir", str(state)):
        db.execute("create schema unseen; import foreign schema customerio from server customerio into unseen")
        db.execute("set search_path = unseen, public")
        yield db
        db.execute("reset search_path; drop schema unseen cascade")
    for file in state.iterdir():
        file.unlink()
    state.rmdir()
