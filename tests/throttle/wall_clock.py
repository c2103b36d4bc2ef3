"""The wall clock of other processes, as a test sets it: see clock.c.

with wall_clock() as clock: make_cluster(…, env=clock.environment); clock.step(-3600)
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.preload import preloadable


@dataclass
class WallClock:
    environment: Mapping[str, str]
    _file: Path

    def step(self, ahead_s: int) -> None:
        """Sets it that far ahead of the true one."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", ahead_s))


@contextmanager
def wall_clock() -> Iterator[WallClock]:
    """Raises LookupError without a compiler."""
    with (
        preloadable(Path(__file__).with_name("clock.c")) as library,
        tempfile.TemporaryDirectory(prefix="cio_fdw-clock-") as name,
    ):
        Path(name).chmod(0o755)
        file = Path(name) / "step"
        file.write_bytes(bytes(8))
        file.chmod(0o644)
        yield WallClock({"LD_PRELOAD": library, "CIO_CLOCK_STEP": str(file)}, file)
