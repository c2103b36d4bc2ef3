"""The activity log of the last 30 days: what people did, and what happened to messages sent to them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.content import DOMAIN, EVENTS
from cio_fdw.simulator.data.messages import ULID_DIGITS
from cio_fdw.simulator.data.people import Person, pick
from cio_fdw.simulator.data.rhythm import DAY_S, weight

ACTIVITIES = 1500
KEPT_DAYS = 30
"""What the API guarantees (NOTES.md, The 14 tables)."""
MAX_MESSAGES = 260
"""Messages of which the log tells."""
BUSIEST = 28.0

_COMMON = ("attempted", "sent", "failed", "undeliverable")
# Metrics that have an activity type, by channel (app-api.yaml, ActivityType).
TOLD = {
    "email": (
        *_COMMON, "delivered", "opened", "clicked", "converted", "bounced", "dropped", "spammed", "unsubscribed",
    ),
    "push": (*_COMMON, "delivered", "opened", "clicked", "bounced", "dropped"),
    "in_app": (*_COMMON, "opened", "clicked", "converted"),
    "twilio": (*_COMMON, "delivered", "clicked", "converted", "bounced", "dropped"),
    "whatsapp": (*_COMMON, "delivered", "converted", "bounced"),
    "slack": _COMMON,
    "webhook": (*_COMMON, "clicked", "converted", "dropped"),
}  # fmt: skip
DELIVERY_TYPES = {"email": ("email",), "push": ("ios", "android"), "twilio": ("phone",), "whatsapp": ("phone",)}

CHANGES = (
    ("plan", ("", "solo", "duo", "office")),
    ("country", ("", "CH", "DE", "JP", "US")),
    ("grind", ("whole bean", "moka pot", "V60", "espresso")),
    ("note", ('says "not before 9"', "déjà vu", "ring twice; don't knock", "")),
)
PAGES = ("/", "/shop/lots/41", "/quiz?from=mail&step=2", "/account", "/blog/sch%C3%B6ner-brühen", "/cart")
SCREENS = ("Home", "Brew timer", "Scan a bag", "Profile")
KINDS = ("event",) * 9 + ("attribute_change",) * 6 + ("page",) * 5 + ("screen",) * 2
RARE_KINDS = (
    "profile_create",
    "device_change",
    "add_relationship",
    "failed_event",
    "_o:1:attribute_change",
    "_r:1:attribute_change",
)


class History:
    """An iterator over messages that remembers a sample of the recent ones.

    Asked for the sample before its end, it reads ahead and keeps what it has read.
    """

    def __init__(self, rng: random.Random, messages: Iterator[Row], now_s: int) -> None:
        self._rng = rng
        self._messages = messages
        self._since_s = now_s - KEPT_DAYS * DAY_S
        self._ahead: deque[Row] = deque()
        self._seen = 0
        self._sample: list[Row] = []

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        if self._ahead:
            return self._ahead.popleft()
        row = next(self._messages)
        if row["created"] > self._since_s and "drafted" not in row["metrics"]:
            self._remember(row)
        return row

    def recent(self) -> list[Row]:
        """At most MAX_MESSAGES of the messages that were sent in the last KEPT_DAYS."""
        read: deque[Row] = deque(self)
        self._ahead = read
        return self._sample

    def _remember(self, row: Row) -> None:
        """Each recent message is as likely to stay in the sample as any other."""
        self._seen += 1
        if len(self._sample) < MAX_MESSAGES:
            self._sample.append(row)
            return
        place = self._rng.randrange(self._seen)
        if place < MAX_MESSAGES:
            self._sample[place] = row


def make_activities(rng: random.Random, history: History, people: list[Person], now_s: int) -> Iterator[Row]:
    """About ACTIVITIES rows, newest first. An id sorts by time."""
    rows = [row for message in history.recent() for row in _of_message(rng, message)]
    while len(rows) < ACTIVITIES:
        rows.append(_of_person(rng, pick(rng, people), _moment(rng, now_s)))
    yield from sorted(rows, key=lambda row: (row["timestamp"], row["id"]), reverse=True)


def _of_message(rng: random.Random, message: Row) -> Iterator[Row]:
    channel, metrics = message["type"], message["metrics"]
    told = [(at_s, name) for name, at_s in metrics.items() if name in TOLD[channel]]
    for at_s, name in told:
        row = _row(rng, f"{name}_{channel}", at_s, message["customer_id"], message["customer_identifiers"])
        row["delivery_id"] = message["id"]
        if channel in DELIVERY_TYPES:
            row["delivery_type"] = rng.choice(DELIVERY_TYPES[channel])
        data: Row = {"delivery_id": message["id"]}
        if message["failure_message"] and name in ("bounced", "dropped", "failed", "undeliverable"):
            data["reason"] = message["failure_message"]
        else:
            data["delivered"] = metrics.get("delivered")
            data["opened"] = True if "opened" in metrics else None
        yield {**row, "data": data}


def _of_person(rng: random.Random, person: Person, at_s: int) -> Row:
    kind = rng.choice(RARE_KINDS) if rng.random() < 0.06 else rng.choice(KINDS)
    row = _row(rng, kind, at_s, person.id, person.identifiers)
    if kind in ("event", "failed_event"):
        row["name"] = rng.choice(EVENTS)
        row["data"] = _event_data(rng)
    elif kind.endswith("attribute_change"):
        row["data"] = _changes(rng)
    elif kind == "page":
        path = rng.choice(PAGES)
        row.update(name=path, url=f"https://{DOMAIN}{path}", data={"referrer": "", "width": rng.randrange(320, 2560)})
    elif kind == "screen":
        row.update(name=rng.choice(SCREENS), data={"app": {"version": f"3.{rng.randrange(9)}.0"}})
    elif kind == "device_change":
        row["data"] = {"device_id": person.device, "platform": rng.choice(("ios", "android"))}
    elif kind == "add_relationship":
        row["data"] = {"object_type_id": "1", "object_id": f"acme-{rng.randrange(40)}"}
    else:
        row["data"] = {}
    return row


def _event_data(rng: random.Random) -> Row:
    data: Row = {"order_id": rng.randrange(10**6), "total": rng.randrange(500, 20000) / 100}
    if rng.random() < 0.3:
        data["items"] = [{"sku": f"lot-{rng.randrange(60)}", "grams": 250}, {"sku": "filter", "note": None}]
    return data


def _changes(rng: random.Random) -> Row:
    """{"plan": {"from": "solo", "to": "duo"}}, of one attribute or two."""
    data = {}
    for name, values in rng.sample(CHANGES, rng.choice((1, 1, 1, 2))):
        before, after = rng.sample(values, 2)
        data[name] = {"from": before, "to": after}
    return data


def _row(rng: random.Random, kind: str, at_s: int, customer_id: object, identifiers: Row) -> Row:
    return {
        "id": _ulid(rng, at_s),
        "type": kind,
        "timestamp": at_s,
        "customer_id": customer_id,
        "customer_identifiers": identifiers,
    }


def _moment(rng: random.Random, now_s: int) -> int:
    """A second of the last KEPT_DAYS, more likely in a busy hour."""
    while True:
        at_s = now_s - rng.randrange(KEPT_DAYS * DAY_S)
        if rng.random() * BUSIEST < weight(at_s):
            return at_s


def _ulid(rng: random.Random, at_s: int) -> str:
    """26 characters: 10 of the milliseconds, 16 at random."""
    number = (at_s * 1000 + rng.randrange(1000)) << 80 | rng.getrandbits(80)
    return "".join(ULID_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
