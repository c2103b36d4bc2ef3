"""Messages that lie unevenly in time: each row comes once, for at most a tenth more requests than full pages take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import psycopg
import pytest

from cio_fdw.densities import FILE_NAME
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.database import set_up
from cio_fdw.simulator.client import Simulator
from cio_fdw.state import DEFAULT_NAME
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
    assert PAGES <= len(targets) <= 1.1 * PAGES
    assert len({params(target)["start_ts"] for target in targets}) > 2, "ranges were cut"


def test_the_second_scan_is_divided_as_the_first_one_showed(uneven: tuple[Connection, Simulator]) -> None:
    """No page is read twice, no more than one page of a part is not full, and EXPLAIN ANALYZE counts the same."""
    db, simulator = uneven
    query = "select id from customerio.messages where created > now() - interval '179 days'"
    db.execute(query)
    simulator.reset()
    found = [id_ for (id_,) in db.execute(query)]
    second = asked(simulator)
    assert len(found) == len(set(found)) == ROWS
    begins = [params(target) for target in second if "start" not in params(target)]
    assert len(begins) == 7, "two parts for each request that may be under way, and what is newer"
    assert len(second) <= PAGES + len(begins)
    ends = sorted((int(of["start_ts"]), int(of.get("end_ts", 2**40))) for of in begins)
    assert all(older[1] + 1 == newer[0] for older, newer in zip(ends, ends[1:]))
    simulator.reset()
    told = "".join(line for (line,) in db.execute(f"explain (analyze, costs off) {query}"))
    assert f"API Requests Sent: {len(asked(simulator))}" in told
    assert f"API Ranges Read: {sum('start' not in params(target) for target in asked(simulator))}" in told


def test_a_limit_after_a_scan_is_one_request(uneven: tuple[Connection, Simulator]) -> None:
    """What is known of a list must not make a scan that is given up ask for more."""
    db, simulator = uneven
    db.execute("select id from customerio.messages where created > now() - interval '179 days'")
    simulator.reset()
    assert value(db, "select count(*) from (select id from customerio.messages limit 3) few") == 3
    assert len(asked(simulator)) == 1
    simulator.reset()
    with db.transaction():
        db.execute("declare few cursor for select id from customerio.messages")
        assert len(db.execute("fetch 5 from few").fetchall()) == 5
    assert len(asked(simulator)) <= 3


def test_another_key_knows_nothing_of_it(uneven: tuple[Connection, Simulator]) -> None:
    """It may be of another workspace."""
    db, simulator = uneven
    query = "select id from customerio.messages where created > now() - interval '179 days'"
    db.execute(query)
    simulator.reset()
    place = value(db, "select setting from pg_settings where name = 'data_directory'")
    known = Path(str(place)) / DEFAULT_NAME / FILE_NAME
    before = known.read_bytes()
    db.execute("alter user mapping for current_user server customerio options (set app_api_key 'another-key')")
    with pytest.raises(psycopg.Error):
        db.execute(query)
    assert known.read_bytes() == before, "a scan that failed shows nothing"
    (begin,) = {params(target).get("end_ts") for target in asked(simulator)}
    assert begin is None, "one range, in one piece"


def test_a_limit_is_one_request(uneven: tuple[Connection, Simulator]) -> None:
    db, simulator = uneven
    assert value(db, "select count(*) from (select id from customerio.messages limit 3) few") == 3
    assert len(asked(simulator)) == 1
