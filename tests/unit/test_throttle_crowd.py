"""Hundreds of waiting backends: what they do while they wait must leave the processors to the one whose turn it is.

Nothing here is measured in seconds of a busy machine; counted are looks at the queue and tries to lock the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from cio_fdw import statefile
from cio_fdw.state import StateDirectory
from cio_fdw.statefile import LAST_LOCK_LOOK_S, StateFile
from cio_fdw.throttle.turns import Turns
from tests.unit.test_throttle import World, forever

ROOT = Path(statefile.__file__).parents[1]
WAITING = 200
LOOKS_PER_TURN = 45
"""29 as it is: each waits about a second between two looks."""
TRIES_IN_VAIN = 40
"""For each lock that was had; 6 to 9 on a machine under load, up to 100 with a try every millisecond."""


@dataclass
class CountedTurns(Turns):
    looks: int = 0

    def ask(self, *args: object) -> float:
        self.looks += 1
        return super().ask(*args)  # type: ignore[arg-type]


def test_looks_at_the_queue() -> None:
    turns = CountedTurns()
    world = World(turns=turns)
    world.run(*((0.0, forever(world, flow, 0.08)) for flow in range(1, WAITING + 1)), until_s=1040)
    assert len(world.sent) > 380
    assert turns.looks / len(world.sent) < LOOKS_PER_TURN


class EnoughError(Exception):
    """A second has passed."""


def test_tries_to_lock_a_file_that_is_locked(tmp_path: Path) -> None:
    tried = 0
    slept_s = 0.0

    class Locked(StateFile):
        def _try_lock(self) -> bool:
            nonlocal tried
            tried += 1
            return False

    def sleep(seconds: float) -> None:
        nonlocal slept_s
        assert 0 < seconds <= LAST_LOCK_LOOK_S
        slept_s += seconds
        if slept_s > 1.0:
            raise EnoughError

    with pytest.raises(EnoughError), Locked(StateDirectory(tmp_path), "x", 10).locked(sleep):
        pytest.fail("it was locked")
    assert tried < 100


CROWD = """
    import json, mmap, os, struct, sys, time
    from pathlib import Path
    from cio_fdw import statefile
    from cio_fdw.state import StateDirectory
    from cio_fdw.throttle.shared import SharedThrottle
    from cio_fdw.throttle.turns import Limits

    COUNTS = struct.Struct("QQQ")       # turns, tries in vain, locks
    place, waiting, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    seen = mmap.mmap(-1, COUNTS.size * waiting)

    def backend(number):
        counts = [0, 0, 0]
        try_lock = statefile.StateFile._try_lock

        def counted(file):
            locked = try_lock(file)
            counts[1 + locked] += 1
            COUNTS.pack_into(seen, COUNTS.size * number, *counts)
            return locked

        statefile.StateFile._try_lock = counted
        throttle = SharedThrottle(StateDirectory(place), "0123456789abcdef", Limits(10, 3))
        while True:
            with throttle.slot(time.sleep):
                counts[0] += 1
                time.sleep(0.05)

    def total():
        return [sum(column) for column in zip(*COUNTS.iter_unpack(seen[:]))]

    children = []
    for number in range(waiting):
        child = os.fork()
        if not child:
            backend(number)
        children.append(child)
    before = total()
    time.sleep(seconds)
    after = total()
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    print(json.dumps([later - sooner for sooner, later in zip(before, after)]))
"""


def test_two_hundred_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CROWD), str(tmp_path / "state"), str(WAITING), "4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=120)
    turns, in_vain, locks = json.loads(done.stdout)
    assert turns, "they keep each other from the lock"
    assert in_vain / locks < TRIES_IN_VAIN, f"{turns} turns, {in_vain} tries in vain, {locks} locks"
