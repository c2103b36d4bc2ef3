"""The state directory: where small files lie that all backends of the server share.

    directory = state_directory(settings.state_dir)      # <data directory>/cio_fdw, or the option state_dir
    fd = directory.open_file("turns-0123456789abcdef", size_bytes)

It is 0700 and belongs to the user that runs the server. Its files are plain ones of that user, and no link is
followed, so that nobody else can make a backend write elsewhere.
Errors: StateError, never OSError.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Callable, Optional

from cio_fdw.errors import StateError

Sleep = Callable[[float], None]
"""Sleeps the given seconds, or raises when the scan is over."""

DEFAULT_NAME = "cio_fdw"

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HINT = (
    "The state of the rate limit is kept there. Make room, or name another place with the server's option state_dir."
)

_data_directory: Optional[Path] = None


def start(working_directory: str) -> None:
    """Says where this process was started: a backend, in the data directory of its server."""
    global _data_directory  # noqa: PLW0603 - one backend, one data directory
    _data_directory = Path(working_directory)


def state_directory(option: Optional[str]) -> StateDirectory:
    """The directory of the option state_dir, by default one in the data directory. Raises StateError."""
    if option:
        return StateDirectory(Path(option))
    # A state directory in an odd place would be a limit of its own, so make sure that it is the data directory.
    if _data_directory is None or not (_data_directory / "PG_VERSION").is_file():
        raise StateError(
            "the data directory of the server is not known",
            hint="Name a place for the state: ALTER SERVER … OPTIONS (ADD state_dir '/var/lib/…').",
        )
    return StateDirectory(_data_directory / DEFAULT_NAME)


class StateDirectory:
    """One state directory; made, when it is missing, as the first file is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """The names in it, sorted; none when there is no such directory yet."""
        fd = self._open(create=False)
        if fd is None:
            return []
        try:
            return sorted(os.listdir(fd))  # noqa: PTH208 - of the directory that was checked
        finally:
            os.close(fd)

    def was_written(self, name: str, within_s: float) -> bool:
        """Whether that file was written in the last `within_s` seconds; False when there is none."""
        try:
            written_s = (self.path / name).lstat().st_mtime
        except OSError:
            return False
        # A file of the future is one of before the clock was set back.
        return time.time() - written_s < within_s

    def open_file(self, name: str, size_bytes: int) -> int:
        """A descriptor of the file, which is made when it is missing, with `size_bytes` reserved on the disk."""
        directory_fd = self._open(create=True)
        assert directory_fd is not None
        try:
            fd = os.open(name, _FILE_FLAGS | os.O_CREAT, 0o600, dir_fd=directory_fd)
        except OSError as error:
            raise failure("open", self.path / name, error) from None
        finally:
            os.close(directory_fd)
        try:
            _check_file(fd, self.path / name)
            reserve(fd, size_bytes, self.path / name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _open(self, *, create: bool) -> Optional[int]:
        try:
            fd = os.open(self.path, _DIRECTORY_FLAGS)
        except FileNotFoundError:
            if not create:
                return None
            fd = self._make()
        except OSError as error:
            raise failure("open", self.path, error) from None
        about = os.fstat(fd)
        if about.st_uid != os.geteuid() or about.st_mode & 0o077:
            os.close(fd)
            raise StateError(
                f"the state directory {self.path} must belong to the server's operating system user, with mode 0700",
                hint="As root: chown it to that user, and chmod 700 it. Or set the option state_dir.",
            )
        return fd

    def _make(self) -> int:
        try:
            self.path.mkdir(0o700, exist_ok=True)
            return os.open(self.path, _DIRECTORY_FLAGS)
        except OSError as error:
            raise failure("make", self.path, error) from None


def reserve(fd: int, size_bytes: int, path: Path) -> None:
    """Gives a file its full size on the disk, so that later writes cannot fail for want of room. Raises StateError."""
    try:
        if os.fstat(fd).st_size < size_bytes:
            os.posix_fallocate(fd, 0, size_bytes)
    except OSError as error:
        raise failure("write", path, error) from None


def failure(what: str, path: Path, error: OSError) -> StateError:
    """`error` in words that name the place."""
    code = error.errno or errno.EIO
    return StateError(f"cannot {what} {path}: {os.strerror(code)}", hint=_HINT)


def _check_file(fd: int, path: Path) -> None:
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_nlink > 1:
        raise StateError(
            f"{path} is not a plain file of the user that runs the server",
            hint="Remove it; cio_fdw makes it again.",
        )
