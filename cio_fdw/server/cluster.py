"""A PostgreSQL server of one's own: initdb, start, stop, and what was temporary removed.

    with Cluster(bin_dir) as cluster:
        psycopg.connect(cluster.socket_url())

The unix socket lies in a private directory and needs no password; TCP on 127.0.0.1 needs the random one in `url()`.
Errors: ServerError.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional
from urllib.parse import quote

from cio_fdw.server.account import Account, server_account
from cio_fdw.server.errors import ServerError

SUPERUSER = "postgres"
HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
FAST_STOP_S = 10.0
PORT_TRIES = 5
POLL_S = 0.02
PASSWORD_FILE = "cio_fdw_password"  # noqa: S105 (a file's name)
LOG_FILE = "cio_fdw_server.log"
HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"

THROW_AWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}
"""Settings for a server whose data may be lost: tests."""

PASSED_ON = (
    "PATH", "TZ", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
"""The environment of the server. Not the rest: it may hold keys, which every backend could read."""


class Cluster:
    """One server. `data_dir` None: a new temporary one; `port` 0: a free one; `settings`: of postgresql.conf."""

    def __init__(
        self,
        bin_dir: Path,
        *,
        data_dir: Optional[Path] = None,
        port: int = 0,
        settings: Optional[Mapping[str, str]] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.bin_dir = bin_dir
        self.port = port
        self.settings = dict(settings or {})
        self.account: Account = server_account()
        self._given_dir = data_dir.absolute() if data_dir is not None else None
        self._given_port = port
        self._env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._env.update({"LC_ALL": "C", **(env or {})})
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._private: Optional[Path] = None
        self.password = ""

    def __enter__(self) -> Cluster:
        self._private = self.account.new_directory()
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def private_dir(self) -> Path:
        """The directory of the socket, 0700. Raises RuntimeError outside the with block."""
        if self._private is None:
            raise RuntimeError("the cluster is not open")
        return self._private

    @property
    def data_dir(self) -> Path:
        return self._given_dir or self.private_dir / "data"

    @property
    def log_path(self) -> Path:
        return self.data_dir / LOG_FILE

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises RuntimeError when the server is stopped."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """The address over TCP. Holds the password."""
        return f"postgresql://{SUPERUSER}:{self.password}@{HOST}:{self.port}/{quote(database, safe='')}"

    def socket_url(self, database: str = "postgres") -> str:
        """The address over the private socket: only for the server's own user and root, without a password."""
        directory = quote(str(self.private_dir), safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={directory}&port={self.port}"

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the server's log, empty when there is none."""
        if not self.log_path.is_file():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def start(self) -> None:
        """Starts the server and returns when it accepts connections."""
        for attempt in range(1, PORT_TRIES + 1):
            self.port = self._given_port or self.port or _free_port()
            if self._start_once():
                return
            taken = "could not create any TCP/IP sockets" in self.log_tail(10)
            # Between choosing a free port and binding it, another process may have taken it.
            if not taken or self._given_port or attempt == PORT_TRIES:
                break
            self.port = 0
        raise ServerError(f"the server did not start on port {self.port}:\n{self.log_tail(15)}")

    def stop(self) -> None:
        """Stops the server: fast, and immediately when that takes longer than 10 s."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(FAST_STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(FAST_STOP_S)

    def restart(self) -> None:
        """Stops and starts the server, on the same port."""
        self.stop()
        self.start()

    def has_ended(self) -> bool:
        """Whether the server ended without being asked to."""
        return self._process is not None and self._process.poll() is not None

    def close(self) -> None:
        """Stops the server and removes what was temporary."""
        self.stop()
        private, self._private = self._private, None
        if private is not None:
            shutil.rmtree(private, ignore_errors=True)

    def _prepare(self) -> None:
        """Makes the data directory a cluster of ours, or finds that it is one."""
        password_path = self.data_dir / PASSWORD_FILE
        if (self.data_dir / "PG_VERSION").exists():
            self._check_reusable(password_path)
            self.password = password_path.read_text().strip()
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise ServerError(f"{self.data_dir} is neither empty nor a PostgreSQL data directory")
        if not self.data_dir.exists():
            self.data_dir.mkdir(mode=0o700, parents=True)
        if self.data_dir.stat().st_uid == os.geteuid():
            # Empty, ours, and named to become the server's: initdb makes it 0700.
            self.account.own(self.data_dir)
        self._check_reachable()
        self.password = secrets.token_urlsafe(18)
        self._initdb()
        self._write(self.data_dir / "pg_hba.conf", HBA)
        self._write(password_path, self.password + "\n")

    def _check_reusable(self, password_path: Path) -> None:
        self._check_reachable()
        if not password_path.is_file():
            raise ServerError(f"{self.data_dir} holds a PostgreSQL cluster that cio_fdw did not make: name another one")
        made_by = (self.data_dir / "PG_VERSION").read_text().strip()
        mine = self._output([str(self.bin_dir / "postgres"), "--version"]).split()[-1].partition(".")[0]
        if made_by != mine:
            raise ServerError(f"{self.data_dir} belongs to PostgreSQL {made_by}, and this is PostgreSQL {mine}")

    def _check_reachable(self) -> None:
        if not self.account.succeeds(["test", "-O", str(self.data_dir)]):
            raise ServerError(
                f"{self.data_dir} must belong to the user {self.account.name}, who runs the server, "
                "and that user must be able to reach it: name another one, such as below /var/tmp"
            )

    def _initdb(self) -> None:
        password_path = self.private_dir / "initial"
        self._write(password_path, self.password + "\n")
        command = [
            str(self.bin_dir / "initdb"), "--pgdata", str(self.data_dir), "--username", SUPERUSER, "--encoding=UTF8",
            "--locale=C", "--auth=scram-sha-256", f"--pwfile={password_path}", "--no-sync",
        ]  # fmt: skip
        try:
            self._output(command)
        finally:
            password_path.unlink()

    def _output(self, command: list[str]) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=self._env,
            **self.account.popen_arguments(),
        )
        if done.returncode:
            raise ServerError(f"{Path(command[0]).name} failed:\n{done.stdout.strip()[-2000:]}")
        return done.stdout

    def _start_once(self) -> bool:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": f'"{self.private_dir}"',
            "unix_socket_permissions": "0700",
            "log_statement": "none",
            "logging_collector": "off",
            "log_destination": "stderr",
            **self.settings,
        }
        options = [word for name, text in settings.items() for word in ("-c", f"{name}={text}")]
        with self._open_log() as log:
            self._process = subprocess.Popen(
                [str(self.bin_dir / "postgres"), "-D", str(self.data_dir), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._env, "HOME": str(self.data_dir)},
                # A Ctrl-C of the terminal is for us: we stop the server in our own order.
                start_new_session=True,
                **self.account.popen_arguments(),
            )
        if self._is_ready_in_time(self._process):
            return True
        self.stop()
        return False

    def _open_log(self) -> BinaryIO:
        # Not following links: root opens it in a directory of the server's user.
        fd = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.account.own_fd(fd)
        return os.fdopen(fd, "ab")

    def _is_ready_in_time(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            if self._status(process.pid) == "ready":
                return True
            time.sleep(POLL_S)
        return False

    def _status(self, pid: int) -> str:
        """The state in line 8 of postmaster.pid, empty while the file is not that of process `pid`."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""

    def _write(self, path: Path, text: str) -> None:
        """Writes a file (0600) of the server's user."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            self.account.own_fd(fd)
            file.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
