"""Small things that the SQL tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Optional
from urllib.parse import parse_qsl

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator

Connection = psycopg.Connection[tuple[Any, ...]]


def asked(sim: Simulator) -> list[str]:
    """What was asked since the last reset, in order of arrival: "/v1/messages?type=email&limit=1000"."""
    return [entry["path"] + (f"?{entry['query']}" if entry["query"] else "") for entry in sim.log()]


def params(target: str) -> dict[str, str]:
    return dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))


def epoch(text: str) -> int:
    """Unix seconds of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def rows(db: Connection, query: str, arguments: Optional[list[Any]] = None) -> list[tuple[Any, ...]]:
    return db.execute(query, arguments).fetchall()


def value(db: Connection, query: str) -> Any:
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


def plan_lines(db: Connection, query: str, options: str = "") -> list[str]:
    """The lines of EXPLAIN; Multicorn puts its name before those of a wrapper."""
    return [row[0].strip().removeprefix("Multicorn: ") for row in rows(db, f"explain {options} {query}")]


@contextmanager
def refused(sqlstate: str) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
    """The block must fail with this SQLSTATE."""
    with pytest.raises(psycopg.Error) as caught:
        yield caught
    assert caught.value.sqlstate == sqlstate, f"{caught.value.sqlstate}: {caught.value}"


@contextmanager
def server_option(db: Connection, name: str, text: str) -> Iterator[None]:
    """The server has this option within the block. Names and values are the test's own."""
    present = value(db, f"select exists (select from pg_foreign_server, unnest(srvoptions) o where o like '{name}=%')")
    before = value(
        db, f"select max(split_part(o, '=', 2)) from pg_foreign_server, unnest(srvoptions) o where o like '{name}=%'"
    )
    db.execute(f"alter server customerio options ({'set' if present else 'add'} {name} '{text}')")
    try:
        yield
    finally:
        undo = f"set {name} '{before}'" if present else f"drop {name}"
        db.execute(f"alter server customerio options ({undo})")
