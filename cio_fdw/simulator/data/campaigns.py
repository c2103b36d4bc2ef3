"""Campaigns of all seven trigger kinds, and the actions inside them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.actions import make_action
from cio_fdw.simulator.data.content import DATES, EVENTS, PLANS, ZONES
from cio_fdw.simulator.data.rhythm import DAY_S, HISTORY_DAYS
from cio_fdw.simulator.data.segments import SEGMENT_IDS

ALWAYS_RUNNING = 3
"""The first campaigns run through the whole history, so that every moment of it has one."""


@dataclass(frozen=True)
class CampaignData:
    """One campaign with its full actions, and the seconds between which it sent messages."""

    row: Row
    actions: list[Row]
    sends_from_s: int
    sends_until_s: int


def make_campaigns(rng: random.Random, count: int, now_s: int) -> list[CampaignData]:
    """`count` campaigns; beyond the plans, names repeat with a round number."""
    return [_campaign(rng, number, now_s) for number in range(count)]


def _campaign(rng: random.Random, number: int, now_s: int) -> CampaignData:
    kind, name, description, tags = PLANS[number % len(PLANS)]
    chosen = 0 if number < ALWAYS_RUNNING else rng.random()
    state = "running" if chosen < 0.65 else "stopped" if chosen < 0.87 else "draft"
    created_s = now_s - DAY_S * (HISTORY_DAYS + 30 + rng.randrange(500)) - rng.randrange(DAY_S)
    if number >= ALWAYS_RUNNING and rng.random() < 0.4:
        created_s = now_s - DAY_S * (5 + rng.randrange(HISTORY_DAYS)) - rng.randrange(DAY_S)
    started_s = min(now_s, created_s + rng.randrange(3600, 3 * DAY_S))
    updated_s = rng.randrange(started_s, now_s + 1)
    campaign_id = number + 1
    row: Row = {
        "id": campaign_id,
        "deduplicate_id": f"{campaign_id}:{updated_s}",
        "name": name if number < len(PLANS) else f"{name} (v{number // len(PLANS) + 1})",
        "type": kind,
        "created": created_s,
        "updated": updated_s,
        "active": state == "running",
        "state": state,
        "actions": [],
        "first_started": 0 if state == "draft" else started_s,
        "tags": list(tags) if rng.random() < 0.9 else [],
        **_trigger(rng, kind),
    }
    if rng.random() < 0.8:
        row["description"] = description
    action_count = 12 if number == 0 else min(14, 1 + int(14 * rng.random() ** 2))
    actions = [make_action(rng, row, step, now_s) for step in range(action_count)]
    row["actions"] = [{"id": action["id"], "type": action["type"]} for action in actions]
    row["msg_templates"] = [
        {"id": action["id"] + 100_000, "type": "sms" if action["type"] == "twilio" else action["type"]}
        for action in actions
        if action["type"] in ("email", "twilio", "push", "slack", "webhook")
    ]
    stopped_s = updated_s if state == "stopped" else now_s
    return CampaignData(row, actions, started_s, started_s - 1 if state == "draft" else stopped_s)


def _trigger(rng: random.Random, kind: str) -> Row:
    """The fields of one trigger kind (app-api.yaml, Campaign)."""
    if kind == "webhook":
        return {"webhook_id": rng.randrange(1, 20)}
    fields: Row = {"filter_segment_ids": [_segment_id(rng)] if rng.random() < 0.3 else []}
    if kind == "segment":
        fields["trigger_segment_ids"] = [_segment_id(rng)]
    elif kind == "event":
        fields["event_name"] = rng.choice(EVENTS)
    elif kind == "date":
        fields.update(
            date_attribute=rng.choice(DATES),
            frequency=rng.choice(("once", "monthly", "yearly")),
            start_hour=rng.randrange(6, 20),
            start_minutes=rng.choice((0, 15, 30, 45)),
            timezone=rng.choice(ZONES),
            use_customer_timezone=rng.random() < 0.5,
        )
    elif kind in ("object", "relationship"):
        fields.update(_object_trigger(rng, kind))
    return fields


def _segment_id(rng: random.Random) -> int:
    """One of the segments; the first ones serve more campaigns."""
    return SEGMENT_IDS[rng.randrange(1, 60) % len(SEGMENT_IDS)]


def _object_trigger(rng: random.Random, kind: str) -> Row:
    condition = {"and": [{"attribute": {"field": "kilos_left", "operator": "lt", "value": rng.randrange(2, 9)}}]}
    # NOTES.md: triggers are an object in the schema and JSON text in the example; both are served.
    triggers = condition if rng.random() < 0.5 else json.dumps(condition)
    return {
        "object_type_id": rng.randrange(1, 4),
        "audience": {"type": rng.randrange(2), "person_filters": {}, "relationship_filters": {}},
        "filter_object_attributes": json.dumps(condition),
        "filter_relationship_attributes": "{}",
        f"{kind}_attribute_triggers": triggers,
    }
