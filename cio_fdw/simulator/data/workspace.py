"""The whole made-up workspace, ready to be loaded into tables."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data import library
from cio_fdw.simulator.data.activities import History, make_activities
from cio_fdw.simulator.data.broadcasts import make_broadcasts
from cio_fdw.simulator.data.campaigns import make_campaigns
from cio_fdw.simulator.data.messages import Sender
from cio_fdw.simulator.data.newsletters import make_newsletters
from cio_fdw.simulator.data.segments import make_members, make_segments

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
    sender = Sender(rng, made, messages, now_s)

    def own(name: str) -> random.Random:
        """Chance of one endpoint alone, so that the rows of the others do not depend on it."""
        return random.Random(f"{seed}/{name}")  # noqa: S311 - the same seed gives the same rows

    history = History(own("history"), sender.history(messages, now_s), now_s)
    broadcasts = make_broadcasts(own("broadcasts"), campaigns + 1, now_s)
    activities = make_activities(own("activities"), history, sender.people, now_s)
    return Workspace(
        rows={
            "campaigns": _alone(campaign.row for campaign in made),
            "campaign_actions": ((action, campaign.row["id"]) for campaign in made for action in campaign.actions),
            # Before the activities, which are made from messages.
            "messages": _alone(history),
            "activities": _alone(activities),
            "broadcasts": _alone(broadcast.row for broadcast in broadcasts),
            "broadcast_actions": ((action, action["broadcast_id"]) for data in broadcasts for action in data.actions),
            "newsletters": _alone(make_newsletters(own("newsletters"), sender.blasts_s, now_s)),
            "transactional_messages": _alone(library.make_templates(own("templates"), now_s)),
            "segments": _alone(make_segments(own("segments"), now_s)),
            "segment_membership": make_members(own("members"), sender.people),
            "collections": _alone(library.make_collections(own("collections"), now_s)),
            "snippets": _alone(library.make_snippets(own("snippets"), now_s)),
            "sender_identities": _alone(library.make_senders(own("senders"), now_s)),
            "subscription_topics": _alone(library.make_topics()),
        },
        sender=sender,
    )


def _alone(rows: Iterable[Row]) -> Rows:
    """Rows that have no parent."""
    return ((row, None) for row in rows)
