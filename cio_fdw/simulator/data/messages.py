"""Deliveries: one row for each message that campaigns, newsletters and transactional templates sent."""

from __future__ import annotations

import base64
import random
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple, Optional

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.campaigns import CampaignData
from cio_fdw.simulator.data.content import DOMAIN, NEWSLETTERS, TRANSACTIONAL
from cio_fdw.simulator.data.newsletters import channel_of, variants_of
from cio_fdw.simulator.data.outcomes import Metrics, outcome, without_future
from cio_fdw.simulator.data.people import Person, make_people, pick
from cio_fdw.simulator.data.rhythm import blast_starts, blast_time, everyday_times

NEWSLETTER_SHARE = 0.35
CAMPAIGN_SHARE = 0.7
"""Of the messages that no newsletter sent; the others are transactional."""
PEOPLE_PER_MESSAGE = 1 / 12
MAX_DRAWS = 6
ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Source(NamedTuple):
    """What sends messages: one action of a campaign, a variant of a newsletter, or a transactional template."""

    channel: str
    subject: Optional[str]
    template_id: int
    campaign_id: Optional[int] = None
    newsletter_id: Optional[int] = None
    transactional_id: Optional[int] = None
    action_id: Optional[int] = None
    parent_action_id: Optional[int] = None
    content_id: Optional[int] = None
    has_event: bool = False
    drafts: bool = False


class Sender:
    """Makes messages: of the history while the simulator starts, and new ones while it runs."""

    def __init__(self, rng: random.Random, campaigns: list[CampaignData], expected: int, now_s: int) -> None:
        self._rng = rng
        self.people = make_people(rng, max(20, int(expected * PEOPLE_PER_MESSAGE)))
        self._campaigns = [(campaign, _sources(campaign)) for campaign in campaigns]
        # A few campaigns send most of the messages.
        self._weights = list(accumulate(1 / (1 + number) ** 0.8 for number in range(len(campaigns))))
        self._transactional = [
            Source(channel, subject or None, 300_000 + number, transactional_id=number)
            for number, (channel, subject, _share) in enumerate(TRANSACTIONAL, start=1)
        ]
        self._shares = list(accumulate(share for *_, share in TRANSACTIONAL))
        self.blasts_s = blast_starts(rng, now_s)
        """When each newsletter went out, in the order of their ids."""

    def history(self, count: int, now_s: int) -> Iterator[Row]:
        """`count` messages of the months before `now_s`, in no order of time."""
        starts = self.blasts_s
        in_blasts = int(count * NEWSLETTER_SHARE) if starts else 0
        newsletters = [_newsletter(number) for number in range(1, len(starts) + 1)]
        for _ in range(in_blasts):
            number = self._rng.randrange(len(starts))
            created_s = blast_time(self._rng, starts[number])
            yield self.message(self._rng.choice(newsletters[number]), created_s, now_s)
        for created_s in everyday_times(self._rng, count - in_blasts, now_s):
            yield self.everyday(created_s, now_s)

    def everyday(self, created_s: int, now_s: int) -> Row:
        """A message of a campaign that sent at `created_s`, or a transactional one."""
        return self.message(self._everyday_source(created_s), created_s, now_s)

    def message(self, source: Source, created_s: int, now_s: int) -> Row:
        """One row as the API shows it, with what has happened by `now_s`."""
        rng = self._rng
        person, recipient = self._recipient(source.channel)
        message_id = base64.urlsafe_b64encode(rng.getrandbits(112).to_bytes(14, "big")).decode()
        failure: Optional[str] = None
        if source.drafts:
            metrics: Metrics = {"drafted": created_s}
        else:
            metrics, failure = outcome(rng, source.channel, created_s)
            if max(metrics.values()) > now_s:
                metrics = without_future(metrics, now_s)
                failure = failure if len(metrics) else None
        forgotten = rng.random() < 0.004
        subject = source.subject
        if subject is not None and "{name}" in subject:
            subject = subject.replace("{name}", person.first_name)
        row: Row = {
            "id": message_id,
            "deduplicate_id": deduplicate_id(message_id, metrics, created_s),
            "type": source.channel,
            "campaign_id": source.campaign_id,
            "broadcast_id": None,
            "newsletter_id": source.newsletter_id,
            "action_id": source.action_id,
            "parent_action_id": source.parent_action_id,
            "content_id": source.content_id,
            "trigger_event_id": self._ulid() if source.has_event else None,
            "customer_id": person.id,
            "customer_identifiers": person.identifiers,
            "recipient": recipient,
            "subject": None if forgotten else subject,
            "created": created_s,
            "failure_message": failure,
            "forgotten": forgotten,
            "msg_template_id": source.template_id,
            "metrics": metrics,
        }
        if source.transactional_id is not None:
            # OBSERVED.md: an undeclared key, on the messages that have one.
            row["transactional_message_id"] = source.transactional_id
        return row

    def _everyday_source(self, created_s: int) -> Source:
        rng = self._rng
        if self._campaigns and rng.random() < CAMPAIGN_SHARE:
            for _ in range(MAX_DRAWS):
                campaign, sources = self._campaigns[bisect(self._weights, rng.random() * self._weights[-1])]
                if campaign.sends_from_s <= created_s <= campaign.sends_until_s and sources:
                    return sources[int(len(sources) * rng.random() ** 1.6)]
        return self._transactional[bisect(self._shares, rng.random() * self._shares[-1])]

    def _recipient(self, channel: str) -> tuple[Person, str]:
        person = pick(self._rng, self.people)
        while channel == "email" and not person.email:
            person = pick(self._rng, self.people)
        if channel == "email":
            return person, person.email or ""
        if channel in ("twilio", "whatsapp"):
            return person, person.phone
        if channel == "slack":
            return person, "#ops-subscriptions"
        if channel == "webhook":
            return person, f"https://hooks.{DOMAIN}/steps"
        return person, person.device if channel == "push" else person.cio_id

    def _ulid(self) -> str:
        return "01J" + "".join(self._rng.choices(ULID_DIGITS, k=23))


def deduplicate_id(message_id: str, metrics: Metrics, created_s: int) -> str:
    """id:<newest metric> (OBSERVED.md); the second of creation when nothing has happened yet."""
    return f"{message_id}:{max(metrics.values(), default=created_s)}"


def _sources(campaign: CampaignData) -> list[Source]:
    """The actions that send: all but those switched off. Actions in draft state make drafts."""
    return [
        Source(
            action["type"],
            action.get("subject", "").replace("{{customer.first_name}}", "{name}") or None,
            action["id"] + 100_000,
            campaign_id=campaign.row["id"],
            action_id=action["id"],
            parent_action_id=action.get("parent_action_id"),
            has_event=campaign.row["type"] == "event",
            drafts=action["sending_state"] == "draft",
        )
        for action in campaign.actions
        if action["sending_state"] != "off"
    ]


def _newsletter(number: int) -> list[Source]:
    """The variants of one newsletter."""
    _name, subject = NEWSLETTERS[number % len(NEWSLETTERS)]
    channel = channel_of(number)
    return [
        Source(channel, text, 200_000 + number * 2 + variant, newsletter_id=number, content_id=number * 2 + variant)
        for variant, text in enumerate((subject, f"{{name}}: {subject}")[: variants_of(number)])
    ]
