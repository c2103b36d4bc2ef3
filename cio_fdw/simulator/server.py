"""The running simulator: uvicorn on a bound socket, the ready line, messages that appear while it runs."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from typing import Optional

import uvicorn

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.admin import Admin
from cio_fdw.simulator.api import Api
from cio_fdw.simulator.arrivals import DatedSocket
from cio_fdw.simulator.data import make_workspace
from cio_fdw.simulator.data.messages import Sender
from cio_fdw.simulator.gate import Control, Gate
from cio_fdw.simulator.live import Live
from cio_fdw.simulator.wire import Wire
from cio_fdw.simulator.world import World

KEEP_ALIVE_S = 75
SHUTDOWN_S = 1
"""Hanging answers (a fault) are given up after this when the simulator stops."""


@dataclass(frozen=True)
class Settings:
    """What the command line decides. `key` does not print."""

    messages: int
    campaigns: int
    latency_ms: float
    rate_per_s: int
    seed: int
    host: str
    port: int
    key: str = field(repr=False)
    now_s: int
    order: str
    live_per_minute: float
    use_gzip: bool
    until_stdin_closes: bool


class Server(uvicorn.Server):
    """Prints the ready line when it listens, and runs the live messages."""

    def __init__(self, config: uvicorn.Config, live: Optional[Live]) -> None:
        super().__init__(config)
        self._live = live
        self._live_task: Optional[asyncio.Task[None]] = None

    async def startup(self, sockets: Optional[list[socket.socket]] = None) -> None:
        await super().startup(sockets)
        if self._live is not None:
            self._live_task = asyncio.get_running_loop().create_task(self._live.run())
        if sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"ready: http://{shown}:{port}\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: Optional[list[socket.socket]] = None) -> None:
        if self._live_task is not None:
            self._live_task.cancel()
        await super().shutdown(sockets)


def serve(settings: Settings) -> int:
    """Runs until SIGTERM or Ctrl-C; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops cleanly and then raises the signal again, to the handler that it found.
        signal.signal(number, _quit)
    try:
        listener = bind(settings.host, settings.port)
    except OSError as error:
        sys.stderr.write(f"cio-fdw simulate: cannot listen on {settings.host} port {settings.port}: {error.strerror}\n")
        return 1
    world, sender = build(settings)
    control = Control(settings.rate_per_s, settings.latency_ms, settings.use_gzip)
    gate = Gate(Api(world, settings.key), Admin(world, control, sender).app(), control)
    config = uvicorn.Config(
        gate,
        http=Wire,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    live = None
    if settings.live_per_minute > 0:
        rng = random.Random(settings.seed)  # noqa: S311 - no secret comes of it
        live = Live(world.views["messages"].table, sender, settings.live_per_minute, rng)
    server = Server(config, live)
    if settings.until_stdin_closes:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    server.run(sockets=[listener])
    return 0


def build(settings: Settings) -> tuple[World, Sender]:
    """The tables with all rows. Their objects live as long as the process, so the collector is told to skip them."""
    gc.disable()
    workspace = make_workspace(settings.seed, settings.now_s, settings.campaigns, settings.messages)
    world = World(ENDPOINTS, workspace.rows, settings.order)
    gc.collect()
    gc.freeze()
    gc.enable()
    return world, workspace.sender


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at the address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = DatedSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _quit(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _stop_at_eof(server: Server) -> None:
    """Stops the server when whoever started it has gone, however that ended."""
    # Not through sys.stdin: a thread blocked in it holds a lock that the interpreter's end would wait for.
    while os.read(0, 4096):
        pass
    server.should_exit = True
