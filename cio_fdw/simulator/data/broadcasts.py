"""Broadcasts that other systems trigger, and the actions inside them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Optional

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.actions import make_action
from cio_fdw.simulator.data.rhythm import DAY_S

STEPS = ("Notice", "For people with the app", "For people without e-mail", "All clear")

# (name, tags, actions, what first_started holds: a time, 0, or nothing at all)
PLANS: tuple[tuple[str, Optional[tuple[str, ...]], int, str], ...] = (
    ("Outage notice", ("ops",), 2, "time"),
    ("Recall: lot 41 – please don't brew", ("ops", "critical"), 4, "time"),
    ("Roastery closed: snow ❄️", ("ops",), 3, "time"),
    ('Price change ("new plans")', ("billing",), 1, "time"),
    ("Courier strike, by region", None, 2, "time"),
    ("Cupping night moved", ("events",), 1, "time"),
    ("Data incident (rehearsal only)", ("critical", "legal"), 1, "zero"),
    ("Untitled broadcast", None, 0, "absent"),
)


@dataclass(frozen=True)
class BroadcastData:
    """One broadcast with its full actions."""

    row: Row
    actions: list[Row]


def make_broadcasts(rng: random.Random, first_id: int, now_s: int) -> list[BroadcastData]:
    """All broadcasts. Their ids follow those of the campaigns: the API keeps both in one sequence."""
    return [_broadcast(rng, first_id + number, number, now_s) for number in range(len(PLANS))]


def _broadcast(rng: random.Random, broadcast_id: int, number: int, now_s: int) -> BroadcastData:
    name, tags, action_count, started = PLANS[number]
    created_s = now_s - rng.randrange(40, 500) * DAY_S - rng.randrange(DAY_S)
    started_s = created_s + rng.randrange(3600, 5 * DAY_S)
    updated_s = rng.randrange(started_s, now_s)
    runs = started == "time"
    row: Row = {
        "id": broadcast_id,
        "deduplicate_id": f"{broadcast_id}:{updated_s}",
        "name": name,
        "type": "triggered_broadcast",
        "created": created_s,
        "updated": updated_s,
        "active": runs,
        "state": "running" if runs else "draft",
        "actions": [],
        "tags": None if tags is None else list(tags),
    }
    if started != "absent":
        row["first_started"] = started_s if runs else 0
    if number % 3 == 0:
        row["created_by"] = "Mira Keller"
    actions = [_action(rng, row, step, now_s) for step in range(action_count)]
    row["actions"] = [{"id": action["id"], "type": action["type"]} for action in actions]
    return BroadcastData(row, actions)


def _action(rng: random.Random, broadcast: Row, step: int, now_s: int) -> Row:
    """An action as campaigns have them, without the keys that only theirs have."""
    action = make_action(rng, broadcast, step, now_s)
    action["name"] = STEPS[step]
    action.pop("parent_action_id", None)
    broadcast_id = action.pop("campaign_id")
    return {"id": action.pop("id"), "broadcast_id": broadcast_id, **action}
