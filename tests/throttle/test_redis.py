"""One limit for two PostgreSQL servers, kept in a real Redis."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest

from cio_fdw.errors import SharedLimitError
from cio_fdw.lanes import Stop, Stopped
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from cio_fdw.throttle import remote
from cio_fdw.throttle.remote import Redis, RedisThrottle
from cio_fdw.throttle.turns import WINDOW_S, Limits
from tests.conftest import SETTINGS
from tests.doors import make_cluster, set_up
from tests.sql.helpers import Connection, refused, rows, value
from tests.throttle.redis_server import PASSWORD, RedisServer, program
from tests.throttle.wall_clock import wall_clock
from tests.throttle.world import LONG, SHORT, Crowd, arrivals, most_at_once, share_of_429, steady_per_s, until
from tests.unit.http_servers import full_listener

pytestmark = pytest.mark.skipif(program() is None, reason="redis-server is not installed: apt-get install redis-server")

KEY = "0123456789abcdef"
ROOT = Path(remote.__file__).parents[2]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


def throttle_at(redis: RedisServer, per_s: int = 10, at_once: int = 3, lease_s: float = 60) -> RedisThrottle:
    return RedisThrottle(Redis(redis.url, Secret(PASSWORD)), KEY, Limits(per_s, at_once), lease_s)


def waited(throttle: RedisThrottle) -> float:
    with throttle.slot(time.sleep) as turn:
        return turn.waited_s


def connect(cluster: Cluster) -> Connection:
    return psycopg.connect(cluster.socket_url(), autocommit=True)


# The throttle by itself


def test_the_rate(redis: RedisServer) -> None:
    throttle, other = throttle_at(redis), throttle_at(redis)
    began_s = time.monotonic()
    for _ in range(10):
        waited(throttle)
    assert time.monotonic() - began_s < 2.0
    assert waited(other) > 0.2
    assert time.monotonic() - began_s > WINDOW_S


def test_at_most_max_concurrency_and_leases_end(redis: RedisServer) -> None:
    throttle = throttle_at(redis, 1000, 2, lease_s=0.7)
    lock = threading.Lock()
    inside: list[int] = [0, 0]

    def work() -> None:
        for _ in range(3):
            with throttle.slot(time.sleep):
                with lock:
                    inside[0] += 1
                    inside[1] = max(inside)
                time.sleep(0.01)
                with lock:
                    inside[0] -= 1

    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert inside == [0, 2]
    with throttle.slot(time.sleep), throttle.slot(time.sleep):
        began_s = time.monotonic()
        waited(throttle)
        assert 0.4 < time.monotonic() - began_s < 2.5


def test_a_turn_that_was_not_used_in_time(redis: RedisServer) -> None:
    throttle = throttle_at(redis)
    with throttle.slot(time.sleep) as turn:
        assert turn.holds()
        for _ in range(2):
            time.sleep(0.6)
            assert turn.holds(), "it was one of 0.6 s ago"
        time.sleep(WINDOW_S + 0.1)
        assert not turn.holds()
    with throttle_at(redis, lease_s=0.3).slot(time.sleep) as turn:
        time.sleep(0.5)
        assert not turn.holds(), "its lease is over"
    with throttle.slot(time.sleep) as turn:
        throttle.pause(2, time.sleep)
        time.sleep(0.3)
        assert not turn.holds(), "there was a 429 meanwhile"


def test_a_pause_and_a_cancel(redis: RedisServer) -> None:
    throttle = throttle_at(redis)
    throttle.pause(60, time.sleep)
    throttle.pause(1, time.sleep)
    usage = throttle.usage(time.sleep)
    assert (usage.used, usage.in_flight, usage.waiting, usage.kept_in) == (0, 0, 0, "redis")
    assert 58 < usage.paused_s <= 60
    stop = Stop()
    ended: list[float] = []

    def work() -> None:
        with pytest.raises(Stopped), throttle.slot(stop.sleep):
            pytest.fail("the turn was given")
        ended.append(time.monotonic())

    worker = threading.Thread(target=work)
    worker.start()
    until(lambda: throttle.usage(time.sleep).waiting == 1)
    began_s = time.monotonic()
    stop.trip()
    worker.join(5)
    assert ended[0] - began_s < 0.1
    until(lambda: throttle.usage(time.sleep).waiting == 0)


def impatient(within_s: float) -> Callable[[float], None]:
    until_s = time.monotonic() + within_s

    def sleep(seconds: float) -> None:
        assert time.monotonic() < until_s, "the turn does not come"
        time.sleep(seconds)

    return sleep


def test_a_clock_of_redis_that_is_set_back(tmp_path: Path) -> None:
    try:
        with wall_clock() as clock, RedisServer(tmp_path, clock.environment) as redis:
            throttle = throttle_at(redis, 1)
            for ahead_s in (-3600, -7200):
                waited(throttle)
                clock.step(ahead_s)
                began_s = time.monotonic()
                with throttle.slot(impatient(10)):
                    assert time.monotonic() - began_s > 0.9, "the turn of the last second is forgotten"
                assert throttle.usage(time.sleep).in_flight == 0
            throttle.pause(3, time.sleep)
            clock.step(-9000)
            assert throttle.usage(time.sleep).paused_s <= 3 + WINDOW_S
            with throttle.slot(impatient(10)):
                pass
    except LookupError as reason:
        pytest.skip(str(reason))


def test_a_cancel_while_redis_is_silent(redis: RedisServer) -> None:
    throttle = throttle_at(redis)
    waited(throttle)
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        stop = Stop()
        threading.Timer(0.2, stop.trip).start()
        began_s = time.monotonic()
        with pytest.raises(Stopped), throttle.slot(stop.sleep):
            pytest.fail("the turn was given")
        assert time.monotonic() - began_s - 0.2 < 0.5
        until(lambda: redis_threads() == 0, 0.5)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    # The question that was under way is carried out now, and what it took is given back by the next ones.
    until(lambda: throttle.usage(time.sleep).in_flight == 0)
    time.sleep(0.1)
    assert throttle.usage(time.sleep).in_flight == 0


def test_a_cancel_while_nobody_is_there(redis: RedisServer) -> None:
    """A connect that hangs. Two hundred of them leave no thread."""
    with full_listener() as port:
        throttle = RedisThrottle(Redis(f"redis://127.0.0.1:{port}", Secret(PASSWORD)), KEY, Limits(10, 3), 60)
        for _ in range(200):
            with pytest.raises(Stopped), throttle.slot(stopped_after(2)):
                pytest.fail("the turn was given")
            assert redis_threads() <= 2
        until(lambda: redis_threads() == 0, 0.5)


def test_a_cancel_of_a_turn_that_is_held(redis: RedisServer) -> None:
    throttle = throttle_at(redis)
    with suppress(Stopped), throttle.slot(time.sleep):
        os.kill(redis.pid, signal.SIGSTOP)
        raise Stopped
    until(lambda: redis_threads() == 0, 0.5)
    os.kill(redis.pid, signal.SIGCONT)
    until(lambda: throttle.usage(time.sleep).in_flight == 0)


def test_cancels_at_random_moments_leave_nothing(redis: RedisServer) -> None:
    throttle, chance = throttle_at(redis, 1000, 3), random.Random(7)
    for _ in range(200):
        with suppress(Stopped), throttle.slot(stopped_after(chance.randint(0, 6))):
            pass
    usage = throttle.usage(time.sleep)
    assert (usage.in_flight, usage.waiting) == (0, 0)
    until(lambda: redis_threads() == 0, 1.0)


def stopped_after(steps: int) -> Callable[[float], None]:
    """A sleep that the cancel ends."""
    left = itertools.count(steps, -1)

    def sleep(seconds: float) -> None:
        if next(left) <= 0:
            raise Stopped
        time.sleep(seconds)

    return sleep


def redis_threads() -> int:
    return sum(thread.name == "cio-redis" for thread in threading.enumerate())


def test_kill_9_on_this_machine_frees_the_slots(redis: RedisServer) -> None:
    program_text = f"""
        import contextlib, sys, time
        from cio_fdw.secret import Secret
        from cio_fdw.throttle.remote import Redis, RedisThrottle
        from cio_fdw.throttle.turns import Limits
        throttle = RedisThrottle(Redis({redis.url!r}, Secret({PASSWORD!r})), {KEY!r}, Limits(10, 3), 600)
        with contextlib.ExitStack() as stack:
            for _ in range(3): stack.enter_context(throttle.slot(time.sleep))
            print("holding", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program_text)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    throttle = throttle_at(redis)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        assert child.stdout.readline() == "holding\n"
        assert throttle.usage(time.sleep).in_flight == 3
        child.kill()
        child.wait()
        began_s = time.monotonic()
        waited(throttle)
        assert time.monotonic() - began_s < 2.0


