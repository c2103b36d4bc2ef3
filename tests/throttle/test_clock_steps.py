"""A wall clock that is set while requests are sent: neither the limit nor a deadline nor a pause moves with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.ledger import busiest
from tests.conftest import SETTINGS
from tests.doors import make_cluster, set_up
from tests.sql.helpers import refused, rows, value
from tests.throttle.wall_clock import WallClock, wall_clock
from tests.throttle.world import LONG, SHORT, Crowd, arrivals, until

HOUR_S, DAY_S = 3600, 86_400
STEPS_S = (DAY_S, -DAY_S, 2, -2, HOUR_S, 0)
NOISE_S = 3.0


@pytest.fixture
def clock() -> Iterator[WallClock]:
    try:
        with wall_clock() as made:
            yield made
    except LookupError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def server(pg_config: Path, clock: WallClock, strict: Simulator) -> Iterator[Cluster]:
    settings = {**SETTINGS, "cio_fdw.python": sys.executable}
    with make_cluster(installation(pg_config).bin_dir, settings=settings, env=clock.environment) as running:
        set_up(running.socket_url(), {"base_url": strict.url}, Secret(strict.key))
        yield running


def test_the_clock_of_the_backends_is_set(server: Cluster, clock: WallClock) -> None:
    """Else the other tests would show nothing."""
    with psycopg.connect(server.socket_url(), autocommit=True) as db:
        for ahead_s in STEPS_S:
            clock.step(ahead_s)
            found_s = float(value(db, "select extract(epoch from clock_timestamp())")) - time.time()
            assert abs(found_s - ahead_s) < NOISE_S / 2
            rows(db, SHORT)
            left_s = [row[0] for row in rows(db, "select extract(epoch from at)::float8 from customerio._requests")]
            assert abs(left_s[-1] - time.time() - ahead_s) < NOISE_S, "the journal tells the time as the server has it"


def test_the_limit(server: Cluster, clock: WallClock, strict: Simulator) -> None:
    crowd = Crowd()
    try:
        for _ in range(3):
            crowd.add(server.socket_url(), LONG)
        until(lambda: len(arrivals(strict)) > 10)
        for ahead_s in STEPS_S:
            before = len(arrivals(strict))
            clock.step(ahead_s)
            # A window by the wall clock would be empty after a step ahead, and full for a day after one back.
            until(lambda count=before: len(arrivals(strict)) >= count + 12)
        assert not crowd.errors
        assert busiest(arrivals(strict)) <= 10
        assert strict.stats()["rate_limited"] == 0
    finally:
        crowd.end(server.socket_url())


@pytest.mark.parametrize("ahead_s", [DAY_S, -DAY_S])
def test_timeouts_back_off_and_pauses(server: Cluster, clock: WallClock, strict: Simulator, ahead_s: int) -> None:
    timeout_s, retry_after_s = 2, 3
    with psycopg.connect(server.socket_url(), autocommit=True) as db, ThreadPoolExecutor(1) as pool:
        rows(db, SHORT)

        def took_s(action: dict[str, object], times: int) -> float:
            """Seconds of a statement in the middle of which the clock is set."""
            strict.reset()
            strict.faults([{"match": {"path": "/v1/"}, "times": times, "action": action}])
            clock.step(0)
            began_s = time.monotonic()
            statement = pool.submit(rows, db, SHORT)
            until(lambda: len(arrivals(strict)) > 0)
            clock.step(ahead_s)
            try:
                statement.result(30)
            finally:
                ended_s = time.monotonic()
            return ended_s - began_s

        paused = {"kind": "status", "status": 429, "headers": {"Retry-After": str(retry_after_s)}}
        assert retry_after_s <= took_s(paused, 1) < retry_after_s + NOISE_S
        unavailable = {"kind": "status", "status": 503, "headers": {"Retry-After": str(retry_after_s)}}
        assert retry_after_s <= took_s(unavailable, 1) < retry_after_s + NOISE_S
        db.execute(f"alter server customerio options (add timeout '{timeout_s}', add max_retries '0')")
        began_s = time.monotonic()
        with refused("08001"):
            took_s({"kind": "hang"}, 1)
        assert timeout_s <= time.monotonic() - began_s < timeout_s + NOISE_S
