"""Random conditions on functions of `created` lose no row: each gives what a local copy gives.

$CIO_SHAPES_CONDITIONS: how many conditions per zone (default 40).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from random import Random

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.doors import set_up
from tests.native.backend import Connection, scalar
from tests.native.shapes_world import DAY_S, OPERATORS, ZONES, chain, changes, messages

CONDITIONS = int(os.environ.get("CIO_SHAPES_CONDITIONS") or 40)
YEAR_S = 366 * DAY_S
HISTORY_S = 170 * DAY_S
"""The API tells of six months."""


def anchors() -> list[int]:
    """An instant in the middle of the history, and whatever clock change there was within it."""
    now_s = int(time.time())
    middle_s = now_s - now_s % DAY_S - HISTORY_S // 2
    found = {at_s for zone in ZONES for at_s in changes(zone, now_s - HISTORY_S, now_s - DAY_S)}
    return [middle_s, middle_s + 31 * DAY_S, *sorted(found)]


@pytest.fixture(scope="module")
def crowded(cluster: Cluster) -> Iterator[str]:
    """A database of messages around the anchors, with a local copy of them: schema plain."""
    with Simulator(messages=0, campaigns=1, rate=0, seed=7) as simulator:
        times = messages(anchors())
        for first in range(0, len(times), 500):
            simulator.add_messages(*({"created": at_s} for at_s in times[first : first + 500]))
        with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
            connection.execute("create database shapes")
        address = cluster.socket_url("shapes")
        set_up(address, {"base_url": simulator.url, "requests_per_second": "1000"}, Secret(simulator.key))
        with psycopg.connect(address, autocommit=True) as db:
            db.execute("create schema plain")
            db.execute("create table plain.messages as select id, created from customerio.messages")
            assert int(scalar(db, "select count(*) from plain.messages")) == len(times)
        yield address


def answer(db: Connection, table: str, condition: str) -> object:
    """The ids, or the SQLSTATE of the error."""
    try:
        return {row[0] for row in db.execute(f"select id from {table} m where {condition}")}
    except psycopg.errors.DataError as error:
        return error.sqlstate


def right_side(db: Connection, dice: Random, text: str, anchor_s: int) -> str:
    """The value that the function has for one of the messages near the anchor, as a literal of its type."""
    nearest = dice.choice((8, 30, 200))
    query = f"""
        select quote_literal({text}) || '::' || pg_typeof({text})
        from plain.messages m order by abs(extract(epoch from created) - {anchor_s}) limit {nearest}"""
    return str(dice.choice(db.execute(query).fetchall())[0])


@pytest.mark.parametrize("zone", ZONES)
def test_no_row_is_lost(crowded: str, zone: str) -> None:
    dice = Random(f"shapes {zone}")
    now_s = int(time.time())
    anchors_s = anchors()
    times = changes(zone, now_s - 2 * YEAR_S, now_s + 2 * YEAR_S) or [now_s - HISTORY_S // 2]
    with psycopg.connect(crowded, autocommit=True) as db:
        for number in range(CONDITIONS):
            db.execute("select set_config('timezone', %s, false)", [dice.choice((zone, zone, "UTC"))])
            anchor_s = dice.choice(anchors_s)
            text = chain(dice, zone, anchor_s, dice.choice(times)).text
            condition = f"{text} {dice.choice(OPERATORS)} {right_side(db, dice, text, anchor_s)}"
            if number % 4 == 3:
                condition = f"not ({condition})"
            expected = answer(db, "plain.messages", condition)
            found = answer(db, "customerio.messages", condition)
            assert found == expected, f"{scalar(db, 'show timezone')}: {condition}"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"])
def test_a_clock_set_back_after_an_interval(crowded: str, zone: str) -> None:
    """The clock changes near created + interval, not near created: local times that come twice lose no row."""
    now_s = int(time.time())
    anchor_s = anchors()[0]
    lost = []
    with psycopg.connect(crowded, autocommit=True) as db:
        for change_s in changes(zone, now_s - YEAR_S, now_s + YEAR_S):
            local = f"(m.created + interval '{(change_s - anchor_s) // 3600} hours') at time zone '{zone}'"
            for minutes in range(-60, 61, 20):
                value = f"(to_timestamp({change_s + minutes * 60}) at time zone '{zone}')"
                for operator in OPERATORS:
                    condition = f"{local} {operator} {value}"
                    if answer(db, "plain.messages", condition) != answer(db, "customerio.messages", condition):
                        lost.append(condition)
    assert lost == []