def test_redis_that_is_not_there(redis: RedisServer) -> None:
    redis.stop()
    began_s = time.monotonic()
    with pytest.raises(SharedLimitError) as caught:
        waited(throttle_at(redis))
    assert sum(remote.RETRIES_S) <= time.monotonic() - began_s < sum(remote.RETRIES_S) + 2
    assert caught.value.message == (
        f"the Redis of throttle_url does not answer: 127.0.0.1:{redis.port}, ConnectionError"
    )
    assert "throttle_fallback" in (caught.value.hint or "")
    redis.start()
    assert waited(throttle_at(redis)) < 0.5


def test_a_wrong_password_is_not_repeated(redis: RedisServer) -> None:
    throttle = RedisThrottle(Redis(redis.url, Secret("wrong-secret"), ()), KEY, Limits(10, 3), 60)
    with pytest.raises(SharedLimitError, match="AuthenticationError") as caught:
        waited(throttle)
    assert "wrong-secret" not in f"{caught.value}{caught.value.hint}"
    assert caught.value.__cause__ is None


# Two servers


@pytest.fixture
def servers(pg_config: Path, strict: Simulator, redis: RedisServer) -> Iterator[list[Cluster]]:
    settings = {**SETTINGS, "cio_fdw.python": sys.executable}
    bin_dir = installation(pg_config).bin_dir
    with make_cluster(bin_dir, settings=settings) as one, make_cluster(bin_dir, settings=settings) as other:
        for cluster in (one, other):
            options = {"base_url": strict.url, "throttle_url": redis.url}
            set_up(cluster.socket_url(), options, Secret(strict.key))
            with connect(cluster) as connection:
                connection.execute(
                    "alter user mapping for current_user server customerio "
                    f"options (add throttle_password '{PASSWORD}')"
                )
        yield [one, other]


