"""The PostgreSQL backend around this interpreter, by the symbols that its executable exports.

    backend().wait(1.0, fd)                  the Host of scans: raises Interrupted within SLICE_S of a cancel
    backend().notice("…")                    and warning, log
    backend().caching()                      whether SET cio_fdw.cache is on
    backend().statement                      tells a running statement from others
    backend().prepare_error("28000", "…")    and then `finish_error`, with no Python frame on the stack

PostgreSQL reports an error by a jump over the frames in between. Over a frame of Python that would break the
interpreter, and the statement after it would crash the server. So what jumps is never called from here: an
iterator written in C calls it, after all Python code has returned (`endings`). Needs the main thread.
"""

from __future__ import annotations

import ctypes
import select
import time
from functools import cache
from typing import Optional

from cio_fdw.errors import Interrupted
from cio_fdw.multicorn import settings

SLICE_S = 0.05
"""Longest time between two looks at whether the statement shall end; a signal does not wake Python's poll."""
LOG = 15
NOTICE = 18
WARNING = 19
ERROR = 21
ERROR_BEFORE_14 = 20
"""Levels of elog.h."""
_ENDS = ("QueryCancelPending", "ProcDiePending", "TransactionTimeoutPending", "ClientConnectionLost")
"""Flags that mean the end of the statement. InterruptPending alone announces other things too."""


