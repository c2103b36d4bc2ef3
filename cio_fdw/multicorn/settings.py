"""Settings of the native extension, as a session of the second door has them.

    caching("off")        -> False        SET cio_fdw.cache = off
    log_min_ms("1.5s")    -> 1500         SET cio_fdw.log_min_duration = '1.5s'

Where the native extension is not loaded, PostgreSQL keeps such names as text and checks nothing; where it is, it tells
the same in its own form. None: never set; empty: set by a transaction that is over. Errors: SettingError.
"""

from __future__ import annotations

import re
from typing import Optional

from cio_fdw.errors import SettingError

CACHE, LOG_MIN_DURATION = "cio_fdw.cache", "cio_fdw.log_min_duration"
LOG_MIN_MS = 10_000
"""HOST_LOG_MIN_MS of host/host.h."""
_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
_MS = {"": 1.0, "us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}


def caching(text: Optional[str]) -> bool:
    """Whether answers that are kept may be used. Words may be cut short, as in PostgreSQL: "of", "t"."""
    if not text:
        return True
    word = text.strip().lower()
    found = {value for words, value in ((_TRUE, True), (_FALSE, False)) for one in words if one.startswith(word)}
    if len(found) != 1:
        raise SettingError(f'invalid value for parameter "{CACHE}": "{text}"', hint="It must be on or off.")
    return found.pop()


def log_min_ms(text: Optional[str]) -> int:
    """From when on a scan is slow, in milliseconds; -1: none is."""
    if not text:
        return LOG_MIN_MS
    match = re.fullmatch(r"\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*([a-z]*)\s*", text, re.ASCII)
    if match is None or match[2] not in _MS:
        raise SettingError(
            f'invalid value for parameter "{LOG_MIN_DURATION}": "{text}"',
            hint="It must be a time, such as 500ms or 10s; -1: none is logged.",
        )
    return round(float(match[1]) * _MS[match[2]])
