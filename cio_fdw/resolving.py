"""Addresses of host names, asked for in a process of its own, which can be ended.

    resolve("api.customer.io", 443, stop, 5.0)      what getaddrinfo gives

getaddrinfo can be neither interrupted nor given a deadline, and a thread that hangs in it cannot be ended. A process
can. It is glibc's `getent`, which asks as getaddrinfo does (nsswitch.conf, hosts, resolv.conf); elsewhere, Python
itself. The caller waits for its output, and leaves neither process nor zombie, whatever ends the wait.
Errors: socket.gaierror, socket.timeout, Stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from cio_fdw.lanes import Stop

if TYPE_CHECKING:
    from subprocess import Popen

if sys.platform == "linux":
    import fcntl

GETENT = "/usr/bin/getent"
NOT_FOUND = (1, 2)
"""How Python and getent end when a name has no address, or when no name server told of one."""
NO_ADDRESS = "no address was found"
_END_S = 0.0005
_LINES_BYTES = 65536
_SCRIPT = """\
import socket, sys
for found in socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_STREAM):
    print(found[4][0], "STREAM")"""


def resolve(host: str, port: int, stop: Stop, wait_s: float) -> list[Any]:
    """The addresses of `host`, as getaddrinfo gives them for streams."""
    with contextlib.suppress(socket.gaierror, UnicodeError):  # a name, not an address
        return _numeric(host, port)
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:  # a part of it is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    output = _output(_command(name), stop, time.monotonic() + wait_s)
    lines = [line.split() for line in output.splitlines()]
    found = [address for words in lines if words[1:2] == ["STREAM"] for address in _numeric(words[0], port)]
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, NO_ADDRESS)
    return found


def _numeric(address: str, port: int) -> list[Any]:
    return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def _command(name: str) -> list[str]:
    """A program that prints a line for each address of `name`, such as `192.0.2.1 STREAM`."""
    if os.access(GETENT, os.X_OK) and _has_glibc():
        return [GETENT, "ahosts", "--", name]
    return [sys.executable, "-I", "-S", "-c", _SCRIPT, name]


def _has_glibc() -> bool:
    """The getent of others prints other lines."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False


def _output(command: list[str], stop: Stop, deadline_s: float) -> str:
    """What the program prints. Raises socket.gaierror when it fails."""
    near, far = socket.socketpair()
    with near, far:
        child = _started(command, far)
        try:
            _tie(child, far)
            far.close()
            with stop.guard(near):
                output = _read(near, child, stop, deadline_s)
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        why = NO_ADDRESS if child.returncode in NOT_FOUND else f"{command[0]} ended with {child.returncode}"
        raise socket.gaierror(socket.EAI_NONAME, why)
    return output.decode("ascii", "replace")


def _started(command: list[str], line: socket.socket) -> Popen[bytes]:
    """The program, whose output goes into `line`. No other descriptor of this process is open to it."""
    from subprocess import DEVNULL, Popen

    try:
        return Popen(command, stdin=DEVNULL, stdout=line.fileno(), stderr=DEVNULL)
    except OSError as error:
        raise socket.gaierror(socket.EAI_SYSTEM, f"cannot run {command[0]}: {error.strerror}") from None


def _tie(child: Popen[bytes], line: socket.socket) -> None:
    """Has the kernel end the program once the other end of `line` is shut down or closed.

    So it does not outlive a backend that is killed. Where the system cannot do that, it then ends when the name server
    answers.
    """
    if sys.platform == "linux":
        # Some sandboxes imitate Linux without this.
        with contextlib.suppress(OSError):
            fcntl.fcntl(line, fcntl.F_SETOWN, child.pid)
            fcntl.fcntl(line, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(line, fcntl.F_SETFL, os.O_ASYNC)


def _read(line: socket.socket, child: Popen[bytes], stop: Stop, deadline_s: float) -> bytes:
    """All that comes out of `line` until the program has ended."""
    pieces = []
    while True:
        line.settimeout(_left_s(deadline_s))
        piece = line.recv(_LINES_BYTES)
        stop.check()
        if not piece:
            break
        pieces.append(piece)
    # It has closed its output, so it is about to end.
    while child.poll() is None:
        stop.sleep(min(_END_S, _left_s(deadline_s)))
    return b"".join(pieces)


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise socket.timeout("deadline")
    return left_s
