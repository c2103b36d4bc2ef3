"""A Redis of one's own, from the system's package redis-server, with TLS where it has a certificate."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Optional

from tests.certificates import Own
from tests.unit.http_servers import Kit

PASSWORD = "redis-secret"


def program() -> Optional[str]:
    return shutil.which("redis-server")


class RedisServer:
    """Runs within `with`; can be stopped and started again on the same port."""

    def __init__(
        self, directory: Path, environment: Optional[Mapping[str, str]] = None, tls: Optional[Own] = None
    ) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._directory = directory
        self._tls = tls
        self._process: Optional[subprocess.Popen[bytes]] = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"rediss://localhost:{self.port}/3" if self._tls else f"redis://127.0.0.1:{self.port}/3"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    def start(self) -> None:
        path = program()
        assert path
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [path, *self._listening(), *options, "--requirepass", PASSWORD, "--dir", str(self._directory)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server did not start")

    def _listening(self) -> list[str]:
        if self._tls is None:
            return ["--port", str(self.port)]
        files = ["--tls-cert-file", str(self._tls.certificate), "--tls-key-file", str(self._tls.key)]
        return ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no", *files]

    @contextmanager
    def heard_late(self, by_s: float) -> Iterator[str]:
        """A URL of it, whose answers take that much longer."""

        def handler(conn: socket.socket, _number: int) -> None:
            with socket.create_connection(("127.0.0.1", self.port)) as upstream:
                threading.Thread(target=forward, args=(conn, upstream, 0.0), daemon=True).start()
                forward(upstream, conn, by_s)

        with Kit() as kit:
            yield f"redis://127.0.0.1:{kit.server(handler).port}/3"

    def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()


def forward(source: socket.socket, target: socket.socket, after_s: float) -> None:
    """Hands on what comes until either side ends."""
    with suppress(OSError):
        while piece := source.recv(65536):
            time.sleep(after_s)
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
