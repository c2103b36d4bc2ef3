"""An exception, in what PostgreSQL's error fields take.

SQLSTATE, message, detail, hint and context. Of an error of ours (`errors`) all but the context; of a fault its type,
and the place as the context.
"""

from __future__ import annotations

import errno
import os
import traceback
from typing import Optional

from cio_fdw.errors import CioError

SHOWN_FRAMES = 12

_TOO_MANY_FILES = "Raise the limit of open files (ulimit -n) of the server, or lower max_files_per_process."


def describe(error: BaseException) -> tuple[str, str, Optional[str], Optional[str], Optional[str]]:
    """An error for PostgreSQL. Of a fault of our own it tells type and place only: its text could hold data."""
    if isinstance(error, CioError):
        return error.sqlstate, f"cio_fdw: {error.message}", error.detail, error.hint, None
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "53200", "cio_fdw: out of memory", None, None, None
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "53000", f"cio_fdw: {os.strerror(error.errno)}", None, _TOO_MANY_FILES, None
    frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    place = " < ".join(f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})" for frame in frames[::-1])
    return (
        "XX000",
        f"cio_fdw: internal error: {type(error).__name__}",
        None,
        "This is a fault of cio_fdw; the server log says where. Please report it.",
        f"at {place}",
    )
