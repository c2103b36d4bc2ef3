"""The people of the made-up workspace, drawn so that a few get many messages and most get few."""

from __future__ import annotations

import random
import unicodedata
from typing import Any, NamedTuple, Optional

from cio_fdw.simulator.data.content import FIRST_NAMES, LAST_NAMES

MAIL_HOSTS = ("example.org", "example.com", "mail.example.net", "office.example.com")


class Person(NamedTuple):
    """One person. `identifiers` is the object the API shows; phone and device never are in it."""

    first_name: str
    id: Optional[str]
    email: Optional[str]
    identifiers: dict[str, Any]
    cio_id: str
    phone: str
    device: str


def make_people(rng: random.Random, count: int) -> list[Person]:
    """`count` people. About 5 % have no id of their own, 7 % no e-mail address."""
    return [_person(rng, number) for number in range(1, count + 1)]


def pick(rng: random.Random, people: list[Person]) -> Person:
    """One person; the cube makes the first ones frequent and the tail long."""
    return people[int(len(people) * rng.random() ** 3)]


def _person(rng: random.Random, number: int) -> Person:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    email = f"{_slug(first)}.{_slug(last)}{number}@{rng.choice(MAIL_HOSTS)}".strip(".")
    chance = rng.random()
    own_id: Optional[str] = f"u-{1000 + number}" if chance < 0.8 else f"{rng.getrandbits(48):012x}"
    cio_id = f"0a1b{number:08x}"
    identifiers: dict[str, Any] = {"id": own_id, "email": email, "cio_id": cio_id}
    if chance > 0.95:
        own_id = identifiers["id"] = None
    elif chance < 0.04:
        del identifiers["email"]
    elif chance < 0.07:
        identifiers["email"] = None
    phone = f"+1555{rng.randrange(10**7):07d}"
    device = f"{rng.getrandbits(128):032x}"
    return Person(first, own_id, identifiers.get("email"), identifiers, cio_id, phone, device)


def _slug(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in ascii_only if letter.isalnum())
