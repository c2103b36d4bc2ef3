"""A program on a terminal of its own, as a person has it: prompts, keys, Ctrl-C.

with Terminal([psql, "-X", address]) as terminal:
    terminal.wait_for("=# ")
    terminal.type("select * from customerio.camp\\t")
    terminal.wait_for("campaign_actions")
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Optional

ROWS, COLUMNS = 50, 200
CTRL_C = "\x03"
WAIT_S = 10.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|[\x07\r]")


class Terminal:
    """`controlling`: whether keys become signals of the program, as on any terminal but one of `su - user -c`."""

    def __init__(
        self, command: Sequence[str], environment: Optional[Mapping[str, str]] = None, controlling: bool = True
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", *(["--ctty"] if controlling else []), *command],  # with --ctty Ctrl-C becomes a signal
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "PAGER": "cat", "INPUTRC": os.devnull, **(environment or {})},
        )
        os.close(slave)
        self._text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str, wait_s: float = WAIT_S) -> str:
        """What was shown since the last wait, up to the first match. AssertionError, with the text, without one."""
        end_s = time.monotonic() + wait_s
        while True:
            found = re.search(pattern, self._text)
            if found:
                shown, self._text = self._text[: found.end()], self._text[found.end() :]
                return shown
            self._read(max(0.0, end_s - time.monotonic()), pattern)

    def _read(self, wait_s: float, pattern: str) -> None:
        ready, _, _ = select.select([self._master], [], [], wait_s)
        try:
            new = os.read(self._master, 65_536) if ready else b""
        except OSError:  # the program has ended
            new = b""
        if not new:
            raise AssertionError(f"{pattern!r} was not shown: {self._text!r}")
        self._text += _CONTROL.sub("", new.decode("utf-8", "replace"))