class Backend:
    """One per process. Raises OSError and ValueError where there is no PostgreSQL around."""

    def __init__(self) -> None:
        # PyDLL keeps Python's lock: a jump out of a call that gave it up would leave nobody with it.
        self._postgres = ctypes.PyDLL(None)
        self._pending = ctypes.c_int.in_dll(self._postgres, "InterruptPending")
        self._holdoff = ctypes.c_uint32.in_dll(self._postgres, "InterruptHoldoffCount")
        self._ends = [ctypes.c_int.in_dll(self._postgres, name) for name in _ENDS if hasattr(self._postgres, name)]
        # PostgreSQL 14 and later, when client_connection_check_interval is set.
        self._look_for_client: Optional[ctypes.c_int] = None
        if hasattr(self._postgres, "pq_check_connection"):
            self._look_for_client = ctypes.c_int.in_dll(self._postgres, "CheckClientConnectionPending")
            self._postgres.pq_check_connection.restype = ctypes.c_bool
        self._option = self._postgres.GetConfigOption
        self._option.argtypes = (ctypes.c_char_p, ctypes.c_bool, ctypes.c_bool)
        self._option.restype = ctypes.c_char_p
        self._has_snapshot = self._postgres.ActiveSnapshotSet
        self._has_snapshot.restype = ctypes.c_bool
        self._snapshot = self._postgres.GetActiveSnapshot
        self._snapshot.restype = ctypes.c_void_p
        self._statement_start = self._postgres.GetCurrentStatementStartTimestamp
        self._statement_start.restype = ctypes.c_int64
        self._encoding_name = self._postgres.GetDatabaseEncodingName
        self._encoding_name.restype = ctypes.c_char_p
        self._start_error = self._postgres.errstart
        self._start_error.argtypes = (ctypes.c_int, ctypes.c_char_p)
        self._start_error.restype = ctypes.c_bool
        is_old = int(self.option("server_version_num")) < 140000
        self._error_level = ERROR_BEFORE_14 if is_old else ERROR
        self.finish_error = self._postgres.errfinish
        self.finish_error.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self.finish_error.restype = None

    @property
    def encoding(self) -> str:
        """The database's encoding as PostgreSQL calls it, such as UTF8."""
        return str(self._encoding_name().decode("ascii"))

    @property
    def nest_level(self) -> int:
        """1 in a transaction, one more for each subtransaction around."""
        return int(self._postgres.GetCurrentTransactionNestLevel())

    def option(self, name: str) -> str:
        """The session's value of a setting that exists."""
        return str(self._option(name.encode(), True, False).decode("ascii", "replace"))

    @property
    def statement(self) -> int:
        """Another number in each statement that is under way, those in functions included; 0 between statements.

        A statement's snapshot lives as long as it does; its address may be used again by one of a later message.
        Greater than any address, by which the native door tells statements apart.
        """
        if not self._has_snapshot():
            return 0
        return int(self._statement_start()) << 64 | int(self._snapshot() or 0)

    def caching(self) -> bool:
        return settings.caching(self._setting(settings.CACHE))

    def log_min_ms(self) -> int:
        return settings.log_min_ms(self._setting(settings.LOG_MIN_DURATION))

    def busy(self) -> None:
        """Nothing to call off."""

    def idle(self, fds: list[int], seconds: float) -> None:
        """No code of Python runs while a backend waits for its client: the next request closes what is too old."""

    def _setting(self, name: str) -> Optional[str]:
        """None where nobody has set it, and the native extension is not loaded."""
        found: Optional[bytes] = self._option(name.encode(), True, False)
        return None if found is None else found.decode("ascii", "replace")

    def check(self) -> None:
        """Raises Interrupted when PostgreSQL wants the statement to end."""
        if self._pending.value and (any(flag.value for flag in self._ends) or self._client_is_gone()):
            raise Interrupted

    def _client_is_gone(self) -> bool:
        due = self._look_for_client is not None and self._look_for_client.value
        return bool(due) and not self._postgres.pq_check_connection()

    def wait(self, seconds: float, fd: int = -1) -> bool:
        """Waits until `fd` is readable (True) or the time is over. Raises Interrupted."""
        ready = select.poll()
        if fd >= 0:
            ready.register(fd, select.POLLIN)
        deadline_s = time.monotonic() + seconds
        while True:
            self.check()
            left_s = deadline_s - time.monotonic()
            if ready.poll(max(0.0, min(left_s, SLICE_S)) * 1000):
                return True
            if left_s <= SLICE_S:
                return False

    def notice(self, text: str) -> None:
        self._tell(NOTICE, text)

    def warning(self, text: str) -> None:
        self._tell(WARNING, text)

    def log(self, text: str) -> None:
        self._tell(LOG, text)

    def _tell(self, level: int, text: str) -> None:
        """Tells client or log. Characters beyond ASCII are escaped: converting them could fail, with a jump."""
        # A notice looks for a cancel at its end, and would jump.
        self._holdoff.value += 1
        try:
            if self._start_error(level, None):
                self._text("errmsg_internal", text.encode("ascii", "backslashreplace"))
                self.finish_error(None, 0, None)
        finally:
            self._holdoff.value -= 1

    def prepare_error(
        self,
        sqlstate: str,
        message: str,
        detail: Optional[str] = None,
        hint: Optional[str] = None,
        log_detail: Optional[str] = None,
    ) -> None:
        """Begins the report of an error. Nothing of PostgreSQL may run between this and `finish_error`."""
        texts = (
            ("errmsg_internal", message),
            ("errdetail_internal", detail),
            ("errdetail_log", log_detail),
            ("errhint", hint),
        )
        encoded = [(name, self._encoded(text)) for name, text in texts if text]
        self._start_error(self._error_level, None)
        self._postgres.errcode(_packed(sqlstate))
        for name, text in encoded:
            self._text(name, text)

    def _encoded(self, text: str) -> bytes:
        utf8 = self.encoding in ("UTF8", "SQL_ASCII")
        return text.encode("utf-8" if utf8 else "ascii", "backslashreplace").replace(b"\0", b"")

    def _text(self, name: str, text: bytes) -> None:
        function = getattr(self._postgres, name)
        # Only the format is declared: what follows goes the way of variadic arguments.
        function.argtypes = (ctypes.c_char_p,)
        function(b"%s", ctypes.c_char_p(text))


def _packed(sqlstate: str) -> int:
    """MAKE_SQLSTATE of elog.h: six bits a character."""
    return sum(((ord(char) - ord("0")) & 0x3F) << (6 * i) for i, char in enumerate(sqlstate))


@cache
def backend() -> Backend:
    return Backend()
