"""`cio-fdw up`: an embedded server with everything set up, until it is told to stop."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional

from cio_fdw.secret import Secret
from cio_fdw.server.account import server_account
from cio_fdw.server.build import build_and_install
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.errors import ServerError
from cio_fdw.server.postgres import embedded_pg_config, installation

POLL_S = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception, so that nothing swallows it on the way out."""


def key_from_environment(name: str) -> Secret:
    """The App API key in environment variable `name`. Raises ServerError when it is unset or empty."""
    text = os.environ.get(name, "").strip()
    if not text:
        raise ServerError(
            f"the environment variable {name} holds no App API key: export {name}=… (or --api-key-env NAME)"
        )
    return Secret(text)


def build_dir_for(python: Path, pg_config: Path) -> Path:
    """Where the extension is built: in the environment of `python` if writable, else in the user's cache."""
    name = "build-" + hashlib.sha256(f"{python}\0{pg_config}".encode()).hexdigest()[:12]
    prefix = python.parent.parent
    if os.access(prefix, os.W_OK) and " " not in str(prefix):
        return prefix / "lib" / "cio_fdw" / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cio_fdw" / name


def interpreter() -> Path:
    """This interpreter, for the server to embed. Raises ServerError when the server's user cannot run it."""
    python = Path(sys.executable)
    account = server_account()
    if account.switch and not account.succeeds([str(python), "-I", "-c", "import cio_fdw"], env={"LC_ALL": "C"}):
        raise ServerError(
            f"the user {account.name}, who runs the server, cannot run {python} with cio_fdw in it: "
            "install cio_fdw for an interpreter that everybody can read, such as a venv of /usr/bin/python3"
        )
    return python


@contextmanager
def running(
    *,
    server_options: Mapping[str, str],
    key: Secret,
    data_dir: Optional[Path] = None,
    port: int = 0,
    settings: Optional[Mapping[str, str]] = None,
) -> Iterator[Cluster]:
    """An embedded server with extension, server `customerio`, mapping and tables. Raises ServerError."""
    from cio_fdw.server.database import set_up  # needs psycopg, which only the extra `embedded` brings

    python = interpreter()
    pg_config = embedded_pg_config()
    build_and_install(pg_config, python, build_dir_for(python, pg_config))
    with Cluster(installation(pg_config).bin_dir, data_dir=data_dir, port=port, settings=settings) as cluster:
        set_up(cluster.socket_url(), server_options, key)
        yield cluster


@contextmanager
def stop_signals() -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP raise StopRequested once; further ones do not disturb the clean-up."""

    def on_signal(_number: int, _frame: Optional[FrameType]) -> NoReturn:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise StopRequested

    before = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def up(*, server_options: Mapping[str, str], key: Secret, data_dir: Optional[Path], port: int) -> int:
    """Runs until a signal (exit code 0) or until the server ends by itself (ServerError)."""
    try:
        with stop_signals(), running(server_options=server_options, key=key, data_dir=data_dir, port=port) as cluster:
            sys.stdout.write(f"ready: {cluster.url()}\n")
            sys.stdout.flush()
            while not cluster.has_ended():
                time.sleep(POLL_S)
            raise ServerError(f"the server ended by itself:\n{cluster.log_tail()}")
    except StopRequested:
        return 0
