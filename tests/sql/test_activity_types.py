"""Activities of several types: one chain of pages for each, side by side. The rows are those of a local copy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, params, rows

LATENCY_MS = 40
PAGE_ROWS = 100


@pytest.fixture
def slow(unseen: Connection, sim: Simulator) -> Iterator[Connection]:
    """`unseen.activities`, of an API that takes its time, and `public.copied` with the same rows."""
    activities = [(row["id"], row["type"], json.dumps(row)) for row in sim.data("activities")]
    unseen.execute("create table public.copied (id text, type text, raw jsonb)")
    with unseen.cursor() as cursor:
        cursor.executemany("insert into public.copied values (%s, %s, %s)", activities)
    sim.set_latency(LATENCY_MS)
    yield unseen
    sim.set_latency(0)
    unseen.execute("drop table public.copied")


def frequent(sim: Simulator) -> list[str]:
    """The three types with most rows: several pages each, or this test would show nothing."""
    counts = Counter(row["type"] for row in sim.data("activities"))
    types = [name for name, count in counts.most_common(3) if count > PAGE_ROWS]
    assert len(types) == 3
    return types


def spans(sim: Simulator) -> dict[str, list[tuple[float, float]]]:
    """When each request of a type arrived and was answered; "" is the type of a request for all."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in sim.log():
        kind = params("?" + entry["query"]).get("type", "")
        found.setdefault(kind, []).append((entry["t"], entry["t"] + entry["ms"] / 1000))
    return found


def overlaps(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> int:
    return sum(a < d and c < b for a, b in one for c, d in other)


def pages(sim: Simulator, type_: str) -> int:
    """Requests that a chain takes."""
    return -(-sum(row["type"] == type_ for row in sim.data("activities")) // PAGE_ROWS)


def test_one_chain_for_each_type_side_by_side(slow: Connection, sim: Simulator) -> None:
    types = frequent(sim)
    found = rows(slow, "select id, type, raw from activities where type = any (%s)", [types])
    assert sorted(found) == sorted(rows(slow, "select id, type, raw from copied where type = any (%s)", [types]))
    asked = spans(sim)
    assert {kind: len(of) for kind, of in asked.items()} == {kind: pages(sim, kind) for kind in types}
    for kind, of in asked.items():
        assert all(before[1] <= after[0] for before, after in zip(of, of[1:])), f"two pages of {kind} at once"
    first, second, third = (asked[kind] for kind in types)
    assert overlaps(first, second) > 1
    assert overlaps(second, third) > 1
    assert overlaps(first, third) > 1
    assert sim.stats()["max_in_flight"] == 3


def test_all_types_are_one_chain(slow: Connection, sim: Simulator) -> None:
    """The API has no other way to divide them: a page names the next one."""
    found = rows(slow, "select id, type, raw from activities")
    assert sorted(found) == sorted(rows(slow, "select id, type, raw from copied"))
    assert {kind: len(of) for kind, of in spans(sim).items()} == {"": -(-len(found) // PAGE_ROWS)}
    assert sim.stats()["max_in_flight"] == 1


@pytest.mark.parametrize("tail", ["order by id desc limit 7", "order by type, id limit 130 offset 20", "order by id"])
def test_in_order(slow: Connection, sim: Simulator, tail: str) -> None:
    statement = f"select id, type from {{}} where type = any (%s) {tail}"
    arguments: list[Any] = [frequent(sim)]
    assert rows(slow, statement.format("activities"), arguments) == rows(slow, statement.format("copied"), arguments)
    assert set(spans(sim)) == set(arguments[0])


def test_a_limit_asks_no_more_than_a_page_of_each(slow: Connection, sim: Simulator) -> None:
    types = frequent(sim)
    found = rows(slow, "select id, type from activities where type = any (%s) limit 7", [types])
    assert len(set(found)) == 7
    assert {type_ for _, type_ in found} <= set(types)
    assert len(sim.log()) == 1
