"""The whole made-up workspace, ready to be loaded into tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.campaigns import make_campaigns
from cio_fdw.simulator.data.messages import Sender

Rows = Iterator[tuple[Row, object]]


@dataclass(frozen=True)
class Workspace:
    """Rows per endpoint as (row, key of the parent), each iterator to be read once; `sender` makes new messages."""

    rows: dict[str, Rows]
    sender: Sender


def make_workspace(seed: int, now_s: int, campaigns: int, messages: int) -> Workspace:
    """The workspace of one seed as it looks at `now_s`."""
    rng = random.Random(seed)  # noqa: S311 - the same seed gives the same rows
    made = make_campaigns(rng, campaigns, now_s)
    sender = Sender(rng, made, messages)
    return Workspace(
        rows={
            "campaigns": ((campaign.row, None) for campaign in made),
            "campaign_actions": ((action, campaign.row["id"]) for campaign in made for action in campaign.actions),
            "messages": ((row, None) for row in sender.history(messages, now_s)),
        },
        sender=sender,
    )
