"""A retry neither doubles nor drops a row: every request of every table fails once, each in another way."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.client import Simulator
from tests.faults.shapes import content
from tests.sql.helpers import Connection, asked

PAGE_SIZE = 500
NOW_S = int(time.time())
ACTIONS = (
    {"kind": "cut", "bytes": 700},
    {"kind": "reset"},
    {"kind": "gzip", "damage": "cut"},
    {"kind": "bad_json"},
    {"kind": "status", "status": 503},
)
# The reset inside a body for all, as rows were read already; the other ways for one table of each kind of paging.
CASES = [(table, ACTIONS[0]) for table in sorted(ENDPOINTS) if not ENDPOINTS[table].by_page]
CASES += [(table, action) for table in ("messages", "campaign_actions", "newsletters") for action in ACTIONS[1:]]


@pytest.fixture(scope="module")
def small_pages(database: str, simulator: Simulator) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as db:
        db.execute(f"""
            create server paged foreign data wrapper cio_fdw options (
                base_url '{simulator.url}', requests_per_second '1000', max_retries '3', page_size '{PAGE_SIZE}');
            create user mapping for current_user server paged options (app_api_key '{simulator.key}');
            create schema paged;
            import foreign schema customerio from server paged into paged""")
        yield db
        db.execute("drop schema paged cascade; drop server paged cascade")


def requests(sim: Simulator) -> Counter[str]:
    """How often each was sent. Bounds of time move from statement to statement."""
    return Counter(re.sub(r"(start|end)_ts=\d+&", "", target) for target in asked(sim))


@pytest.mark.parametrize(("table", "action"), CASES, ids=lambda part: part if isinstance(part, str) else part["kind"])
def test_every_request_fails_once(small_pages: Connection, sim: Simulator, table: str, action: dict[str, Any]) -> None:
    # What time adds to a table and takes from it between two statements is not the subject.
    since = f" where created between to_timestamp({NOW_S - 170 * 86400}) and to_timestamp({NOW_S - 3600})"
    since = since if ENDPOINTS[table].window else ""
    query = f"select to_jsonb(t) from paged.{table} t{since}"
    right = content(small_pages, query)
    calm = requests(sim)
    sim.reset()
    sim.faults([{"match": {"path": "/v1/", "fresh": True}, "times": None, "action": action}])
    assert content(small_pages, query) == right
    troubled = requests(sim)
    assert set(troubled) == set(calm)
    assert all(count >= 2 * calm[target] for target, count in troubled.items()), "a fault did not hit"
    assert right.total() == len(right) > 0
