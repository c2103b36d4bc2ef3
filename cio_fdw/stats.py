"""Counters of one scan node, cumulative over its rescans; EXPLAIN ANALYZE shows them."""

from __future__ import annotations

import threading


class Stats:
    """Thread-safe counters. Times in seconds, summed over the workers (so more than the clock's)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        """Requests that left for the API, retries included."""
        self.retries = 0
        self.rate_limited = 0
        """Answers with status 429."""
        self.throttled_s = 0.0
        """Waited for a turn of the throttle, or because of a 429."""
        self.api_s = 0.0
        """Waited for the API: connection, answer and body."""
        self.bytes = 0
        """Bodies, after decompression."""
        self.ranges = 0
        """Ranges of time of which a first page came."""
        self.pages = 0
        self.rows = 0
        self.cached = 0
        """Answers that were there already: nothing was sent for them."""
        self.caching = False
        """Whether answers are kept for other statements."""

    def add(
        self,
        *,
        requests: int = 0,
        retries: int = 0,
        rate_limited: int = 0,
        throttled_s: float = 0.0,
        api_s: float = 0.0,
        bytes: int = 0,  # noqa: A002 - the counter's name
        ranges: int = 0,
        pages: int = 0,
        rows: int = 0,
        cached: int = 0,
    ) -> None:
        """Adds to the named counters."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.rate_limited += rate_limited
            self.throttled_s += throttled_s
            self.api_s += api_s
            self.bytes += bytes
            self.ranges += ranges
            self.pages += pages
            self.rows += rows
            self.cached += cached
