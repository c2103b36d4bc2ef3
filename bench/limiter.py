"""Compares ways to keep one rate limit over many processes, and measures twelve backends: `python -m bench.limiter`.

    python -m bench.limiter [--write] [--seconds N] [--requirements PACKAGE …]

Twelve processes take turns as fast as they can and send a request in each; what counts is what the simulated API sees
arrive. Then processes are killed, the state is overwritten with noise, the disk is full. The libraries come from PyPI
into a virtual environment that is made for the run. What needs a Redis where there is no redis-server, or a mount
where that is not allowed, is left out, and the table says so. `--write` puts the figures into docs/rate-limits.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from bench import twelve
from bench.limiters import AT_ONCE, CANDIDATES, KEY_ENV, PER_S, REDIS_URL_ENV, Candidate
from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.ledger import busiest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/rate-limits.md"
PROCESSES, LATENCY_MS = 12, 80
REQUIREMENTS = ("pyrate-limiter", "filelock<4", "limits", "redis")
"""pyrate-limiter 4.5 passes a bool as a timeout, which filelock 4 refuses."""
CROWD = (
    "limiter", "requests/s", "most in a second", "429", "most at once", "turns of each", "longest wait", "free turn",
)  # fmt: skip
HARM = ("limiter", "one killed every half second", "state overwritten with noise", "disk full")
KILL_EVERY_S = 0.5
SMALL_DISK = "1m"
AFTERWARDS_S = 4.0
"""How long a process tries after its state was harmed."""


@dataclass(frozen=True)
class Stage:
    """What all measurements need: an interpreter with the libraries, the API, and Redis where there is one."""

    python: str
    api: Simulator
    redis_url: Optional[str]
    seconds: float

    def start(self, name: str, place: Path, seconds: float) -> subprocess.Popen[bytes]:
        """A process that takes turns for so long; 0: one that measures a free turn."""
        own = {"PYTHONPATH": str(ROOT), KEY_ENV: self.api.key, REDIS_URL_ENV: self.redis_url or ""}
        url = self.api.url if seconds else ""
        command = [self.python, "-m", "bench.limiters", name, str(place), url, str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **own})

    def missing(self, candidate: Candidate) -> str:
        """Why it cannot be measured; empty when it can."""
        if candidate.redis and self.redis_url is None:
            return "redis-server is not installed"
        imports = "; ".join(f"import {module}" for module in candidate.modules) or "pass"
        done = subprocess.run([self.python, "-c", imports], capture_output=True, check=False)
        return last_line(done.stderr) if done.returncode else ""


def turns_of(process: subprocess.Popen[bytes]) -> Any:
    """What the process printed. Raises RuntimeError with its complaint."""
    out, said = process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace")[-2000:])
    return json.loads(out)


def last_line(text: bytes) -> str:
    """The kind of error that ended a process."""
    lines = text.decode(errors="replace").strip().splitlines() or ["nothing"]
    return lines[-1].partition("(")[0].strip()[:90]


def steady_per_s(times_s: list[float]) -> float:
    """Requests per second once the first window is full."""
    return (len(times_s) - PER_S) / (times_s[-1] - times_s[PER_S - 1])


def crowd(stage: Stage, name: str, place: Path) -> str:
    """One row of the first table."""
    stage.api.reset()
    processes = [stage.start(name, place, stage.seconds) for _ in range(PROCESSES)]
    waited: list[list[float]] = [turns_of(process) for process in processes]
    stats, log = stage.api.stats(), stage.api.log()
    accepted_s = [entry["t"] for entry in log if entry["status"] == 200]
    counts = [len(one) for one in waited]
    longest_s = max(wait_s for one in waited for wait_s in one)
    free_ms = float(turns_of(stage.start(name, place, 0)))
    return (
        f"| {name} | {steady_per_s(accepted_s):.2f} | {stats['max_per_s']} | "
        f"{stats['rate_limited'] / len(log):.1%} | {stats['max_in_flight']} | {min(counts)} to {max(counts)} | "
        f"{longest_s:.1f} s | {free_ms:.2f} ms |"
    )


def killed(stage: Stage, name: str, place: Path) -> str:
    """Twelve processes of which one is killed and replaced every half second: what the API sees meanwhile."""
    stage.api.reset()
    rng = random.Random(5)
    end_s = time.monotonic() + stage.seconds
    processes = [stage.start(name, place, stage.seconds) for _ in range(PROCESSES)]
    while (left_s := end_s - time.monotonic()) > KILL_EVERY_S:
        time.sleep(KILL_EVERY_S)
        number = rng.randrange(PROCESSES)
        processes[number].kill()
        processes[number].communicate()
        processes[number] = stage.start(name, place, left_s)
    for process in processes:
        process.communicate()
    times_s = [entry["t"] for entry in stage.api.log()]
    silence_s = max(later - sooner for sooner, later in zip(times_s, times_s[1:]))
    return f"silence of at most {silence_s:.1f} s, {busiest(times_s)} in a second"


def afterwards(stage: Stage, name: str, place: Path) -> str:
    """What becomes of a process that starts now."""
    stage.api.reset()
    began_s = time.monotonic()
    process = stage.start(name, place, AFTERWARDS_S)
    try:
        _out, said = process.communicate(timeout=AFTERWARDS_S * 3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "hangs"
    log = stage.api.log()
    if process.returncode:
        return f"ends with {last_line(said)}"
    return f"goes on after {log[0]['t'] - began_s:.1f} s, {busiest(entry['t'] for entry in log)} in a second"


def garbled(stage: Stage, name: str, place: Path) -> str:
    for path in (path for path in place.rglob("*") if path.is_file()):
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(min(4096, max(path.stat().st_size, 1))))
    return afterwards(stage, name, place)


def full(stage: Stage, name: str, place: Path) -> str:
    """The disk fills up after the state was made."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        return "not measured: a mount is not allowed"
    try:
        stage.start(name, place, 1.5).communicate()
        with (place / "filler").open("wb", buffering=0) as file:
            fill(file)
        return afterwards(stage, name, place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(file: Any) -> None:
    size_bytes = 2**16
    while size_bytes:
        try:
            file.write(bytes(size_bytes))
        except OSError:
            size_bytes //= 2


def harm(stage: Stage, name: str) -> str:
    """One row of the second table."""
    cells = []
    for measure in (killed, garbled, full):
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            if measure is garbled:
                stage.start(name, place, 1.5).communicate()
            no_file = measure is not killed and CANDIDATES[name].redis
            cells.append("no file" if no_file else measure(stage, name, place))
    return f"| {name} | {' | '.join(cells)} |"


@contextmanager
def redis() -> Iterator[Optional[str]]:
    """The address of a Redis that runs within, None where there is no redis-server."""
    path = shutil.which("redis-server")
    if path is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as directory:
        port = random.SystemRandom().randrange(20_000, 30_000)
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory]
        with subprocess.Popen([path, *options], stdout=subprocess.DEVNULL) as process:
            try:
                time.sleep(0.5)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                process.terminate()


