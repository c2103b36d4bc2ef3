"""Newsletters: one for each blast of messages, and two that have not been sent."""

from __future__ import annotations

import random
from typing import Optional

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.content import NEWSLETTERS
from cio_fdw.simulator.data.rhythm import DAY_S
from cio_fdw.simulator.data.segments import SEGMENT_IDS

TAGS: tuple[tuple[str, ...], ...] = (("weekly",), ("product",), (), ("origins", "stories"), ("sale", "revenue"))
TOPICS = (1, 3, 4, 1, 2)
"""Topic of the subscription center for each kind of newsletter."""
UNSENT = ("drafted", "scheduled")


def channel_of(number: int) -> str:
    """Every tenth newsletter is a push."""
    return "push" if number % 10 == 7 else "email"


def variants_of(number: int) -> int:
    """Every third newsletter is an A/B test."""
    return 2 if number % 3 == 0 else 1


def make_newsletters(rng: random.Random, blasts_s: list[int], now_s: int) -> list[Row]:
    """Newsletter n went out at blasts_s[n - 1]; those after the last blast wait."""
    sent = [_newsletter(rng, number, at_s, now_s) for number, at_s in enumerate(blasts_s, start=1)]
    first = len(sent) + 1
    waiting = [_newsletter(rng, number, None, now_s, state) for number, state in enumerate(UNSENT, start=first)]
    return sent + waiting


def _newsletter(rng: random.Random, number: int, sent_s: Optional[int], now_s: int, state: str = "sent") -> Row:
    kind = number % len(NEWSLETTERS)
    before_s = now_s if sent_s is None else sent_s
    created_s = before_s - rng.randrange(3600, 6 * DAY_S)
    updated_s = rng.randrange(created_s, before_s)
    row: Row = {
        "id": number,
        "deduplicate_id": f"{number}:{updated_s}",
        "name": NEWSLETTERS[kind][0].format(n=number),
        "type": channel_of(number),
        "created": created_s,
        "updated": updated_s,
        "sent_at": sent_s,
        "content_ids": [number * 2 + variant for variant in range(variants_of(number))],
        "tags": list(TAGS[kind]),
        "recipient_segment_ids": sorted(rng.sample(SEGMENT_IDS, rng.choice((1, 1, 2)))),
        "send_state": state,
    }
    if channel_of(number) == "email":
        row["subscription_topic_id"] = TOPICS[kind]
    return row
