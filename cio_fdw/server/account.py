"""The operating system account that runs the server.

PostgreSQL refuses to run as root, so root hands over to `postgres`, or `nobody` where that account is missing. Nobody's
permissions are widened for it: what the account cannot reach is refused, with a message that names the place.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from cio_fdw.server.errors import ServerError

CHECK_TIMEOUT_S = 60.0
MAX_SOCKET_DIR_CHARS = 80
"""sun_path holds 107 characters; the socket's own name takes up to 16."""


@dataclass(frozen=True)
class Account:
    """Who the server runs as. `switch` is whether this process must change user for it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_arguments(self) -> dict[str, Any]:
        """Arguments of subprocess that run a program as this account, from a directory everybody can enter."""
        common: dict[str, Any] = {"cwd": "/", "umask": 0o077}
        if not self.switch:
            return common
        return {**common, "user": self.uid, "group": self.gid, "extra_groups": []}

    def succeeds(self, command: Sequence[str], env: Optional[Mapping[str, str]] = None) -> bool:
        """Whether `command` runs as this account and exits 0."""
        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=CHECK_TIMEOUT_S,
                check=False,
                env=env,
                **self.popen_arguments(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def own(self, path: Path) -> None:
        """Makes the account the owner of a path that this process has just created."""
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def own_fd(self, fd: int) -> None:
        """The same for an open file."""
        if self.switch:
            os.fchown(fd, self.uid, self.gid)

    def new_directory(self) -> Path:
        """A new private directory (0700) that the account owns and can reach, with a path short enough for a socket."""
        for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 (mkdtemp is safe there)
            if len(parent) > MAX_SOCKET_DIR_CHARS - len("/cio_fdw-12345678"):
                continue
            try:
                path = Path(tempfile.mkdtemp(prefix="cio_fdw-", dir=parent))
            except OSError:
                continue
            self.own(path)
            if self.succeeds(["test", "-w", str(path)]):
                return path
            shutil.rmtree(path)
        raise ServerError(f"the user {self.name}, who runs the server, can write to no temporary directory")


def server_account() -> Account:
    """The account that runs the server: this process's own, unless that is root."""
    if os.geteuid() != 0:
        uid = os.geteuid()
        return Account(_name_of(uid), uid, os.getegid(), switch=False)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise ServerError("PostgreSQL does not run as root, and there is no user postgres or nobody: run as another user")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
