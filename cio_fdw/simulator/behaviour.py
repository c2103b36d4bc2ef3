"""What the catalog cannot say of an endpoint: how it ends its pages, its token, its empty list.

    BEHAVIOUR["messages"].cursor -> "v20:{offset}"        base64 of v20:50 is the token of row 50

One entry per endpoint whose behaviour is not the default. Source of every fact: OBSERVED.md; where that is
silent, app-api.yaml and NOTES.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional

Row = dict[str, Any]

METRICS = frozenset(
    (
        "attempted",
        "sent",
        "delivered",
        "opened",
        "clicked",
        "converted",
        "bounced",
        "spammed",
        "unsubscribed",
        "dropped",
        "failed",
        "undeliverable",
    )
)


@dataclass(frozen=True)
class Derived:
    """A query parameter that selects by something which is no column of the catalog."""

    param: str
    type: str
    """The catalog's name of the value's type: text or bool."""
    value_of: Callable[[Row], object]
    """The row's value; a frozenset means that the parameter must be one of its members."""
    known: frozenset[str] = frozenset()
    default: Optional[object] = None
    """The value that selects when the parameter is absent; None selects every row."""
    kind_param: str = ""
    """A parameter that says what kind of value is meant; the rows' values are then pairs of kind and value."""
    kinds: tuple[str, ...] = ()
    """The kinds it may name; the first is meant when it is absent."""


@dataclass(frozen=True)
class Behaviour:
    """How one endpoint answers. The defaults are those of a list in one response."""

    cursor: str = "{offset}"
    """What base64 hides in a token; {parent} stands for the parent's key."""
    end: str = "empty"
    """The last page: "empty" has `"next": ""`, "absent" has no `next`."""
    past_end: str = "empty"
    """A token past the end: "restart" gives page one again, "empty" gives no rows."""
    next_on_last: bool = False
    """Whether the page with the last row still hands out a token, of an empty page."""
    null_when_empty: bool = False
    """Whether an empty list is null rather than []."""
    default_size: int = 0
    """Rows per page when the size parameter is absent; 0 takes the catalog's page_size."""
    window_months: int = 0
    """Calendar months that a time window is silently narrowed to; 0 does not narrow."""
    foreign_is_empty: bool = False
    """Whether a token that was handed out for another parent gives an empty page."""
    beside: Optional[Callable[[list[Row], object], Row]] = None
    """More keys of the envelope, from the page's rows and the parent's key."""
    derived: tuple[Derived, ...] = ()
    store: str = ""
    """The endpoint whose rows these are too, for lists that show the same documents."""
    keyless: bool = False
    """Whether it answers without an API key."""

    def __post_init__(self) -> None:
        if self.cursor.count("{offset}") != 1 or self.end not in ("empty", "absent"):
            raise ValueError(f"behaviour: cursor {self.cursor!r}, end {self.end!r}")
        if self.past_end not in ("empty", "restart"):
            raise ValueError(f"behaviour: past_end {self.past_end!r}")


def is_draft(row: Row) -> bool:
    """True for a message that was drafted and never sent, so that only drafts=true shows it."""
    metrics = row["metrics"]
    return "drafted" in metrics and "sent" not in metrics and "attempted" not in metrics


_metric_sets: dict[frozenset[str], frozenset[str]] = {}


def metric_names(row: Row) -> frozenset[str]:
    """The names of what happened to a message; equal sets are one object, to keep many rows small."""
    names = METRICS.intersection(row["metrics"])
    return _metric_sets.setdefault(names, names)


def people_of(row: Row) -> frozenset[tuple[str, str]]:
    """The values of customer_id, by id_type, that select an activity; those of cio_id carry a prefix (NOTES.md)."""
    known = row.get("customer_identifiers") or {}
    values = {"id": row.get("customer_id") or known.get("id"), "email": known.get("email")}
    if known.get("cio_id"):
        values["cio_id"] = f"cio_{known['cio_id']}"
    return frozenset((kind, value) for kind, value in values.items() if value)


def activity_names(row: Row) -> frozenset[str]:
    """What `name` may be to select an activity: its name, or an attribute that it changed (app-api.yaml)."""
    changed = row["data"] if row["type"].endswith("attribute_change") else ()
    return frozenset((*changed, *filter(None, (row.get("name"),))))


def hidden_asked(row: Row) -> frozenset[bool]:
    """The values of `hidden` that show a sender: true shows all of them, hidden or not."""
    return frozenset((True,)) if row.get("hidden") else frozenset((True, False))


def membership_keys(rows: list[Row], segment_id: object) -> Row:
    """The keys beside `identifiers`; `ids` has "" for people without an id (NOTES.md), and is null like the rows."""
    return {"ids": [row.get("id") or "" for row in rows] or None, "segment_id": segment_id}


BEHAVIOUR: Mapping[str, Behaviour] = {
    "activities": Behaviour(
        cursor="activity:{offset}",
        default_size=10,
        derived=(
            Derived("name", "text", activity_names),
            Derived("customer_id", "text", people_of, kind_param="id_type", kinds=("id", "email", "cio_id")),
        ),
    ),
    "broadcast_actions": Behaviour(cursor="{offset}:{parent}", end="absent"),
    "campaign_actions": Behaviour(cursor="{offset}:{parent}", end="absent"),
    "messages": Behaviour(
        cursor="v20:{offset}",
        past_end="restart",
        default_size=50,
        window_months=6,
        derived=(
            Derived("drafts", "bool", is_draft, default=False),
            Derived("metric", "text", metric_names, known=METRICS),
        ),
    ),
    "collections": Behaviour(null_when_empty=True),
    "newsletters": Behaviour(next_on_last=True),
    "segment_membership": Behaviour(
        cursor="0:{offset}",
        null_when_empty=True,
        default_size=1000,
        foreign_is_empty=True,
        beside=membership_keys,
    ),
    "sender_identities": Behaviour(
        cursor="sender:{offset}",
        derived=(Derived("hidden", "bool", hidden_asked, default=False),),
    ),
}


def behaviour_of(name: str) -> Behaviour:
    """The entry of one endpoint, or the defaults."""
    return BEHAVIOUR.get(name, Behaviour())
