"""What happens to a message after it is created: each metric with its unix second.

    outcome(rng, "email", 1767312000) -> ({"sent": 1767312002, "delivered": 1767312009, "opened": …}, None)

About 97 % are delivered, 1.5 % bounce; of delivered mail 35 % is opened and 4 % clicked, 0.2 % unsubscribes.
"""

from __future__ import annotations

import random
from typing import Optional

from cio_fdw.simulator.data.content import FAILURES

Metrics = dict[str, int]

OPENS = {"email": 0.25, "push": 0.08, "in_app": 0.55, "whatsapp": 0.7}
"""Fraction of the delivered that a person opens; machines add to e-mail."""
MACHINE_OPENS = 0.13
CLICKS = {"email": 0.15, "push": 0.3, "in_app": 0.12, "whatsapp": 0.08, "twilio": 0.06}
"""Fraction of the opened (twilio: of the delivered) in which a person clicks."""
MAX_DELAY_S = 30 * 86400


def outcome(rng: random.Random, channel: str, created_s: int) -> tuple[Metrics, Optional[str]]:
    """Every metric, also future ones, and the failure message when there is one."""
    draw = rng.random
    fate = draw()
    if fate > 0.982:
        return _failed(rng, channel, created_s, fate)
    sent_s = created_s + 1 + int(draw() * 4)
    if fate > 0.978:
        # Greylisted first, sent a few minutes later.
        sent_s += 300
        metrics = {"attempted": created_s + 2, "sent": sent_s}
    else:
        metrics = {"sent": sent_s}
    if fate > 0.974 or channel in ("slack", "webhook"):
        return metrics, None
    delivered_s = metrics["delivered"] = sent_s + 1 + int(40 * draw() ** 3)
    opened = draw()
    if opened < OPENS.get(channel, 0.0) + (MACHINE_OPENS if channel == "email" else 0.0):
        _open(rng, channel, metrics, delivered_s, opened)
    elif channel == "twilio" and opened > 1 - CLICKS["twilio"]:
        _click(rng, metrics, delivered_s)
    return metrics, None


def without_future(metrics: Metrics, now_s: int) -> Metrics:
    """The metrics that have happened by `now_s`."""
    return {name: at_s for name, at_s in metrics.items() if at_s <= now_s}


def _delay(rng: random.Random, median_s: int) -> int:
    """Seconds of a heavy-tailed wait: half within the median, a few after days or weeks."""
    chance = rng.random()
    return min(MAX_DELAY_S, 20 + int(median_s * chance / (1.0001 - chance)))


def _failed(rng: random.Random, channel: str, created_s: int, fate: float) -> tuple[Metrics, Optional[str]]:
    at_s = created_s + 1 + rng.randrange(30)
    if channel == "email" and fate < 0.997:
        bounced_s = at_s + 2 + rng.randrange(600)
        return {"sent": at_s, "bounced": bounced_s}, rng.choice(FAILURES["bounced"])
    kind = "failed" if channel in ("webhook", "slack", "twilio") else "dropped" if fate < 0.9985 else "undeliverable"
    return {kind: at_s}, rng.choice(FAILURES[kind])


def _open(rng: random.Random, channel: str, metrics: Metrics, delivered_s: int, opened: float) -> None:
    human = opened < OPENS[channel]
    machine = channel == "email" and (not human or rng.random() < 0.3)
    if machine:
        metrics["prefetch_opened"] = delivered_s + _delay(rng, 240)
    if human:
        metrics["human_opened"] = delivered_s + _delay(rng, 9000)
        if rng.random() < CLICKS[channel]:
            _click(rng, metrics, metrics["human_opened"])
        if channel == "email" and rng.random() < 0.008:
            metrics["unsubscribed"] = metrics["human_opened"] + _delay(rng, 60)
        elif channel == "email" and rng.random() < 0.0012:
            metrics["spammed"] = metrics["human_opened"] + _delay(rng, 60)
    elif rng.random() < 0.02:
        metrics["prefetch_clicked"] = metrics["clicked"] = metrics["link:0"] = metrics["prefetch_opened"] + 1
    metrics["opened"] = min(metrics.get("human_opened", 1 << 40), metrics.get("prefetch_opened", 1 << 40))


def _click(rng: random.Random, metrics: Metrics, after_s: int) -> None:
    """A person clicks one to three tracked links; one in eight buys."""
    at_s = after_s + _delay(rng, 45)
    metrics["clicked"] = metrics["human_clicked"] = at_s
    for link in rng.sample(range(7), 1 + int(3 * rng.random() ** 2)):
        metrics[f"link:{link}"] = metrics[f"human_link:{link}"] = at_s
        at_s += 5 + rng.randrange(200)
    if rng.random() < 0.125:
        metrics["converted"] = at_s + _delay(rng, 7200)