@contextmanager
def environment(requirements: list[str]) -> Iterator[str]:
    """The interpreter of a new virtual environment that has these packages."""
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = f"{directory}/bin/python"
        subprocess.run([python, "-m", "pip", "install", "-qq", *requirements], check=True)
        yield python


def versions(python: str) -> str:
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run(
        [python, "-c", code, "pyrate-limiter", "filelock", "limits", "redis"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()


def table(*titles: str) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join('---' for _ in titles)} |"


def report(seconds: float, requirements: list[str]) -> Iterator[str]:
    with (
        environment(requirements) as python,
        redis() as redis_url,
        Simulator(messages=50, campaigns=3, rate=PER_S, latency_ms=LATENCY_MS, seed=3) as api,
    ):
        stage = Stage(python, api, redis_url, seconds)
        yield f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} processors, Python {platform.python_version()};"
        yield f"{versions(python)}. {PROCESSES} processes, {PER_S} a second, {AT_ONCE} at once, {seconds:.0f} s,"
        yield f"an API that takes {LATENCY_MS} ms and refuses the eleventh request of a second.\n"
        yield from table(*CROWD)
        usable = []
        for name, candidate in CANDIDATES.items():
            if missing := stage.missing(candidate):
                yield f"| {name} | not measured: {missing} |"
                continue
            usable.append(name)
            with tempfile.TemporaryDirectory() as place:
                yield crowd(stage, name, Path(place))
        yield ""
        yield from table(*HARM)
        for name in usable:
            yield harm(stage, name)
    yield ""
    yield from twelve.report()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.limiter")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each crowd")
    parser.add_argument("--requirements", nargs="*", default=list(REQUIREMENTS), help="packages for the comparison")
    parser.add_argument("--write", action="store_true", help=f"write the figures into {DOCUMENT.relative_to(ROOT)}")
    arguments = parser.parse_args()
    lines = []
    for line in report(arguments.seconds, arguments.requirements):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        text = DOCUMENT.read_text()
        begin, end = "<!-- limiter:begin -->\n", "<!-- limiter:end -->"
        head, tail = text.split(begin)[0], text.split(end)[1]
        DOCUMENT.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)
    return 0


if __name__ == "__main__":
    sys.exit(main())
