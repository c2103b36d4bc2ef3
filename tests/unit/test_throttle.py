"""The queue of a key: no window of one second with more than N sends, order, fairness, pause, the dead."""

from __future__ import annotations

import heapq
import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Callable, Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.throttle.record import SIZE_BYTES, pack, unpack
from cio_fdw.throttle.turns import (
    FRESH_S,
    GRACE_S,
    LONGEST_LOOK_S,
    MAX_PAUSE_S,
    MAX_PLACES,
    SLICE_S,
    WINDOW_S,
    Limits,
    Place,
    Turns,
)

TEN = Limits(10, 3)
BOOT = bytes(range(16))
Step = Generator[float, None, None]


@dataclass
class World:
    """Requests on a fake clock. `sent`: (seconds, flow) of each turn that was taken."""

    turns: Turns = field(default_factory=Turns)
    now_s: float = 1000.0
    in_flight: int = 0
    sent: list[tuple[float, int]] = field(default_factory=list)

    def request(self, flow: int, busy_s: float = 0.0, limits: Limits = TEN) -> Step:
        """One request as a coroutine that yields how long it wants to sleep."""
        place = self.turns.join(flow, self.now_s)
        assert place
        while True:
            delay_s = self.turns.ask(place, self.now_s, lambda: self.in_flight, limits)
            if delay_s == 0.0:
                break
            yield delay_s
        self.in_flight += 1
        self.sent.append((self.now_s, flow))
        yield busy_s
        self.in_flight -= 1

    def stalled(self, flow: int, stall_s: float, limits: Limits = TEN) -> Step:
        """One request whose process stands still between its turn and its request."""
        place = self.turns.join(flow, self.now_s)
        assert place
        while True:
            delay_s = self.turns.ask(place, self.now_s, lambda: 0, limits)
            if delay_s:
                yield delay_s
                continue
            taken_s = self.now_s
            yield stall_s
            if self.now_s - taken_s > FRESH_S and not self.turns.renew(taken_s, self.now_s):
                again, stall_s = self.turns.join(flow, self.now_s), 0.0
                assert again
                place = again
                continue
            self.sent.append((self.now_s, flow))
            return

    def run(self, *steps: tuple[float, Step], look: Callable[[], None] = lambda: None, until_s: float = 1e9) -> None:
        """Runs coroutines that begin after the given seconds."""
        agenda = [(self.now_s + after_s, number, step) for number, (after_s, step) in enumerate(steps)]
        heapq.heapify(agenda)
        while agenda and agenda[0][0] <= until_s:
            self.now_s, number, step = heapq.heappop(agenda)
            sleep_s = next(step, None)
            look()
            if sleep_s is not None:
                heapq.heappush(agenda, (self.now_s + sleep_s, number, step))

    def flows(self) -> list[int]:
        return [flow for _, flow in self.sent]


def most_in(sent: list[tuple[float, int]], span_s: float) -> int:
    return max(sum(1 for other, _ in sent if start <= other <= start + span_s) for start, _ in sent)


def most_in_any_second(sent: list[tuple[float, int]]) -> int:
    return most_in(sent, 1.0)


def forever(world: World, flow: int, busy_s: float, limits: Limits = TEN) -> Step:
    while True:
        yield from world.request(flow, busy_s, limits)


@settings(max_examples=60, deadline=None)
@given(
    limits=st.builds(Limits, st.integers(1, 12), st.integers(1, 6)),
    arrivals=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 1.5), st.integers(1, 4)), min_size=1, max_size=40),
)
def test_no_window_holds_more_than_the_limit(limits: Limits, arrivals: list[tuple[float, float, int]]) -> None:
    world = World()
    seen: list[int] = []
    requests = [(after_s, world.request(flow, busy_s, limits)) for after_s, busy_s, flow in arrivals]
    world.run(*requests, look=lambda: seen.append(world.in_flight))
    assert len(world.sent) == len(arrivals)
    assert most_in_any_second(world.sent) <= limits.requests_per_second
    assert max(seen) <= limits.max_concurrency
    assert world.in_flight == 0
    assert not world.turns.places


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(1, 12),
    arrivals=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 2.5), st.integers(1, 4)), min_size=1, max_size=40),
)
def test_no_window_holds_more_than_the_limit_when_processes_stand_still(
    rate: int, arrivals: list[tuple[float, float, int]]
) -> None:
    world = World()
    limits = Limits(rate, 3)
    world.run(*((after_s, world.stalled(flow, stall_s, limits)) for after_s, stall_s, flow in arrivals))
    assert len(world.sent) == len(arrivals)
    # One that leaves within FRESH_S takes what the window is longer than a second.
    assert most_in(world.sent, 1.0 - 1e-6) <= rate


