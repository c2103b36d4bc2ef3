"""A secret that does not print itself."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cio_fdw.errors import KeyFileError

MAX_KEY_FILE_BYTES = 4096


class Secret:
    """Holds text; str, repr and format give ***. Use `.reveal()` at the one place that sends it."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        return self.__text

    def bearer(self) -> str:
        """The value of the Authorization header. It is a text whose repr hides it, for what prints its headers."""
        return _Hidden(f"Bearer {self.__text}")

    def fingerprint(self) -> str:
        """16 hex digits that tell keys apart without giving them away."""
        return hashlib.sha256(b"cio_fdw:" + self.__text.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.__text == self.__text

    def __hash__(self) -> int:
        return hash(self.__text)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


class _Hidden(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def read_key_file(path: str) -> Secret:
    """The key in the first line of `path`. Raises KeyFileError.

    The file must be regular, readable by the server's operating system user and closed to others.
    """
    hint = "Make it a regular file of the server's user: chown postgres FILE; chmod 600 FILE."
    try:
        # Opening a device may already do something, so it is not even opened; fstat sees to an exchange meanwhile.
        _check_regular(Path(path).stat().st_mode, hint)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileError(f"cannot open the key file: {error.strerror}", hint=hint) from None
    try:
        mode = os.fstat(fd).st_mode
        _check_regular(mode, hint)
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise KeyFileError("the key file is open to every user of the machine", hint=hint)
        head = os.read(fd, MAX_KEY_FILE_BYTES)
    finally:
        os.close(fd)
    lines = head.decode("utf-8", "replace").split("\n", 1)
    key = lines[0].strip()
    if not key:
        raise KeyFileError("the key file is empty", hint="Its first line must be the App API key.")
    return Secret(key)


def _check_regular(mode: int, hint: str) -> None:
    if not stat.S_ISREG(mode):
        raise KeyFileError("the key file is not a regular file", hint=hint)
