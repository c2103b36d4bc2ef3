"""A limit that processes share, in a directory of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cio_fdw import statefile
from cio_fdw.state import StateDirectory
from cio_fdw.throttle.shared import SharedThrottle
from cio_fdw.throttle.turns import Limits

KEY = "0123456789abcdef"
ROOT = Path(statefile.__file__).parents[1]


def throttle_at(place: Path, per_s: int = 10, at_once: int = 3, key: str = KEY) -> SharedThrottle:
    return SharedThrottle(StateDirectory(place), key, Limits(per_s, at_once))


def file_of(place: Path) -> Path:
    return place / f"turns-{KEY}"


def waited(throttle: SharedThrottle) -> float:
    with throttle.slot(time.sleep) as turn:
        return turn.waited_s


def use_up(throttle: SharedThrottle, turns: int = 10) -> None:
    for _ in range(turns):
        waited(throttle)


@contextmanager
def process(place: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with `throttle`; its output can be read line by line."""
    head = f"""
        import sys, time
        from pathlib import Path
        from cio_fdw.state import StateDirectory
        from cio_fdw.throttle.shared import SharedThrottle
        from cio_fdw.throttle.turns import Limits
        directory = StateDirectory(Path({str(place)!r}))
        throttle = SharedThrottle(directory, {KEY!r}, Limits(10, 3))
        def say(text):
            sys.stdout.write(text + "\\n"); sys.stdout.flush()
    """
    program = textwrap.dedent(head) + textwrap.dedent(body)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()
