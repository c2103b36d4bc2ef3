"""How soon the turn of a backend that was killed is another process's, which waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import Callable

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import value
from tests.throttle.world import LONG, SHORT, Crowd, until

FREED_S = 1.0
SLOTS = 2
"""So many requests follow the first."""
# As the server's user, with the server's state and limits; it prints when it has the turn.
NEXT_IN_LINE = """
    import sys, time
    from pathlib import Path
    from cio_fdw.state import StateDirectory
    from cio_fdw.throttle.shared import SharedThrottle
    from cio_fdw.throttle.turns import Limits
    throttle = SharedThrottle(StateDirectory(Path(sys.argv[1])), sys.argv[2], Limits(10, int(sys.argv[3])))
    with throttle.slot(time.sleep):
        print(time.monotonic(), flush=True)
"""


@pytest.fixture
def holder(crashing: str, strict: Simulator) -> Iterator[int]:
    """The process id of a backend that has every slot, for requests that are not answered."""
    with psycopg.connect(crashing, autocommit=True) as db:
        db.execute(f"alter server customerio options (add max_concurrency '{SLOTS}')")
    strict.faults([{"match": {"path": "/v1/campaigns/"}, "times": None, "action": {"kind": "hang"}}])
    crowd = Crowd()
    crowd.add(crashing, LONG)
    until(lambda: strict.stats()["in_flight"] == SLOTS, 30)
    yield crowd.pids[0]
    crowd.end(crashing)


def test_another_process_has_the_slot_at_once(
    crashing_cluster: Cluster,
    crashing: str,
    holder: int,
    strict: Simulator,
    record_property: Callable[[str, object], None],
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(NEXT_IN_LINE), str(crashing_cluster.data_dir / "cio_fdw")]
    arguments = [Secret(strict.key).fingerprint(), str(SLOTS)]
    account = crashing_cluster.account.popen_arguments()
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, **account) as waiting:
        with psycopg.connect(crashing, autocommit=True) as witness:
            until(lambda: value(witness, "select waiting from customerio._limits") == 1, 30)
            assert value(witness, "select in_flight from customerio._limits") == SLOTS
        time.sleep(0.5)
        assert waiting.poll() is None
        killed_s = time.monotonic()
        os.kill(holder, signal.SIGKILL)
        got, _ = waiting.communicate(timeout=20)
    freed_s = float(got) - killed_s
    record_property("freed_s", f"{freed_s:.3f}")
    assert 0 < freed_s < FREED_S
    # The server comes back with the state as it was.
    strict.faults([])
    until(lambda: comes_back(crashing), 20)
    with psycopg.connect(crashing, autocommit=True) as db:
        assert len(db.execute(SHORT).fetchall()) == 1
        assert value(db, "select in_flight from customerio._limits") == 0


def comes_back(address: str) -> bool:
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        return False
    return True
