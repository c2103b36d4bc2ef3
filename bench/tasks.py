"""What is measured at the limit of the API: one question, as SQL for us and as words for the peers' programs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.client import Simulator

DAY_S = 86_400
PAGE_ROWS = 1000
ALL_DAYS = 178
"""Within the 180 days that one request may ask for, so that peers need no windows either."""


class Figures(NamedTuple):
    """Rows that arrived, seconds by the clock, and the most memory of one process in MB."""

    rows: int
    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Task:
    """`what`: messages, campaign (of messages) or actions. Bounds are unix seconds; `end_s` is not included."""

    title: str
    what: str
    start_s: int = 0
    end_s: Optional[int] = None
    campaign: int = 0

    @property
    def query(self) -> str:
        """The FROM clause and what follows it."""
        if self.what == "actions":
            return "from customerio.campaign_actions"
        conditions = [f"created >= to_timestamp({self.start_s})"]
        if self.end_s is not None:
            conditions.append(f"created < to_timestamp({self.end_s})")
        if self.what == "campaign":
            conditions.append(f"campaign_id = {self.campaign}")
        return f"from customerio.messages where {' and '.join(conditions)}"

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of a peer's program after the root of the API."""
        end = () if self.end_s is None else (str(self.end_s - 1),)
        return (self.what, str(self.start_s), str(self.campaign), *end)


def tasks(simulator: Simulator, now_s: int) -> list[Task]:
    campaign = _busiest_campaign(simulator)
    return [
        Task("every message in reach", "messages", now_s - ALL_DAYS * DAY_S),
        Task("three months of one campaign", "campaign", now_s - 90 * DAY_S, campaign=campaign),
        Task("actions of all campaigns", "actions"),
    ]


def parts(task: Task, count: int, now_s: int) -> list[Task]:
    """A range of its own for each of `count` analysts."""
    width_s = (now_s - task.start_s) // count
    starts = [task.start_s + number * width_s for number in range(count)]
    return [Task(task.title, task.what, start_s, start_s + width_s) for start_s in starts]


def needed(task: Task, rows: Sequence[int], simulator: Simulator) -> int:
    """Requests that full pages would take; `rows` of each contender's part."""
    if task.what != "actions":
        return sum(max(math.ceil(count / PAGE_ROWS), 1) for count in rows)
    paging = ENDPOINTS["campaign_actions"].paging
    assert paging
    counts = Counter(action["campaign_id"] for action in simulator.data("campaign_actions"))
    pages = (math.ceil(counts[parent["id"]] / paging.page_size) for parent in simulator.data("campaigns"))
    return 1 + sum(max(count, 1) for count in pages)


def _busiest_campaign(simulator: Simulator) -> int:
    counts = Counter(row["campaign_id"] for row in simulator.data("messages") if row["campaign_id"])
    return int(counts.most_common(1)[0][0])
