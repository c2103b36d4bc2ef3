"""Measures, and prints the figures of bench/README.md as Markdown; `--write` puts them there, with their plots. Without
it the plots go to a new directory, which is named at the end.

    python -m bench [--only NAME…] [--write]

Each section has a simulated API and servers of its own, and runs alone. `sync`, `limiter` and `cancel` are programs
of their own, and run only when they are named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from bench import plots
from bench.conversion import conversion
from bench.growth import growth
from bench.latency import latency
from bench.limit import limit
from bench.report import write_section
from bench.schedule import schedule
from bench.traffic import traffic

SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "limit": limit,
    "traffic": traffic,
    "schedule": schedule,
    "conversion": conversion,
    "latency": latency,
    "growth": growth,
}
PROGRAMS = {"sync": "bench.sync", "limiter": "bench.limiter", "cancel": "bench.cancel"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measures cio_fdw against the simulator.")
    names = [*SECTIONS, *PROGRAMS]
    parser.add_argument("--only", nargs="+", choices=names, default=list(SECTIONS), metavar="NAME", help=str(names))
    parser.add_argument("--write", action="store_true", help="write the figures into bench/README.md")
    arguments = parser.parse_args()
    if not arguments.write:
        plots.IMAGES = Path(tempfile.mkdtemp(prefix="cio_fdw-bench-"))
    for name in arguments.only:
        began_s = time.monotonic()
        if program := PROGRAMS.get(name):
            subprocess.run([sys.executable, "-m", program, *(["--write"] if arguments.write else [])], check=True)
        else:
            lines = list(_printed(SECTIONS[name]()))
            if arguments.write:
                write_section(name, lines)
        print(f"[{name}: {time.monotonic() - began_s:.0f} s]\n", file=sys.stderr, flush=True)
    if not arguments.write:
        print(f"plots: {plots.IMAGES}", file=sys.stderr)
    return 0


def _printed(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        print(line, flush=True)
        yield line


if __name__ == "__main__":
    sys.exit(main())
