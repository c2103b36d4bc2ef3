"""What messages are made with: transactional templates, collections, snippets, senders, topics."""

from __future__ import annotations

import random

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.content import COMPANY, DOMAIN
from cio_fdw.simulator.data.rhythm import DAY_S, HISTORY_DAYS

# (name, trigger_name, description); the first ones are, in this order, those of content.TRANSACTIONAL.
TEMPLATES = (
    ("Order confirmed", "order_confirmed", "Sent by the shop as soon as the order is paid"),
    ("Parcel on its way", "parcel_sent", ""),
    ("Password reset", "password_reset", "The link is valid for an hour"),
    ("Receipt", "receipt", ""),
    ("Courier at the door (SMS)", "courier_near", "Only for people with a number"),
    ("Brew timer", "brew_timer", "Push of the app"),
    ("Gift card – «für Dich»", "gift_card", 'Text of the giver in "quotes"'),
    ("Data export ready", "data_export", "Waits for a look by support"),
)
HIDDEN_BODIES = ("password_reset", "data_export")
QUEUED = ("data_export",)

COLLECTIONS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("stores", 9, ("city", "phone", "opens_at")),
    ("lots", 64, ("lot", "origin", "kilos", "notes")),
    ("Röstkalender", 52, ("woche", "sorte")),
    ("brew_guides", 7, ("method", "grams", "water_ml", "steps")),
    ("holidays", 0, ()),
)

SNIPPETS = (
    ("footer", f"<p>{COMPANY}, 12 Mill Lane</p>\n<p>{{% unsubscribe_url %}}</p>"),
    ("greeting", "Hi {{ customer.first_name | default: 'there' }},"),
    ("greeting_de", "Guten Tag {{ customer.first_name | default: 'Du' }},"),
    ("挨拶", "{{ customer.first_name }}様、こんにちは"),
    ("legal: prices", "Prices incl. VAT; shipping from 4,90\u00a0€."),
    ('the "why" box', '<div class="box">Why us? "Because it\'s slow."</div>'),
    ("cta/account", f'<a href="https://{DOMAIN}/account?u={{{{customer.id}}}}&src=mail">Your account</a>'),
    ("windows path (support)", "C:\\Users\\you\\Downloads\\label.pdf"),
    ("social", "<p>👋 Say hello: @kettleandfinch</p>"),
    ("empty on purpose", ""),
    ("liquid: plan", "{% if customer.plan == 'office' %}office{% else %}home{% endif %}"),
    ("sign-off %", "100% slow,\tMira & Tobias"),
)

# (id, name, mail box or number, hidden, auto generated); actions refer to 3, 4, 5 and 9.
SENDERS = (
    (3, COMPANY, "hello", False, False),
    (4, f"Mira from {COMPANY}", "mira", False, False),
    (5, "Help desk", "help", False, False),
    (6, "", "no-reply", True, True),
    (9, f"{COMPANY} SMS", "+15550100", False, False),
    (10, "Tobias (left in March)", "tobias", True, False),
)

TOPICS = (
    (1, "The Friday Pour", "Once a week, what we brew", True),
    (2, "Offers", "Sales & early access – at most twice a month", False),
    (3, "Product news", "", True),
    (4, "Origin letters", "Briefe von den Farmen · 農園からの手紙", True),
)


def make_templates(rng: random.Random, now_s: int) -> list[Row]:
    """Transactional templates. `trigger_name` is a key that the API's description lacks (OBSERVED.md)."""
    rows = []
    for number, (name, trigger, description) in enumerate(TEMPLATES, start=1):
        created_s, updated_s = _times(rng, now_s)
        rows.append(
            {
                "id": number,
                "name": name,
                "description": description,
                "send_to_unsubscribed": trigger != "gift_card",
                "link_tracking": trigger not in HIDDEN_BODIES,
                "open_tracking": True,
                "hide_message_body": trigger in HIDDEN_BODIES,
                "queue_drafts": trigger in QUEUED,
                "created_at": created_s,
                "updated_at": updated_s,
                "trigger_name": trigger,
            }
        )
    return rows


def make_collections(rng: random.Random, now_s: int) -> list[Row]:
    """Collections, without their content."""
    rows = []
    for number, (name, count, keys) in enumerate(COLLECTIONS, start=1):
        created_s, updated_s = _times(rng, now_s)
        size_bytes = 2 + count * (len(keys) * rng.randrange(18, 30) + 3)
        rows.append(
            {
                "id": number,
                "name": name,
                "bytes": size_bytes,
                "rows": count,
                "schema": list(keys),
                "created_at": created_s,
                "updated_at": updated_s,
            }
        )
    return rows


def make_snippets(rng: random.Random, now_s: int) -> list[Row]:
    return [{"name": name, "value": value, "updated_at": _times(rng, now_s)[1]} for name, value in SNIPPETS]


def make_senders(rng: random.Random, now_s: int) -> list[Row]:
    """E-mail senders and one number; two are hidden."""
    return [_sender(sender, _times(rng, now_s)[1]) for sender in SENDERS]


def make_topics() -> list[Row]:
    return [
        {
            "id": number,
            "identifier": f"topic_{number}",
            "name": name,
            "description": description,
            "subscribed_by_default": default,
        }
        for number, name, description, default in TOPICS
    ]


def _sender(sender: tuple[int, str, str, bool, bool], updated_s: int) -> Row:
    number, name, box, hidden, generated = sender
    mail = f"{box}@{DOMAIN}"
    reach = {"phone": box} if box.startswith("+") else {"email": mail, "address": f"{name} <{mail}>".strip()}
    return {
        "id": number,
        "deduplicate_id": f"{number}:{updated_s}",
        "name": name,
        **reach,
        "template_type": "phone" if "phone" in reach else "email",
        "auto_generated": generated,
        "hidden": hidden,
    }


def _times(rng: random.Random, now_s: int) -> tuple[int, int]:
    """When something was made (before the first message) and last changed."""
    created_s = now_s - (HISTORY_DAYS + rng.randrange(1, 600)) * DAY_S - rng.randrange(DAY_S)
    return created_s, rng.randrange(created_s, now_s)
