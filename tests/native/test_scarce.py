"""A backend that is short of memory: each statement ends, in its answer or in an error, and the server goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from tests.native.backend import Connection, postmaster_start, scalar

CAMPAIGNS = "select count(*) from customerio.campaigns"
MESSAGES = "select count(*) from customerio.messages"
ROOMS_KB = (0, 64, 160, 192, 256, 1024, 2048, 4096, 8192, 9000, 10000, 12000, 16384, 24576, 32768)
"""What a backend may take beyond what it has. A thread's stack is 8 MB."""
ENDS_WITHIN = "15s"


@pytest.fixture
def witness(database: str) -> Iterator[Connection]:
    """Another session: a crash would end it too."""
    with psycopg.connect(database, autocommit=True) as connection:
        start = postmaster_start(connection)
        yield connection
        assert postmaster_start(connection) == start


def confine(cluster: Cluster, db: Connection, room_kb: int) -> None:
    """Lets the backend of `db` have no more than `room_kb` of memory beyond what it has."""
    status = Path(f"/proc/{db.info.backend_pid}/status").read_text()
    has_kb = int(status.partition("VmSize:")[2].split()[0])
    size = (has_kb + room_kb) * 1024
    program = f"import resource; resource.prlimit({db.info.backend_pid}, resource.RLIMIT_AS, ({size}, {size}))"
    subprocess.run([sys.executable, "-c", program], check=True, **cluster.account.popen_arguments())


def outcome(db: Connection, statement: str) -> tuple[Optional[int], Optional[str]]:
    """The answer, or the SQLSTATE of the error."""
    try:
        return scalar(db, statement), None
    except psycopg.Error as error:
        return None, error.sqlstate


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("room_kb", ROOMS_KB)
@pytest.mark.parametrize("stage", ["new", "library", "python"])
def test_statements_end(database: str, cluster: Cluster, db: Connection, room_kb: int, stage: str) -> None:
    expected = {statement: scalar(db, statement) for statement in (CAMPAIGNS, MESSAGES)}
    with psycopg.connect(database, autocommit=True) as confined:
        confined.execute(f"set statement_timeout = '{ENDS_WITHIN}'")
        if stage == "library":
            confined.execute("load 'cio_fdw'")
        elif stage == "python":
            scalar(confined, CAMPAIGNS)
        confine(cluster, confined, room_kb)
        for statement in (CAMPAIGNS, MESSAGES, MESSAGES):
            answer, state = outcome(confined, statement)
            assert not confined.closed
            if state is None:
                assert answer == expected[statement]
            elif stage == "new":
                # Libraries may fail to load, in words of their own. 57014: it stood still.
                assert state != "57014"
            else:
                assert state in ("53000", "53200")
