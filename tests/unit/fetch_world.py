"""A fetcher between scripted answers and a fake clock: what the tests of fetch share.

    world = World(503, 200)
    assert world.fetch() == {}
    assert world.stop.slept_s == [0.5]

A step of the script is a status, a whole Answer, or the error that the transport raises.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Callable, Union

import pytest
from requests.structures import CaseInsensitiveDict

from cio_fdw.errors import CioError, Where
from cio_fdw.fetch import Fetcher
from cio_fdw.lanes import Stop
from cio_fdw.options import resolve
from cio_fdw.stats import Stats
from cio_fdw.throttle import Turn
from cio_fdw.transport import Answer

KEY = "s3cr3t-k3y"
WHERE = Where("messages", "/v1/messages")
TARGET = "/v1/messages?email=a%40b.example"
SETTINGS = resolve({"timeout": "60"}, mapping={"app_api_key": KEY})

Step = Union[int, Answer, Exception]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class ClockStop(Stop):
    """A Stop whose sleep moves the clock instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.check()
        self.slept_s.append(seconds)
        self.clock.now_s += seconds


class MemoryThrottle:
    """Counts turns and keeps pauses, in this process alone and without a limit."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.in_flight = 0
        self.paused_until_s = 0.0
        self._clock = clock

    @contextmanager
    def slot(self, sleep: Callable[[float], None]) -> Iterator[Turn]:
        waited_s = max(0.0, self.paused_until_s - self._clock())
        if waited_s:
            sleep(waited_s)
        self.in_flight += 1
        try:
            yield Turn(waited_s, lambda: True, lambda: None)
        finally:
            self.in_flight -= 1

    def pause(self, seconds: float, _sleep: Callable[[float], None]) -> None:
        self.paused_until_s = max(self.paused_until_s, self._clock() + seconds)


class World:
    """A fetcher between scripted answers and a fake clock. Each answer takes `answer_s` seconds."""

    def __init__(self, *steps: Step, answer_s: float = 0.25, random: float = 1.0, **changes: Any) -> None:
        self.steps = list(steps)
        self.answer_s = answer_s
        self.clock = Clock()
        self.stop = ClockStop(self.clock)
        self.stats = Stats()
        self.throttle = MemoryThrottle(self.clock)
        self.pauses_s: list[float] = []
        self.in_flight: list[int] = []
        self.targets: list[str] = []
        changed = replace(SETTINGS, **changes)
        transport: Any = self
        self.fetcher = Fetcher(transport, self, changed, self.stats, clock=self.clock, random=lambda: random)

    # the transport

    def get(self, where: Where, target: str, *, timeout_s: float, stop: Stop, take_turn: Callable[[], None]) -> Answer:
        assert (where, timeout_s, stop) == (WHERE, self.fetcher._settings.timeout_s, self.stop)
        take_turn()
        self.in_flight.append(self.throttle.in_flight)
        self.targets.append(target)
        self.clock.now_s += self.answer_s
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return answer(step) if isinstance(step, int) else step

    # the throttle

    def slot(self, sleep: Callable[[float], None]) -> AbstractContextManager[Turn]:
        return self.throttle.slot(sleep)

    def pause(self, seconds: float, sleep: Callable[[float], None]) -> None:
        self.pauses_s.append(seconds)
        self.throttle.pause(seconds, sleep)

    def fetch(self, decode: Callable[[bytes], Any] = json.loads) -> Any:
        return self.fetcher.fetch(self.stop, WHERE, TARGET, decode)

    def error(self, decode: Callable[[bytes], Any] = json.loads) -> CioError:
        with pytest.raises(CioError) as caught:
            self.fetch(decode)
        shown = "".join(traceback.format_exception(CioError, caught.value, caught.value.__traceback__))
        assert KEY not in shown + repr(vars(caught.value))
        assert "b.example" not in shown
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert self.throttle.in_flight == 0
        return caught.value


def answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, CaseInsensitiveDict(named), body)
