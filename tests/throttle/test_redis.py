"""The limits that a real Redis keeps: rate, concurrency, pauses, leases, and questions that are given up."""

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
from contextlib import suppress
from pathlib import Path
from typing import Callable

import pytest

from cio_fdw.errors import SharedLimitError
from cio_fdw.lanes import Stop, Stopped
from cio_fdw.secret import Secret
from cio_fdw.throttle import remote
from cio_fdw.throttle.remote import Redis, RedisThrottle
from cio_fdw.throttle.turns import WINDOW_S, Limits
from tests.throttle.redis_server import PASSWORD, RedisServer
from tests.throttle.wall_clock import wall_clock
from tests.throttle.world import until
from tests.unit.http_servers import full_listener

KEY = "0123456789abcdef"
ROOT = Path(remote.__file__).parents[2]


def throttle_at(redis: RedisServer, per_s: int = 10, at_once: int = 3, lease_s: float = 60) -> RedisThrottle:
    return RedisThrottle(Redis(redis.url, Secret(PASSWORD)), KEY, Limits(per_s, at_once), lease_s)


def waited(throttle: RedisThrottle) -> float:
    with throttle.slot(time.sleep) as turn:
        return turn.waited_s


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


def test_a_turn_that_was_heard_of_late(redis: RedisServer) -> None:
    """It counts from when its request left: the API counts when it arrives."""
    with redis.heard_late(0.06) as url:
        late = RedisThrottle(Redis(url, Secret(PASSWORD)), KEY, Limits(1, 3), 60)
        waited(late)  # connects
        with late.slot(time.sleep) as turn:
            assert turn.holds()
            left_s = time.monotonic()
            turn.left()
    with throttle_at(redis, per_s=1).slot(time.sleep):
        assert time.monotonic() - left_s >= WINDOW_S - remote.HEARD_S


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


def test_a_turn_that_ends_while_redis_is_silent(redis: RedisServer) -> None:
    throttle = throttle_at(redis)
    with throttle.slot(time.sleep):
        os.kill(redis.pid, signal.SIGSTOP)
        began_s = time.monotonic()
    assert redis_threads() == 0
    assert time.monotonic() - began_s < 1.0
    os.kill(redis.pid, signal.SIGCONT)
    # What was not heard is said again with the next question.
    assert throttle.usage(time.sleep).in_flight == 0


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
        f"the Redis of throttle_url does not answer: 127.0.0.1:{redis.port}, ConnectionError: Connection refused"
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
