"""Messages that lie unevenly in time: each row comes once, for at most a tenth more requests than full pages take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Callable

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.database import set_up
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, params, value

DAY_S = 86_400
PAGES, PAGE_ROWS = 280, 10
ROWS = PAGES * PAGE_ROWS
Place = Callable[[int], float]
"""From the number of a message to how many days old it is."""

SHAPES: dict[str, Place] = {
    "even": lambda number: 170 * number / ROWS,
    "a burst of two hours, 80 days ago": lambda number: 80 + number / ROWS / 12 if number % 10 else 170 * number / ROWS,
    "twelve blasts of ten minutes": lambda number: 14 * (number % 12) + 1 + number / ROWS / 144,
}


@pytest.fixture(params=SHAPES)
def uneven(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[tuple[Connection, Simulator]]:
    place, now_s = SHAPES[request.param], int(time.time())
    with Simulator(messages=0, campaigns=1, rate=0, seed=7) as simulator:
        simulator.add_messages(*({"created": now_s - 60 - int(place(i) * DAY_S)} for i in range(ROWS)))
        with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
            connection.execute("drop database if exists uneven with (force)")
            connection.execute("create database uneven")
        address = cluster.socket_url("uneven")
        options = {"base_url": simulator.url, "requests_per_second": "1000", "page_size": str(PAGE_ROWS)}
        set_up(address, options, Secret(simulator.key))
        with psycopg.connect(address, autocommit=True) as db:
            yield db, simulator


def test_every_row_comes_once_for_few_requests(uneven: tuple[Connection, Simulator]) -> None:
    db, simulator = uneven
    query = "select count(*), count(distinct id) from customerio.messages where created > now() - interval '179 days'"
    assert db.execute(query).fetchone() == (ROWS, ROWS)
    targets = asked(simulator)
    assert PAGES <= len(targets) <= 1.1 * PAGES + 5
    assert len({params(target)["start_ts"] for target in targets}) > 2, "ranges were cut"


def test_a_limit_is_one_request(uneven: tuple[Connection, Simulator]) -> None:
    db, simulator = uneven
    assert value(db, "select count(*) from (select id from customerio.messages limit 3) few") == 3
    assert len(asked(simulator)) == 1