def test_a_turn_is_renewed_while_it_is_of_the_last_window() -> None:
    turns = Turns(sent_s=[1000.0, 1000.2])
    assert turns.renew(1000.0, 1001.0)
    assert turns.sent_s == [1000.2, 1001.0]
    assert not turns.renew(1000.2, 1001.3)
    assert not turns.renew(1000.2, 1001.3)
    assert turns.sent_s == [1001.0]
    turns.pause(1001.4, 5.0)
    assert not turns.renew(1001.0, 1001.5)


def test_full_use_of_the_rate() -> None:
    world = World()
    world.run(*((0.0, world.request(number % 12 + 1, 0.05)) for number in range(100)))
    # 100 requests are 10 windows of 10; the last window need not be waited for.
    assert 9 * WINDOW_S <= world.sent[-1][0] - world.sent[0][0] < 9 * WINDOW_S + 0.5


def test_one_backend_is_served_in_order() -> None:
    world = World()
    world.run(*((number * 0.001, world.request(1, 0.0, Limits(2, 1))) for number in range(9)))
    assert [round((sent_s - 1000) / WINDOW_S) for sent_s, _ in world.sent] == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_backends_take_turns_whatever_they_have_queued() -> None:
    world = World()
    queued = [(0.0, world.request(1, 0.0, Limits(1, 1))) for _ in range(6)]
    world.run(*queued, *((0.5 + flow / 100, world.request(flow, 0.0, Limits(1, 1))) for flow in (2, 3)))
    # When 2 and 3 come, a turn of 1 has been taken and one of the same round waits.
    assert world.flows() == [1, 1, 2, 3, 1, 1, 1, 1]


def test_a_short_query_passes_long_scans() -> None:
    world = World()
    scans = [(0.0, forever(world, flow, 0.1)) for flow in range(1, 12) for _ in range(3)]
    world.run(*scans, (20.0, world.request(99)), until_s=1040)
    assert len(world.sent) > 380
    (waited_until_s,) = [sent_s for sent_s, flow in world.sent if flow == 99]
    assert waited_until_s - 1020 < 2.0
    counts = [world.flows().count(flow) for flow in range(1, 12)]
    assert max(counts) - min(counts) <= 3


def test_the_stricter_server_gets_its_turns_too() -> None:
    world = World()
    lax = [(0.0, forever(world, 1, 0.1, Limits(20, 3))) for _ in range(3)]
    world.run(*lax, (0.0, forever(world, 2, 0.1, Limits(5, 1))), until_s=1030)
    for index, (sent_s, flow) in enumerate(world.sent):
        if flow == 2:
            assert sum(1 for before_s, _ in world.sent[: index + 1] if before_s > sent_s - 1.0) <= 5
    assert world.flows().count(2) > 25


def test_a_pause_holds_everybody_never_shortens_and_ends() -> None:
    world = World()
    world.turns.pause(world.now_s, 7.0)
    world.turns.pause(world.now_s, 2.0)
    world.run(*((0.0, world.request(flow)) for flow in (1, 2)))
    assert [sent_s >= 1007 for sent_s, _ in world.sent] == [True, True]
    assert world.sent[-1][0] < 1007 + SLICE_S
    world.turns.pause(world.now_s, 1e9)
    assert world.turns.paused_until_s == world.now_s + MAX_PAUSE_S


def test_looks_are_never_far_apart() -> None:
    turns = Turns(sent_s=[1000.0] * 10, paused_until_s=1100.0)
    for flow in range(1, 40):
        place = turns.join(flow, 1000.0)
        assert place
        assert 0 < turns.ask(place, 1000.0, lambda: 0, TEN) <= LONGEST_LOOK_S


