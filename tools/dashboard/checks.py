"""What a chart asked of the App API, and whether its numbers are those of plain SQL.

Errors: CheckError, with both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import psycopg

from cio_fdw.simulator.client import Simulator
from tools.dashboard.charts import Chart, Object

COPY = "copied"
Connection = psycopg.Connection[tuple[Any, ...]]


class CheckError(Exception):
    """Something is not as it must be."""


def check(what: str, found: object, wanted: object) -> None:
    """Raises CheckError when these differ."""
    if found != wanted:
        raise CheckError(f"{what}: {found!r} instead of {wanted!r}")


@contextmanager
def asked(api: Simulator) -> Iterator[list[str]]:
    """The requests of the block, sorted, after it has ended."""
    api.reset()
    seen: list[str] = []
    yield seen
    for entry in api.log():
        query = f"?{entry['query']}" if entry["query"] else ""
        seen.append(f"{entry['method']} {entry['path']}{query}")
    seen.sort()


def copy_messages(connection: Connection) -> None:
    """Plain tables with all that the foreign ones of the charts show."""
    connection.execute(f"create schema {COPY}")
    for table in ("messages", "campaigns"):
        connection.execute(f"create table {COPY}.{table} as table customerio.{table}")


def check_chart(connection: Connection, api: Simulator, chart: Chart, shown: Object, requests: list[str]) -> None:
    """The rows are those of plain SQL on plain tables, the requests those of plain SQL on the foreign ones."""
    labels = [column["label"] if isinstance(column, dict) else column for column in [*chart.columns, *chart.metrics]]
    rows = sorted(tuple(row[label] for label in labels) for row in shown["data"])
    with asked(api) as plainly:
        connection.execute(chart.plain())
    on_copies = connection.execute(chart.plain().replace("customerio.", f"{COPY}.")).fetchall()
    check(f"rows of {chart.name!r}", rows, sorted(on_copies))
    check(f"requests of {chart.name!r}", requests, plainly)
    check(f"paths of {chart.name!r}", sorted({r.split()[1].partition("?")[0] for r in requests}), list(chart.paths))
    check_range(connection, chart, requests)


def check_range(connection: Connection, chart: Chart, requests: list[str]) -> None:
    """Messages are asked for from the first to the last second of the range, and with the filters that are pushed."""
    ((midnight,),) = connection.execute("select date_trunc('day', now())").fetchall()
    found = [dict(parse_qsl(r.partition("?")[2])) for r in requests if "/v1/messages" in r]
    low_s, high_s = min(int(p["start_ts"]) for p in found), max(int(p["end_ts"]) for p in found)
    check(f"range of {chart.name!r}", (low_s, high_s), (_epoch_s(midnight, chart.days), _epoch_s(midnight, 0)))
    for params in found:
        own = {name: text for name, text in params.items() if name not in ("start_ts", "end_ts", "limit", "start")}
        check(f"filters of {chart.name!r}", own, chart.pushed)


def _epoch_s(midnight: datetime, days_ago: int) -> int:
    return int((midnight - timedelta(days=days_ago)).timestamp())
