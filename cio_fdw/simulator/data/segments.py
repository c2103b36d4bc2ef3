"""Segments of the made-up workspace and the people in them: one segment has everybody, one nobody."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple, Optional

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.people import Person
from cio_fdw.simulator.data.rhythm import DAY_S


class Plan(NamedTuple):
    """One segment. `share` is the fraction of all people that it holds."""

    id: int
    name: str
    description: str
    share: float
    conditions: Optional[Row] = None
    """None for a manual segment."""
    tags: Optional[tuple[str, ...]] = None
    progress: Optional[int] = None


def _is(field: str, operator: str, value: object = None) -> Row:
    compared = {} if value is None else {"value": value}
    return {"attribute": {"field": field, "operator": operator, **compared}}


def _did(event: str, within_days: int, *, negated: bool = False) -> Row:
    done: Row = {"event": {"name": event, "within": within_days * DAY_S}}
    return {"not": done} if negated else done


PLANS: tuple[Plan, ...] = (
    Plan(1, "Everyone", "", 1.0, {"or": [_is("email", "exists"), _is("id", "exists")]}),
    Plan(2, "Paying", "Has a running subscription", 0.58, {"and": [_is("plan", "exists")]}, ("billing",)),
    Plan(3, "Opened something in 90 days", "", 0.36, {"and": [_did("opened", 90)]}, ("engagement", "hygiene")),
    Plan(5, "Subscription center: offers", "", 0.22, {"and": [_is("topics.topic_2", "eq", True)]}),
    Plan(6, "Quiet for 60 days", "No order for 60 days", 0.15, {"and": [_did("order_placed", 60, negated=True)]}),
    Plan(
        8, "Office accounts", "Related to an object of type 1", 0.09, {"and": [_is("plan", "eq", "office")]}, ("b2b",)
    ),
    Plan(
        9,
        'Exactly 1 bag in "their" plan',
        "The 'one more bag' upsell",
        0.06,
        {"and": [_is("bags", "eq", 1)]},
        ("revenue",),
    ),
    Plan(11, "Cafés – Zürich & Genève", "", 0.04, {"and": [_is("country", "eq", "CH")]}, ("ch", "loyalty")),
    Plan(12, "日本のお客様", "Japanese speakers", 0.025, {"and": [_is("language", "eq", "ja")]}, ("jp",)),
    Plan(14, "VIP: top 5 % by spend", "Rebuilt on Mondays", 0.05, {"and": [_is("spend_90d", "gt", 400)]}, (), 40),
    Plan(15, "Cupping night, import", "Uploaded by Mira", 0.012),
    Plan(17, "Wholesale leads", "From the fair", 0.006, None, ("b2b", "sales")),
    Plan(18, "Ambassadors", "", 0.003),
    Plan(20, "Test: only us", "Seed list of the team", 0.0005),
    Plan(21, "Waits for lot 41", "Emptied when the lot came back", 0.0, {"and": [_is("waits_for", "eq", "lot-41")]}),
)
SEGMENT_IDS = tuple(plan.id for plan in PLANS)


def make_segments(rng: random.Random, now_s: int) -> list[Row]:
    """All segments. `conditions` is a key that the API's description lacks (OBSERVED.md, Everywhere)."""
    return [_segment(rng, plan, now_s) for plan in PLANS]


def make_members(rng: random.Random, people: list[Person]) -> Iterator[tuple[Row, object]]:
    """(identifiers, segment id) of everyone in each segment, in the order of cio_id."""
    for plan in PLANS:
        count = max(1, round(len(people) * plan.share)) if plan.share else 0
        for number in sorted(rng.sample(range(len(people)), count)):
            yield people[number].identifiers, plan.id


def _segment(rng: random.Random, plan: Plan, now_s: int) -> Row:
    created_s = now_s - rng.randrange(250, 900) * DAY_S - rng.randrange(DAY_S)
    updated_s = rng.randrange(created_s, now_s)
    row: Row = {
        "id": plan.id,
        "deduplicate_id": f"{plan.id}:{updated_s}",
        "name": plan.name,
        "description": plan.description,
        "type": "manual" if plan.conditions is None else "dynamic",
        "state": "finished" if plan.progress is None else "build",
        "progress": plan.progress,
        "tags": None if plan.tags is None else list(plan.tags),
        "created_at": created_s,
        "updated_at": updated_s,
    }
    if plan.conditions is not None:
        row["conditions"] = plan.conditions
    return row