def test_the_dead_are_passed_over() -> None:
    world = World()
    dead = world.turns.join(1, world.now_s)
    assert dead
    assert world.turns.ask(dead, world.now_s, lambda: 3, TEN) > 0
    world.run((0.0, world.request(2)))
    assert world.flows() == [2]
    assert GRACE_S < world.sent[0][0] - 1000 < GRACE_S + 0.1


def test_a_late_one_comes_back_to_its_place() -> None:
    turns = Turns(sent_s=[1000.0] * 10)
    first, second = (turns.join(flow, 1000.0) for flow in (1, 2))
    assert first
    assert second
    turns.ask(first, 1000.0, lambda: 0, TEN)
    turns.ask(second, 1000.0 + 0.9, lambda: 0, TEN)
    assert [place.flow for place in turns.places] == [2]
    turns.ask(first, 1000.0 + 0.95, lambda: 0, TEN)
    assert [place.flow for place in turns.places] == [1, 2]


def test_who_leaves_pays_nothing() -> None:
    turns = Turns()
    places: list[Optional[Place]] = [turns.join(1, 1000.0) for _ in range(3)]
    turns.join(2, 1000.0)
    for place in places:
        assert place
        turns.leave(place)
    again = turns.join(1, 1000.0)
    assert again
    assert again.round <= 1
    assert [place.flow for place in turns.places] == [2, 1]


def test_the_queue_has_an_end() -> None:
    turns = Turns()
    for _ in range(MAX_PLACES):
        assert turns.join(random.randint(1, 300), 1000.0)
    assert turns.join(1, 1000.0) is None
    assert len(pack(turns, BOOT)) <= SIZE_BYTES
    # All of them are dead by then.
    assert turns.join(1, 1000.0 + LONGEST_LOOK_S + GRACE_S + 0.1)


places = st.builds(Place, st.integers(0, 2**40), st.integers(0, 2**62), st.integers(1, 2**32 - 1), st.floats(900, 1001))
states = st.builds(
    Turns,
    sent_s=st.lists(st.floats(990, 1000), max_size=20).map(sorted),
    paused_until_s=st.floats(max_value=1000 + MAX_PAUSE_S, allow_nan=False),
    round=st.integers(0, 2**40),
    next_ticket=st.integers(0, 2**62),
    next_round=st.dictionaries(st.integers(1, 2**32 - 1), st.integers(0, 2**40), max_size=5),
    places=st.lists(places, max_size=20).map(sorted),
)


@settings(max_examples=100, deadline=None)
@given(states, st.binary(max_size=50))
def test_a_record_comes_back_whole(turns: Turns, rest: bytes) -> None:
    assert unpack(pack(turns, BOOT) + rest, BOOT, 1000.0) == turns
    assert unpack(pack(turns, BOOT), bytes(16), 1000.0) is None


@settings(max_examples=200, deadline=None)
@given(states, st.data())
def test_a_garbled_record_is_noticed(turns: Turns, data: st.DataObject) -> None:
    whole = bytearray(pack(turns, BOOT))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[at] ^= data.draw(st.integers(1, 255))
        assert unpack(bytes(whole), BOOT, 1000.0) is None
    else:
        assert unpack(bytes(whole[:at]), BOOT, 1000.0) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_record(noise: bytes) -> None:
    assert unpack(noise, BOOT, 1000.0) is None


def test_numbers_that_cannot_be_are_refused() -> None:
    for turns in (
        Turns(sent_s=[2000.0]),
        Turns(sent_s=[999.0, 998.0]),
        Turns(paused_until_s=1e12),
        Turns(paused_until_s=float("nan")),
        Turns(next_ticket=2**63),
        Turns(places=[Place(1, 1, 1, float("inf"))]),
        Turns(places=[Place(2, 1, 1, 1000.0), Place(1, 1, 1, 1000.0)]),
    ):
        assert unpack(pack(turns, BOOT), BOOT, 1000.0) is None, turns
