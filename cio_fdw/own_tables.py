"""Tables that are answered from the state directory, not by the API: what this server sends, and how much it may.

OWN_TABLES["_requests"].columns -> (Column("at", "timestamptz", …), …)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Optional

from cio_fdw.endpoint import Column


@dataclass(frozen=True)
class OwnTable:
    """One foreign table of our own."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    typical_rows: int
    kept: str = ""

    @property
    def by_page(self) -> bool:
        """False: IMPORT makes it whenever it makes all."""
        return False

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns; there is no `raw` here."""
        return self.columns

    def column(self, name: str) -> Optional[Column]:
        return next((column for column in self.columns if column.name == name), None)


REQUESTS = OwnTable(
    "_requests",
    "The latest requests of this server with your key, of all backends, databases and users. Asks nothing of the API.",
    (
        Column("at", "timestamptz", "When the request left."),
        Column("pid", "bigint", "Process id of the backend."),
        Column("key", "text", "Hash of the App API key."),
        Column("table_name", "text", "Endpoint that was read."),
        Column("method", "text", "Always GET."),
        Column("path", "text", "Path and query; values that could name a person are shown as …."),
        Column("status", "bigint", "HTTP status; null when no answer came."),
        Column("attempt", "bigint", "1 for the first, more for retries."),
        Column("ms", "float8", "Milliseconds from leaving to the last row decoded."),
        Column("throttled_ms", "float8", "Milliseconds waited for the turn before that."),
        Column("bytes", "bigint", "Size of the body, decompressed."),
        Column("rows", "bigint", "Rows in the body; null when it was not read as a page."),
        Column("error", "text", "SQLSTATE of what went wrong, 57014 for a cancel; null when nothing did."),
    ),
    typical_rows=4096,
    kept="until 4096 newer ones",
)

LIMITS = OwnTable(
    "_limits",
    "How much of the rate limit of your key is in use now, by everybody who shares it. Asks nothing of the API.",
    (
        Column("key", "text", "Hash of the App API key."),
        Column("requests_per_second", "bigint", "Limit of this foreign server."),
        Column("max_concurrency", "bigint", "Limit of this foreign server."),
        Column("used", "bigint", "Requests that left in the last second."),
        Column("in_flight", "bigint", "Requests under way."),
        Column("waiting", "bigint", "Requests that wait for their turn."),
        Column("paused_until", "timestamptz", "End of the pause that a 429 asked for; null when there is none."),
        Column("kept_in", "text", "Who counts: server (its state directory) or redis."),
    ),
    typical_rows=1,
)

OWN_TABLES: Mapping[str, OwnTable] = MappingProxyType({table.name: table for table in (REQUESTS, LIMITS)})
