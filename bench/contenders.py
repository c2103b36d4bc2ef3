"""Who answers a task: cio_fdw through its native door or through Multicorn2, and what a user would pick instead.

    with cio_fdw(options, key) as contender: contender.run(task) -> Figures

Peers get a virtual environment of their own beside that of the project, made on first use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import pytest

from bench.backend import Backend
from bench.tasks import Figures, Task
from cio_fdw.secret import Secret
from cio_fdw.server.postgres import embedded_pg_config
from cio_fdw.server.up import running
from cio_fdw.simulator.client import Simulator
from tests.multicorn import door

MULTICORN_VARIABLE = "CIO_MULTICORN_PG_CONFIG"
PG_CONFIGS = ("/usr/lib/postgresql/*/bin/pg_config", "/usr/pgsql-*/bin/pg_config", "/usr/local/pgsql/bin/pg_config")
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "loop": ("loop.py", ()),
    "dlt": ("dlt_rest_api.py", ("dlt[duckdb]",)),
}


@dataclass(frozen=True)
class Contender:
    name: str
    run: Callable[[Task], Figures]


def together(contender: Contender, tasks: Sequence[Task]) -> list[Figures]:
    """All tasks at once, each in a process of its own; `seconds` of every one are those of the last to end."""
    found: list[Figures] = []
    threads = [threading.Thread(target=lambda t=task: found.append(contender.run(t))) for task in tasks]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) != len(tasks):
        raise RuntimeError(f"{contender.name}: {len(tasks) - len(found)} of {len(tasks)} failed")
    seconds = time.monotonic() - began_s
    return [one._replace(seconds=seconds) for one in found]


@contextmanager
def cio_fdw(options: Mapping[str, str], key: Secret) -> Iterator[tuple[Contender, str]]:
    """The native door in the embedded server, and the address of that server."""
    with running(server_options=options, key=key) as cluster:
        url = cluster.socket_url()
        yield Contender("cio_fdw", lambda task: copied(url, task)), url


@contextmanager
def multicorn(options: Mapping[str, str], key: Secret) -> Iterator[tuple[Contender, str]]:
    """The second door, where there is a Multicorn2 that can load this package. Raises LookupError with the reason."""
    try:
        with door.cluster(multicorn_pg_config(), {"jit": "off"}) as cluster:
            url = cluster.socket_url()
            door.set_up(url, options, key)
            yield Contender("Multicorn2", lambda task: copied(url, task)), url
    except pytest.skip.Exception as reason:
        raise LookupError(str(reason)) from None


def multicorn_pg_config() -> Path:
    """Of $CIO_MULTICORN_PG_CONFIG, of the embedded server, or of a usual place. Raises LookupError."""
    if named := os.environ.get(MULTICORN_VARIABLE):
        return Path(named)
    usual = [path for pattern in PG_CONFIGS for path in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    for path in (embedded_pg_config(), *usual):
        if door.is_installed(path):
            return path
    raise LookupError(f"no PostgreSQL here has Multicorn2 (${MULTICORN_VARIABLE} names its pg_config)")


def copied(url: str, task: Task) -> Figures:
    """A table made of the whole answer: every column is converted and stored. Memory is the backend's."""
    with Backend(url) as backend:
        began_s = time.monotonic()
        backend.execute(f"create temp table copy as select * {task.query}")
        seconds = time.monotonic() - began_s
        memory_mb = backend.memory_mb("VmHWM")
        return Figures(backend.run("select count(*) from copy").result[0][0], seconds, memory_mb)


def peer(name: str, simulator: Simulator) -> Contender:
    program, packages = PEERS[name]
    python = environment_of(name, packages)
    path = Path(__file__).with_name("peers") / program

    def run(task: Task) -> Figures:
        began_s = time.monotonic()
        done = subprocess.run(
            [str(python), str(path), simulator.url, *task.words],
            env={**os.environ, "CIO_APP_API_KEY": simulator.key, "RUNTIME__DLTHUB_TELEMETRY": "false"},
            check=False,
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - began_s
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
        rows, memory_mb = done.stdout.split()[-2:]
        return Figures(int(rows), seconds, float(memory_mb))

    return Contender(name, run)


def environment_of(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a peer: ours when it needs nothing more, otherwise one of its own environment."""
    if not packages:
        return Path(sys.executable)
    directory = Path(sys.prefix).parent / f"peer-{name}"
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        venv.create(directory, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qq", *packages], check=True)
        (directory / "complete").touch()
    return python
