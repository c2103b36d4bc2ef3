"""A database under test: its connection, its clock, and what the simulator holds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Optional

import psycopg

from cio_fdw.simulator.client import Simulator

DAY = timedelta(days=1)
TARGET = "analytics.messages"


class Sync(AbstractContextManager["Sync"]):
    """`db`: a connection in autocommit. `notices`: what the server said on it."""

    def __init__(self, address: str, sim: Simulator) -> None:
        self.address = address
        self.sim = sim
        self.notices: list[str] = []
        self.now: Optional[datetime] = None
        self.db = self.connect()
        self.db.add_notice_handler(lambda said: self.notices.append(said.message_primary or ""))

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.db.close()

    def connect(self, role: str = "") -> psycopg.Connection[tuple[Any, ...]]:
        """One more connection, with the same clock."""
        connection = psycopg.connect(self.address, autocommit=True)
        if self.now is not None:
            connection.execute("select set_config('cio.now', %s, false)", [self.now.isoformat()])
        if role:
            connection.execute(f"set role {role}")
        return connection

    def point_at(self, sim: Simulator) -> None:
        """The foreign tables show what this simulator holds."""
        self.db.execute(f"alter server customerio options (set base_url '{sim.url}')")
        self.db.execute(f"alter user mapping for current_user server customerio options (set app_api_key '{sim.key}')")

    def at(self, now: datetime) -> None:
        """Sets the clock of cio, of this connection and those made from now on."""
        self.now = now
        self.db.execute("select set_config('cio.now', %s, false)", [now.isoformat()])

    def rows(self, query: str, arguments: Optional[Sequence[Any]] = None) -> list[tuple[Any, ...]]:
        return self.db.execute(query, arguments).fetchall()

    def value(self, query: str, arguments: Optional[Sequence[Any]] = None) -> Any:
        row = self.db.execute(query, arguments).fetchone()
        assert row is not None
        return row[0]

    def mirror(self, source: str = "messages", target: str = "", more: str = "") -> str:
        """cio.mirror of a foreign table; `more`: further arguments, as SQL."""
        name = target or f"analytics.{source}"
        return str(self.value(f"select cio.mirror('customerio.{source}', '{name}' {', ' if more else ''}{more})::text"))

    def refresh(self, target: str = TARGET, more: str = "") -> tuple[Any, ...]:
        """What CALL cio.refresh gives: run_id, units_done, units_left, status."""
        return self.rows(f"call cio.refresh('{target}'{', ' if more else ''}{more})")[0]

    def requests(self) -> list[str]:
        """Requests since the simulator was last reset, as path?query."""
        return [entry["path"] + (f"?{entry['query']}" if entry["query"] else "") for entry in self.sim.log()]

    def ids(self, target: str = TARGET, where: str = "_deleted_at is null") -> set[str]:
        return {row[0] for row in self.rows(f"select id from {target} where {where}")}

    def source_ids(self, since: datetime, until: Optional[datetime] = None) -> set[str]:
        """Messages that the simulator holds, created in [since, until)."""
        end = (until or datetime.now(timezone.utc) + DAY).timestamp()
        return {row["id"] for row in self.sim.data("messages") if since.timestamp() <= row["created"] < end
                and "drafted" not in row["metrics"]}  # fmt: skip


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]


def today() -> datetime:
    """Midnight, UTC, of the real day: the end of the data that the simulator makes."""
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
