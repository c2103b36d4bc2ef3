"""The kinds of reading that the fault matrix covers, on foreign tables with small pages.

list      every newsletter, in pages
child     the members of one segment, in pages
children  the actions of every campaign: the list of campaigns, then each one's actions
window    the messages of three weeks, in pages
one       the one-row read of a newsletter
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, rows

TIMEOUT_S = 0.4
RETRIES = 1
DAY_S = 86400
PAGE_SIZES = {"newsletters": 20, "segment_membership": 40, "messages": 100}
TABLES = (*PAGE_SIZES, "campaign_actions")


@dataclass(frozen=True)
class Shape:
    """`where`: what follows the table's name; `path`: a pattern of what is asked, `pages` in that many requests."""

    name: str
    table: str
    where: str
    path: str
    pages: int = 1

    @property
    def query(self) -> str:
        return f"select to_jsonb(t) from faulty.{self.table} t {self.where}"

    @property
    def is_paged(self) -> bool:
        return self.pages > 1


SHAPES = (
    Shape("list", "newsletters", "", r"/v1/newsletters", 3),
    Shape("child", "segment_membership", "where segment_id = 3", r"/v1/segments/3/membership", 3),
    Shape("children", "campaign_actions", "", r"/v1/campaigns/\d+/actions"),
    Shape(
        "window", "messages",
        "where created >= now() - interval '22 days' and created < now() - interval '1 day'", r"/v1/messages", 3,
    ),
    Shape("one", "newsletters", "where id = 7", r"/v1/newsletters/7"),
)  # fmt: skip


def make_tables(db: Connection, sim: Simulator) -> None:
    """The server `faulty` with the schema of that name: one retry, a short timeout, small pages."""
    db.execute(f"""
        drop schema if exists faulty cascade;
        drop server if exists faulty cascade;
        create server faulty foreign data wrapper cio_fdw options (
            base_url '{sim.url}', requests_per_second '1000', max_retries '{RETRIES}', timeout '{TIMEOUT_S}');
        create user mapping for current_user server faulty options (app_api_key '{sim.key}');
        create schema faulty;
        import foreign schema customerio limit to ({", ".join(TABLES)}) from server faulty into faulty""")
    for table, size in PAGE_SIZES.items():
        db.execute(f"alter foreign table faulty.{table} options (add page_size '{size}')")


def drop_tables(db: Connection) -> None:
    db.execute("drop schema faulty cascade; drop server faulty cascade")


def content(db: Connection, query: str) -> Counter[str]:
    """The rows of a query of one column, each as text, with how often it comes."""
    return Counter(str(row) for (row,) in rows(db, query))


def truth(sim: Simulator, shape: Shape) -> list[Any]:
    """What the shape's rows are in the simulator's own data, as far as ids go."""
    if shape.name == "one":
        return [7]
    if shape.name == "child":
        return sorted(row["cio_id"] for parent, row in sim.data_by_parent(shape.table) if parent == 3)
    if shape.name == "window":
        now_s = time.time()
        since_s, until_s = now_s - 22 * DAY_S, now_s - DAY_S
        return sorted(row["id"] for row in sim.data(shape.table) if since_s <= row["created"] < until_s)
    return sorted(row["id"] for row in sim.data(shape.table))
