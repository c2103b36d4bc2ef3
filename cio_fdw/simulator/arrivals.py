"""When a request reached the machine, as the kernel dates it: a busy simulator reads it later than that.

    listener = DatedSocket(socket.AF_INET, socket.SOCK_STREAM)
    came_s(accepted.fileno())   -> the monotonic second at which what was last read from an accepted socket had come

Linux dates each packet (SO_TIMESTAMPNS, socket(7)) by the wall clock; elsewhere the time of reading has to do.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

SO_TIMESTAMPNS = 35
"""From asm-generic/socket.h, as Python has no name for it. The message with the time is of this type, too."""
_TIMESPEC = struct.Struct("@ll")


class DatedSocket(socket.socket):
    """A stream socket that knows when its data came, and so do those that it accepts."""

    came_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if sys.platform == "linux":
            with suppress(OSError):  # a kernel in place of Linux, as sandboxes have, need not date packets
                self.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def accept(self) -> tuple[DatedSocket, Any]:
        descriptor, address = self._accept()  # type: ignore[attr-defined]
        accepted = DatedSocket(self.family, self.type, self.proto, fileno=descriptor)
        _accepted[descriptor] = accepted
        return accepted, address

    def recv(self, count: int, flags: int = 0) -> bytes:
        data, notes, _flags, _address = self.recvmsg(count, socket.CMSG_SPACE(_TIMESPEC.size), flags)
        self.came_s = time.monotonic()
        for level, kind, note in notes:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(note)
                self.came_s -= max(0.0, time.time() - seconds - nanoseconds / 1e9)
        return data


_accepted: WeakValueDictionary[int, DatedSocket] = WeakValueDictionary()


def came_s(descriptor: int) -> float:
    """When the last data of an accepted socket came: a monotonic second. Raises KeyError for another's descriptor."""
    return _accepted[descriptor].came_s