def test_two_servers_share_the_limits(servers: list[Cluster], strict: Simulator) -> None:
    crowds: list[Crowd] = []
    try:
        for cluster in servers:
            crowd = Crowd()
            crowds.append(crowd)
            for statement in (LONG, LONG, LONG, SHORT):
                crowd.add(cluster.socket_url(), statement)
        time.sleep(10)
        times_s = arrivals(strict)
        assert most_at_once(times_s) <= 10
        assert strict.stats()["max_in_flight"] <= 3
        assert share_of_429(strict) < 0.01
        assert steady_per_s(times_s) >= 9.0
        for crowd in crowds:
            assert not crowd.errors
            assert max(crowd.took_s[3]) < 5.0
        with connect(servers[0]) as connection:
            ((used, in_flight, kept_in),) = rows(connection, "select used, in_flight, kept_in from customerio._limits")
            assert 0 <= in_flight <= 3
            assert 0 <= used <= 10
            assert kept_in == "redis"
    finally:
        for crowd, cluster in zip(crowds, servers):
            crowd.end(cluster.socket_url())


def test_a_429_of_one_server_pauses_the_other(servers: list[Cluster], strict: Simulator) -> None:
    action = {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}}
    with connect(servers[0]) as one, connect(servers[1]) as other:
        rows(other, SHORT)
        one.execute("alter server customerio options (add max_retries '0')")
        strict.faults([{"match": {"path": "/v1/"}, "times": 1, "action": action}])
        with refused("53400"):
            rows(one, SHORT)
        began_s = time.monotonic()
        rows(other, SHORT)
        assert 1.5 < time.monotonic() - began_s < 4.5


