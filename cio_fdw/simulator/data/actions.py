"""Actions (steps) of campaigns with the content that each channel has."""

from __future__ import annotations

import random

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.content import COMPANY, DOMAIN, PARAGRAPHS, STEPS, SUBJECTS

LIQUID_NAME = "{{customer.first_name}}"
CHANNELS = ("email",) * 12 + ("push", "push", "in_app", "in_app", "twilio", "twilio", "slack", "whatsapp", "webhook")
SENDERS = ((3, f"{COMPANY} <hello@{DOMAIN}>"), (4, f"Mira from {COMPANY} <mira@{DOMAIN}>"))
MAX_ACTIONS = 20


def make_action(rng: random.Random, campaign: Row, step: int, now_s: int) -> Row:
    """One action, in full, as the actions endpoint shows it. Ids are unique over all campaigns."""
    action_id = campaign["id"] * MAX_ACTIONS + step + 1000
    channel = "email" if step == 0 else "slack" if STEPS[step].startswith("Internal") else rng.choice(CHANNELS)
    updated_s = min(now_s, campaign["created"] + rng.randrange(60, 200 * 86400))
    row: Row = {
        "id": action_id,
        "campaign_id": campaign["id"],
        "deduplicate_id": f"{action_id}:{updated_s}",
        "name": STEPS[step],
        "type": channel,
        "created": min(now_s, campaign["created"] + step * 90),
        "updated": updated_s,
        "sending_state": rng.choice(("automatic",) * 8 + ("draft", "off")),
        "language": "",
    }
    if step > 1 and rng.random() < 0.1:
        row["parent_action_id"] = action_id - 1
    row.update(_content(rng, channel))
    return row


def _content(rng: random.Random, channel: str) -> Row:
    text = rng.choice(PARAGRAPHS)
    if channel == "email":
        return _email(rng, text)
    if channel == "webhook":
        return _webhook(rng)
    others: dict[str, Row] = {
        "push": {"subject": rng.choice(SUBJECTS).replace("{name}", LIQUID_NAME), "body": text, "recipient": "all"},
        "in_app": {"body": f'{{"message":"{text[:40]}"}}', "recipient": "{{customer.id}}"},
        "twilio": {"body": f"{COMPANY}: {text}", "from": "+15550100", "recipient": "", "image_url": ""},
        "slack": {
            "body": "*{{customer.first_name}}* needs a hand: {{event.reason}}",
            "recipient": "#ops-subscriptions",
        },
        "whatsapp": {
            "body": text,
            "body_json": '{"type":"text"}',
            "recipient": "",
            "sender_identity_id": 9,
            "send_to_unsubscribed": False,
            "tracked": True,
        },
    }
    return others[channel]


def _webhook(rng: random.Random) -> Row:
    return {
        "body": '{"person":"{{customer.id}}","step":"{{campaign.id}}"}',
        "url": f"https://hooks.{DOMAIN}/steps",
        "method": rng.choice(("post", "post", "put")),
        "headers": '[{"name":"Content-Type","value":"application/json"}]',
    }


def _email(rng: random.Random, text: str) -> Row:
    sender_id, sender = rng.choice(SENDERS)
    subject = rng.choice(SUBJECTS).replace("{name}", LIQUID_NAME)
    more = rng.choice(PARAGRAPHS)
    return {
        "subject": subject,
        "preheader_text": text[:60],
        "body": f"<h1>{subject}</h1>\n<p>Hi {LIQUID_NAME},</p>\n<p>{text}</p>\n<p>{more}</p>\n"
        f'<p><a href="https://{DOMAIN}/account">Your account</a></p>\n<p>{COMPANY}</p>',
        "body_amp": "",
        "layout": "<html><body>{{content}}</body></html>",
        "preprocessor": "premailer",
        "from": sender,
        "from_id": sender_id,
        "reply_to": f"help@{DOMAIN}" if rng.random() < 0.5 else "",
        "reply_to_id": 5 if rng.random() < 0.5 else None,
        "recipient": "{{customer.email}}",
        "cc": "",
        "bcc": "" if rng.random() < 0.9 else f"archive@{DOMAIN}",
        "fake_bcc": False,
        "headers": "[]",
    }
