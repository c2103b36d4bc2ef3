"""One limit for all backends of the server, measured where it counts: at the API."""

from __future__ import annotations

import os
import signal
import time

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.ledger import busiest
from tests.doors import set_up
from tests.throttle.world import LONG, SHORT, Crowd, arrivals, share_of_429, steady_per_s, until

SECONDS = 12.0
FREED_S = 5.0
"""A machine under load takes its time; a slot that stays taken costs 30 s."""


def answers(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def databases(crashing_cluster: Cluster, crashing: str, strict: Simulator) -> list[str]:
    """Two databases of the server, with the same key."""
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute("create database other")
    other = crashing_cluster.socket_url("other")
    set_up(other, {"base_url": strict.url}, Secret(strict.key))
    return [crashing, other]


def test_twelve_backends_share_the_rate(databases: list[str], strict: Simulator) -> None:
    crowd = Crowd()
    try:
        for number in range(11):
            crowd.add(databases[number % 2], LONG)
        crowd.add(databases[1], SHORT)
        time.sleep(SECONDS)
        assert not crowd.errors
        times_s, in_flight = arrivals(strict), strict.stats()["max_in_flight"]
        assert busiest(times_s) <= 10
        assert in_flight <= 3
        assert share_of_429(strict) < 0.01
        # bench/limiter.py has the figures; this finds a limit that is divided, or a crowd that stands still.
        assert steady_per_s(times_s) >= 7.0
        # The short query, which stands for any turn of a backend.
        assert len(crowd.took_s[11]) >= 5
        assert max(crowd.took_s[11]) < 6.0
    finally:
        crowd.end(databases[0])


def test_a_killed_backend_frees_its_slots(crashing: str, strict: Simulator) -> None:
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute("alter server customerio options (add max_concurrency '2')")
    strict.faults([{"match": {"path": "/v1/campaigns/"}, "times": 2, "action": {"kind": "hang"}}])
    crowd = Crowd()
    crowd.add(crashing, LONG)
    until(lambda: strict.stats()["in_flight"] == 2)
    with psycopg.connect(crashing, autocommit=True) as witness:
        os.kill(crowd.pids[0], signal.SIGKILL)
        # The postmaster ends all backends and starts anew; for a moment the old server still accepts.
        until(lambda: not answers(witness))

    def is_back() -> bool:
        try:
            psycopg.connect(crashing).close()
        except psycopg.OperationalError:
            return False
        return True

    until(is_back)
    back_s = time.monotonic()
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute(SHORT).fetchall()
    # Counted: a new backend, its Python, and the API's latency.
    assert time.monotonic() - back_s < FREED_S
    assert busiest(arrivals(strict)) <= 10
    assert strict.stats()["rate_limited"] == 0


def test_a_429_pauses_every_backend(crashing: str, strict: Simulator) -> None:
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute(SHORT)
    crowd = Crowd()
    try:
        for _ in range(4):
            crowd.add(crashing, LONG)
        time.sleep(2.0)
        action = {"kind": "status", "status": 429, "headers": {"Retry-After": "3"}}
        strict.faults([{"match": {"path": "/v1/"}, "times": 1, "action": action}])
        until(lambda: strict.stats()["rate_limited"] == 1)
        until(lambda: any(entry["status"] == 429 for entry in strict.log()))
        time.sleep(4.0)
        log = strict.log()
        (refused,) = [entry for entry in log if entry["status"] == 429]
        after_s = sorted(entry["t"] - refused["t"] for entry in log if entry["t"] > refused["t"])
        # Those that were on their way, and then nobody.
        assert not [gap_s for gap_s in after_s if 0.4 < gap_s < 2.9]
        assert [gap_s for gap_s in after_s if gap_s >= 2.9]
        assert not crowd.errors
    finally:
        crowd.end(crashing)


def test_a_request_that_is_sent_again_takes_a_turn_of_its_own(crashing: str, strict: Simulator) -> None:
    """The API counts one that it hung up on. With one slot the first turn must be over by then."""
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute("alter server customerio options (add max_concurrency '1')")
        right = connection.execute(LONG).fetchone()
        strict.reset()
        strict.faults(
            [{"match": {"path": "/v1/campaigns/\\d+", "fresh": True}, "times": None, "action": {"kind": "reset"}}]
        )
        connection.execute("set statement_timeout = '60s'")
        assert connection.execute(LONG).fetchone() == right
    assert len(strict.log()) >= 81
    assert busiest(arrivals(strict)) <= 10
    assert strict.stats()["rate_limited"] == 0


def test_users_with_the_same_key_share_the_limit(crashing: str, strict: Simulator) -> None:
    with psycopg.connect(crashing, autocommit=True) as own:
        own.execute("alter server customerio options (add requests_per_second '1')")
        own.execute("create role analyst login; grant usage on schema customerio to analyst")
        own.execute("grant select on all tables in schema customerio to analyst")
        own.execute(f"create user mapping for analyst server customerio options (app_api_key '{strict.key}')")
        with psycopg.connect(crashing, user="analyst", autocommit=True) as other:
            other.execute("explain " + SHORT)
            own.execute(SHORT)
            other.execute(SHORT)
            waited = other.execute("select pid, throttled_ms from customerio._requests order by at").fetchall()
            assert [row[0] for row in waited] == [own.info.backend_pid, other.info.backend_pid]
    at_s = arrivals(strict)
    assert at_s[1] - at_s[0] > 0.9


def test_a_new_backend_after_the_state_file_was_removed(crashing_cluster: Cluster, crashing: str) -> None:
    """It had no other file open, and cannot know how many turns were taken a moment ago: it waits for a second."""
    with psycopg.connect(crashing, autocommit=True) as first, psycopg.connect(crashing, autocommit=True) as second:
        first.execute(SHORT)
        for file in (crashing_cluster.data_dir / "cio_fdw").glob("turns-*"):
            file.unlink()
        second.execute(SHORT)
        waited_ms = [row[0] for row in second.execute("select throttled_ms from customerio._requests order by at")]
    assert waited_ms[0] < 500
    assert waited_ms[1] > 900


def test_state_lies_in_the_data_directory(crashing_cluster: Cluster, crashing: str, strict: Simulator) -> None:
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute(SHORT)
    place = crashing_cluster.data_dir / "cio_fdw"
    assert place.stat().st_mode & 0o777 == 0o700
    assert place.stat().st_uid == crashing_cluster.account.uid
    assert not any(strict.key.encode() in path.read_bytes() or strict.key in path.name for path in place.iterdir())


def test_a_state_directory_of_ones_own(crashing_cluster: Cluster, crashing: str, strict: Simulator) -> None:
    place = crashing_cluster.private_dir / "shared state"
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute(f"alter server customerio options (add state_dir '{place}')")
        connection.execute(SHORT)
        assert place.is_dir()
        connection.execute("create role ordinary")
        connection.execute("grant usage on foreign data wrapper cio_fdw to ordinary")
        connection.execute("set role ordinary")
        with pytest.raises(psycopg.Error, match='option "state_dir" names a file of the server') as caught:
            connection.execute("create server mine foreign data wrapper cio_fdw options (state_dir '/tmp/x')")
        assert caught.value.sqlstate == "HV024"


def test_a_state_directory_that_cannot_be_used(crashing_cluster: Cluster, crashing: str, strict: Simulator) -> None:
    place = crashing_cluster.data_dir / "cio_fdw"
    with psycopg.connect(crashing, autocommit=True) as connection:
        connection.execute(SHORT)
    place.chmod(0o755)
    before = strict.stats()["requests"]
    with psycopg.connect(crashing, autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="must belong to the server's operating system user") as caught:
            connection.execute(SHORT)
        assert caught.value.sqlstate == "58030"
        assert strict.stats()["requests"] == before
        place.chmod(0o700)
        assert len(connection.execute(SHORT).fetchall()) == 1
