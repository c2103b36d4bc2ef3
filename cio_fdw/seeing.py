"""Scans of our own tables: `_requests` from the journal, `_limits` from the throttle. The API is not asked.

    for batch in OwnScan(REQUESTS, settings, ("at", "path"), host, throttle).start(): …

A role sees the requests and limits of the key in its own user mapping. The table option `all_keys`, which only a
superuser or a member of pg_read_server_files may set, shows those of every key of the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Optional, Protocol

from cio_fdw.convert import US
from cio_fdw.explain import Property
from cio_fdw.journal import Journal, Sent
from cio_fdw.lanes import Lanes, Stop
from cio_fdw.options import Settings
from cio_fdw.own_tables import REQUESTS, OwnTable
from cio_fdw.state import state_directory
from cio_fdw.stats import Stats
from cio_fdw.throttle import Usage, throttles_for

Row = tuple[Any, ...]
_LONGEST_WAIT_S = 1.0


class Waiting(Protocol):
    """What a door lends for waiting."""

    def wait(self, seconds: float, fd: int = -1) -> bool:
        """Waits until `fd` is readable (True) or the time is over. Raises Interrupted to end the statement."""


class OwnScan:
    """One scan of a table of our own, in the shape that the doors know from scans of the API."""

    def __init__(self, table: OwnTable, settings: Settings, wanted: Sequence[str], host: Waiting) -> None:
        self._table = table
        self._settings = settings
        self._wanted = wanted
        self._host = host
        self._read = 0

    def start(self, _quals: Any = (), _limit: Optional[int] = None, _reads_ahead: bool = False) -> Iterator[list[Row]]:
        """The rows, in one batch."""
        # A thread may wait for a lock or for Redis; this one, PostgreSQL's, must stay able to cancel.
        lanes: Lanes[list[Row]] = Lanes(1)
        try:
            lanes.submit(self._table.name, self._rows)
            while not (done := lanes.collect()):
                self._host.wait(_LONGEST_WAIT_S, lanes.wake_fd)
        finally:
            lanes.stop()
        (outcome,) = done
        if outcome.error is not None:
            raise outcome.error
        if outcome.result:
            self._read += len(outcome.result)
            yield outcome.result

    def close(self) -> None:
        """Nothing is kept between runs."""

    def total_rows(self) -> float:
        """Rows read: all there are. For ANALYZE."""
        return float(self._read)

    def explain(self, _requests: float = 0.0, _analyze: bool = False) -> list[Property]:
        return explained()

    def _rows(self, stop: Stop) -> list[Row]:
        named = self._requests() if self._table is REQUESTS else self._limits(stop)
        return [tuple(row[name] for name in self._wanted) for row in named]

    def _requests(self) -> Iterator[dict[str, Any]]:
        key = self._settings.key.fingerprint() if self._settings.key else ""
        for sent in Journal(state_directory(self._settings.state_dir)).latest():
            if self._settings.all_keys or sent.key == key:
                yield _request_row(sent)

    def _limits(self, stop: Stop) -> Iterator[dict[str, Any]]:
        for key, throttle in throttles_for(self._settings).items():
            yield self._limit_row(key, throttle.usage(stop.sleep))

    def _limit_row(self, key: str, usage: Usage) -> dict[str, Any]:
        return {
            "key": key,
            "requests_per_second": self._settings.requests_per_second,
            "max_concurrency": self._settings.max_concurrency,
            "used": usage.used,
            "in_flight": usage.in_flight,
            "waiting": usage.waiting,
            "paused_until": round((time.time() + usage.paused_s) * US) if usage.paused_s > 0 else None,
            "kept_in": usage.kept_in,
        }


class Pace:
    """How long one run of a scan took, as far as the reader waited for it, and what it asked meanwhile."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._before = self._counts()
        self.took_s = 0.0

    def steps(self, batches: Iterator[list[Row]]) -> Iterator[list[Row]]:
        """The same batches; what the reader does with them is not counted."""
        while True:
            began_s = time.monotonic()
            batch = next(batches, None)
            self.took_s += time.monotonic() - began_s
            if batch is None:
                return
            yield batch

    def told(self, relname: str, min_ms: int) -> Optional[str]:
        """What the log says of it; None when it took less than `min_ms`, or that is negative."""
        if min_ms < 0 or self.took_s * 1000 < min_ms:
            return None
        requests, retries, limited, rows, size_bytes, throttled_s, api_s = (
            now - before for now, before in zip(self._counts(), self._before)
        )
        return (
            f'cio_fdw: scan of "{relname}" took {self.took_s:.1f} s: {requests:.0f} requests, {retries:.0f} retries, '
            f"{limited:.0f} rate limited, {throttled_s:.1f} s throttled, {api_s:.1f} s waiting for the API, "
            f"{rows:.0f} rows, {size_bytes:.0f} bytes"
        )

    def _counts(self) -> tuple[float, ...]:
        stats = self._stats
        counts = (stats.requests, stats.retries, stats.rate_limited, stats.rows, stats.bytes)
        return (*counts, stats.throttled_s, stats.api_s)


def explained() -> list[Property]:
    return [("API Request", ("none, answered from the state directory",), "")]


def _request_row(sent: Sent) -> dict[str, Any]:
    return {
        "at": round(sent.at_s * US),
        "pid": sent.pid,
        "key": sent.key,
        "table_name": sent.table,
        "method": "GET",
        "path": sent.path,
        "status": sent.status,
        "attempt": sent.attempt,
        "ms": round(sent.ms, 3),
        "throttled_ms": round(sent.throttled_ms, 3),
        "bytes": sent.bytes,
        "rows": sent.rows,
        "error": sent.error or None,
    }