def test_queries_while_redis_is_down(servers: list[Cluster], strict: Simulator, redis: RedisServer) -> None:
    with connect(servers[0]) as one:
        rows(one, SHORT)
        redis.stop()
        strict.reset()
        with refused("08006") as caught:
            rows(one, SHORT)
        assert "the Redis of throttle_url does not answer" in str(caught.value)
        assert not arrivals(strict)
        one.execute("set statement_timeout = '300ms'")
        with refused("57014"):
            rows(one, SHORT)
        one.execute("set statement_timeout = 0")
        one.execute("alter server customerio options (add throttle_fallback 'local')")
        began_s = time.monotonic()
        for _ in range(3):
            rows(one, SHORT)
        assert time.monotonic() - began_s < 4.5
        assert value(one, "select kept_in from customerio._limits") == "server"


@pytest.mark.parametrize("how", ["stopped", "black hole"])
def test_cancels_of_queries_while_redis_is_silent(servers: list[Cluster], redis: RedisServer, how: str) -> None:
    with ExitStack() as stack, connect(servers[0]) as one, connect(servers[0]) as admin:
        pid = one.info.backend_pid
        rows(one, SHORT)
        until(lambda: threads_of(pid) == 1, 1.0)
        before = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        if how == "stopped":
            os.kill(redis.pid, signal.SIGSTOP)
            stack.callback(os.kill, redis.pid, signal.SIGCONT)
        else:
            port = stack.enter_context(full_listener())
            admin.execute(f"alter server customerio options (set throttle_url 'redis://127.0.0.1:{port}/0')")
        one.execute("set statement_timeout = '100ms'")
        for _ in range(20):
            began_s = time.monotonic()
            with refused("57014"):
                rows(one, SHORT)
            # The rest is for a busy machine.
            assert time.monotonic() - began_s < 0.1 + 0.1 + 1.0
            until(lambda: threads_of(pid) == 1, 0.2)
        # The kept connection to Redis was cut; that to the API may be kept.
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) <= before + 1
        stack.close()
        admin.execute(f"alter server customerio options (set throttle_url '{redis.url}')")
        one.execute("set statement_timeout = 0")
        assert len(rows(one, SHORT)) == 1
        assert value(one, "select in_flight from customerio._limits") == 0


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_no_thread_stays_behind(servers: list[Cluster]) -> None:
    with connect(servers[0]) as one:
        rows(one, LONG)
        until(lambda: threads_of(one.info.backend_pid) == 1, 1.0)


def test_who_may_name_a_redis(servers: list[Cluster]) -> None:
    with connect(servers[0]) as one:
        one.execute("create role ordinary")
        one.execute("grant usage on foreign data wrapper cio_fdw to ordinary")
        one.execute("set role ordinary")
        with refused("HV024") as caught:
            one.execute("create server mine foreign data wrapper cio_fdw options (throttle_url 'redis://10.0.0.1:25')")
        assert "makes the server connect to a host of one's choice" in str(caught.value)


def everything(connection: Connection) -> str:
    found: list[Any] = rows(connection, "select * from pg_foreign_server")
    return repr(found)


def test_the_password_is_in_no_public_catalog(servers: list[Cluster]) -> None:
    with connect(servers[0]) as one:
        assert PASSWORD not in everything(one)
        with refused("HV024") as caught:
            one.execute("alter server customerio options (set throttle_url 'redis://:hunter2@h/0')")
        assert "hunter2" not in str(caught.value)
        assert "throttle_password" in str(caught.value)
