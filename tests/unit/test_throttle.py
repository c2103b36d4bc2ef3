"""The throttle: no window of one second with more than N sends, order, pause, cancel."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.lanes import Stop, Stopped
from cio_fdw.options import resolve
from cio_fdw.throttle import SLICE_S, WINDOW_S, LocalThrottle, throttle_for


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def most_in_any_second(sent_s: list[float]) -> int:
    return max(sum(1 for other in sent_s if start <= other <= start + 1.0) for start in sent_s)


def waiter(throttle: LocalThrottle, clock: Clock, busy_s: float, log: list[float]) -> Generator[float, None, None]:
    """One request as a coroutine that yields how long it wants to sleep: simulates a thread on the fake clock."""
    ticket = object()
    throttle._queue.append(ticket)
    while True:
        delay_s = throttle._try_turn(ticket)
        if delay_s is None:
            break
        yield min(delay_s, SLICE_S)
    log.append(clock())
    yield busy_s
    throttle._in_flight -= 1


def simulate(
    throttle: LocalThrottle, clock: Clock, arrivals: list[tuple[float, float]], at: Callable[[], None] = lambda: None
) -> list[float]:
    """Send times of requests that arrive at (seconds, busy seconds)."""
    log: list[float] = []
    agenda = [
        (clock() + arrive_s, number, waiter(throttle, clock, busy_s, log))
        for number, (arrive_s, busy_s) in enumerate(arrivals)
    ]
    heapq.heapify(agenda)
    while agenda:
        clock.now_s, number, one = heapq.heappop(agenda)
        at()
        sleep_s = next(one, None)
        if sleep_s is not None:
            heapq.heappush(agenda, (clock.now_s + sleep_s, number, one))
    return log


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(1, 12),
    max_in_flight=st.integers(1, 6),
    arrivals=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 1.5)), min_size=1, max_size=40),
)
def test_no_window_holds_more_than_the_limit(
    rate: int, max_in_flight: int, arrivals: list[tuple[float, float]]
) -> None:
    clock = Clock()
    throttle = LocalThrottle(rate, max_in_flight, clock)
    sent_s = simulate(throttle, clock, arrivals)
    assert len(sent_s) == len(arrivals)
    assert most_in_any_second(sent_s) <= rate
    assert throttle._in_flight == 0
    assert not throttle._queue


def test_full_use_of_the_rate() -> None:
    clock = Clock()
    sent_s = simulate(LocalThrottle(10, 3, clock), clock, [(0.0, 0.05)] * 100)
    # 100 requests are 10 windows of 10; the last window need not be waited for.
    assert 9 * WINDOW_S <= sent_s[-1] - sent_s[0] < 9 * WINDOW_S + 0.5


def test_at_most_max_concurrency_are_under_way() -> None:
    clock = Clock()
    throttle = LocalThrottle(1000, 3, clock)
    seen: list[int] = []
    simulate(
        throttle,
        clock,
        [(0.0, random.Random(number).random()) for number in range(40)],
        lambda: seen.append(throttle._in_flight),
    )
    assert max(seen) == 3


def test_first_come_first_served() -> None:
    clock = Clock()
    throttle = LocalThrottle(2, 1, clock)
    order: list[int] = []

    def named(number: int) -> Generator[float, None, None]:
        log: list[float] = []
        for sleep_s in waiter(throttle, clock, 0.0, log):
            if log and number not in order:
                order.append(number)
            yield sleep_s

    agenda = [(clock() + number * 0.001, number, named(number)) for number in range(9)]
    while agenda:
        clock.now_s, number, one = heapq.heappop(agenda)
        sleep_s = next(one, None)
        if sleep_s is not None:
            heapq.heappush(agenda, (clock.now_s + sleep_s, number, one))
    assert order == list(range(9))


def test_free_slots_do_not_wait() -> None:
    clock = Clock()
    throttle = LocalThrottle(10, 3, clock)
    with throttle.slot(clock.sleep) as waited_s:
        assert waited_s == 0.0
    assert clock.slept == []


def test_the_wait_is_reported_and_sliced() -> None:
    clock = Clock()
    throttle = LocalThrottle(1, 1, clock)
    with throttle.slot(clock.sleep):
        pass
    with throttle.slot(clock.sleep) as waited_s:
        assert waited_s == pytest.approx(WINDOW_S)
    assert max(clock.slept) <= SLICE_S


def test_pause_holds_everybody_and_never_shortens() -> None:
    clock = Clock()
    throttle = LocalThrottle(10, 3, clock)
    throttle.pause(7.0)
    throttle.pause(2.0)
    with throttle.slot(clock.sleep) as waited_s:
        assert waited_s == pytest.approx(7.0)
    with throttle.slot(clock.sleep) as waited_s:
        assert waited_s == 0.0


def test_the_slot_is_given_back_when_the_request_fails() -> None:
    clock = Clock()
    throttle = LocalThrottle(10, 1, clock)
    with pytest.raises(ValueError, match="failed"), throttle.slot(clock.sleep):
        raise ValueError("failed")
    with throttle.slot(clock.sleep) as waited_s:
        assert waited_s == 0.0


def test_a_cancelled_waiter_frees_its_place() -> None:
    clock = Clock()
    throttle = LocalThrottle(1, 1, clock)
    with throttle.slot(clock.sleep):
        pass

    def cancelled(_seconds: float) -> None:
        raise Stopped

    with pytest.raises(Stopped), throttle.slot(cancelled):
        pytest.fail("the turn was given")
    with throttle.slot(clock.sleep) as waited_s:
        assert waited_s == pytest.approx(WINDOW_S)


def test_cancel_while_waiting_is_immediate() -> None:
    throttle = LocalThrottle(1, 1)
    throttle.pause(60)
    stop = Stop()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            with throttle.slot(stop.sleep):
                pytest.fail("the turn was given")
        except Stopped as error:
            ended.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.02)
    began = time.monotonic()
    stop.trip()
    worker.join(1)
    assert time.monotonic() - began < 0.1
    assert len(ended) == 1


def test_threads_share_the_limits() -> None:
    throttle = LocalThrottle(100, 2)
    lock = threading.Lock()
    inside: list[int] = [0, 0]

    def work() -> None:
        for _ in range(5):
            with throttle.slot(time.sleep):
                with lock:
                    inside[0] += 1
                    inside[1] = max(inside)
                time.sleep(0.001)
                with lock:
                    inside[0] -= 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(5)
    assert inside == [0, 2]


def test_one_throttle_per_root_key_and_limits() -> None:
    one = resolve({"region": "us"}, mapping={"app_api_key": "key-one"})
    same = resolve({}, mapping={"app_api_key": "key-one"})
    assert throttle_for(one) is throttle_for(same)
    others = [
        resolve({"region": "eu"}, mapping={"app_api_key": "key-one"}),
        resolve({}, mapping={"app_api_key": "key-two"}),
        replace(one, requests_per_second=5),
        replace(one, max_concurrency=1),
    ]
    assert len({id(throttle_for(other)) for other in [one, *others]}) == 5
