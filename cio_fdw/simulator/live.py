"""Messages that appear, and metrics that land on recent ones, while the simulator runs."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque

import orjson

from cio_fdw.simulator.behaviour import Row
from cio_fdw.simulator.data.messages import Sender, deduplicate_id
from cio_fdw.simulator.store import Table

REMEMBERED = 200
TOUCHED = 0.5
"""Chance that an arrival also lets a metric land on a recent message."""


class Live:
    """`per_minute` new messages on average, at random moments."""

    def __init__(self, table: Table, sender: Sender, per_minute: float, rng: random.Random) -> None:
        self._table = table
        self._sender = sender
        self._mean_s = 60 / per_minute
        self._rng = rng
        self._recent: deque[str] = deque(maxlen=REMEMBERED)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._mean_s))
            self.arrive(int(time.time()))

    def arrive(self, now_s: int) -> None:
        """One new message, created at `now_s`; perhaps an older one is opened."""
        row = self._sender.everyday(now_s, now_s)
        self._table.put(row)
        if self._recent and self._rng.random() < TOUCHED:
            self._touch(self._rng.choice(self._recent), now_s)
        self._recent.append(row["id"])

    def _touch(self, message_id: str, now_s: int) -> None:
        body = self._table.get((message_id,))
        if body is None:
            return
        row: Row = orjson.loads(body)
        if "drafted" in row["metrics"] or row["failure_message"]:
            return
        for name in ("sent", "delivered", "opened"):
            if name not in row["metrics"]:
                row["metrics"][name] = now_s
                break
        row["deduplicate_id"] = deduplicate_id(message_id, row["metrics"], row["created"])
        self._table.put(row)
