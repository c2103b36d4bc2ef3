"""A randomised history of one source and its mirrors: what happens, and what must hold after each step.

    machine = Machine(sync, cluster, random.Random(seed)); machine.step() …; machine.converge()

The clock of cio moves from 75 days ago towards now. After every step nothing that was ever stored is missing, nothing
is marked deleted that the source still has, and the ledger has no hole. At the end source and mirror are equal.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import psycopg

from cio_fdw.server.cluster import Cluster
from tests.sync.helpers import DAY, TARGET, Sync, today

FEED = "analytics.activities"
RETENTION = 20 * DAY
MESSAGES = "/v1/messages$"
FIRST = today() - 75 * DAY
LAST = today() - 2 * DAY
PATIENCE_S = 30.0
NOTICED_S = 2.0
WAYS_TO_END = ("cancel", "terminate", "kill", "immediate")


class Machine:
    """`log` tells what was done, for a failure's report."""

    def __init__(self, sync: Sync, cluster: Cluster, rng: random.Random) -> None:
        self.s = sync
        self.cluster = cluster
        self.rng = rng
        self.now = FIRST
        self.log: list[str] = []
        self.seen: set[str] = set()
        self.deleted: set[str] = set()
        self.events = 0
        self.ever = {row["id"] for row in sync.sim.data("messages")}
        self.frozen: dict[str, str] = {}
        sync.at(FIRST)
        tiers = '{"1 day": "15 min", "4 days": "3 hours", "8 days": "1 day"}'
        sync.mirror(more=f"retention => '{RETENTION.days} days', tiers => '{tiers}'")
        sync.mirror("activities")

    def step(self) -> None:
        action = self.rng.choices(
            [self.create, self.touch, self.delete, self.purge, self.advance, self.spoil, self.refresh, self.interrupt,
             self.range, self.post],
            [6, 6, 2, 2, 8, 5, 8, 6, 1, 3])[0]  # fmt: skip
        self.log.append(f"{action.__name__} at {self.now.isoformat()}")
        action()
        self.check()

    def create(self) -> None:
        """Messages of the last hours, and now and then one that was late."""
        age_h = self.rng.choice((1, 1, 5, 30))
        parts = [{"created": int(self.now.timestamp()) - self.rng.randrange(1, age_h * 3600), "metrics": {"sent": 1}}
                 for _ in range(self.rng.randrange(1, 30))]  # fmt: skip
        self.ever |= {row["id"] for row in self.s.sim.add_messages(*parts)}

    def touch(self) -> None:
        for row in self._recent(5):
            self.s.sim.touch(row["id"], opened=int(self.now.timestamp()))

    def delete(self) -> None:
        rows = self._recent(self.rng.choice((1, 2, 25)))
        self.deleted |= {row["id"] for row in rows}
        self.s.sim.delete(*(row["id"] for row in rows))

    def purge(self) -> None:
        """The source forgets what is older than it keeps."""
        edge_s = (self.now - RETENTION).timestamp()
        old = [row["id"] for row in self.s.sim.data("messages") if row["created"] < edge_s]
        if old:
            self.s.sim.delete(*old)

    def advance(self) -> None:
        self.now = min(self.now + timedelta(minutes=self.rng.choice((1, 10, 16, 60, 200, 1500))), LAST)
        self.s.at(self.now)

    def spoil(self) -> None:
        """The next requests go wrong, in one of several ways, or all is well again."""
        lists, feed = {"path": MESSAGES}, {"path": "/v1/activities"}
        nth, times = self.rng.randrange(1, 8), self.rng.randrange(1, 3)
        no_list = {"kind": "body", "json": {"messages": None, "next": ""}}
        refused = {"kind": "status", "status": 400}
        faults: list[dict[str, Any]] = [
            {"match": {**lists, "nth": nth}, "times": times, "action": {"kind": "status", "status": 503}},
            {"match": {**lists, "nth": nth}, "times": times, "action": no_list},
            {"match": {**lists, "nth": nth}, "times": times, "action": {"kind": "cut"}},
            {"match": {**lists, "nth": nth}, "times": times, "action": {"kind": "loop"}},
            {"match": {**feed, "nth": nth}, "times": times, "action": {"kind": "status", "status": 503}},
            {"match": {**feed, "nth": nth, "param": {"start": ""}}, "times": 1, "action": refused},
            {"match": {**feed, "nth": nth}, "times": 1, "action": {"kind": "bad_json"}},
            self._answer(self._day()[1] + self._day()[1][:3]),
            self._answer([]),
        ]  # fmt: skip
        chosen = self.rng.sample(faults, self.rng.randrange(0, 3))
        self.s.sim.faults(chosen + (self._on_two_pages() if self.rng.random() < 0.2 else []))

    def _day(self) -> tuple[int, list[dict[str, Any]]]:
        """Beginning of the day before, and its messages."""
        start_s = int((self.now.replace(hour=0, minute=0, second=0) - DAY).timestamp())
        sent = (row for row in self.s.sim.data("messages") if "drafted" not in row["metrics"])
        return start_s, [row for row in sent if start_s <= row["created"] < start_s + 86400]

    def _answer(self, rows: list[dict[str, Any]], following: str = "", token: str = "") -> dict[str, Any]:
        """What the request for that day gets, once; of the next page when there is a token."""
        param = {"start_ts": str(self._day()[0]), **({"start": token} if token else {})}
        return {"match": {"path": MESSAGES, "param": param}, "times": 1,
                "action": {"kind": "body", "json": {"messages": rows, "next": following}}}  # fmt: skip

    def _on_two_pages(self) -> list[dict[str, Any]]:
        """Rows that are the last of one page and the first of the next too."""
        rows = self._day()[1]
        half = len(rows) // 2
        first, second = rows[: half + 2], rows[max(0, half - 2) :]
        return [self._answer(second, token="more"), self._answer(first, following="more")]

    def refresh(self) -> None:
        target = self.rng.choice((TARGET, FEED))
        limit = self.rng.choice(("", f", max_units => {self.rng.randrange(1, 6)}", ", on_error => 'stop'"))
        self._call(f"call cio.refresh('{target}'{limit})")

    def range(self) -> None:
        lo = self.now - timedelta(hours=self.rng.randrange(1, 400))
        self._call(f"call cio.refresh_range('{TARGET}', '{lo.isoformat()}', '{self.now.isoformat()}')")

    def _call(self, call: str) -> None:
        self.log.append(call)
        try:
            self.s.db.execute(call)
        except psycopg.Error as error:
            if not str(error).startswith("cio: "):
                raise
            self.log.append(str(error.diag.message_detail))

    def post(self) -> None:
        """New activities at the head of the feed."""
        first = int(time.time()) + self.events
        count = self.rng.randrange(1, 250)
        self.events += count
        person = {"id": "u-1", "email": None, "cio_id": "c1"}
        self.s.sim.put_rows("activities", [
            {"id": f"02{first + i:012d}", "type": "event", "name": "x", "timestamp": first + i, "customer_id": "u-1",
             "customer_identifiers": person, "data": {}} for i in range(count)])  # fmt: skip

    def interrupt(self) -> None:
        """A refresh that ends in the middle of something."""
        how = self.rng.choice(WAYS_TO_END)
        target = self.rng.choice((TARGET, FEED))
        self.log.append(f"{how} {target}")
        self.s.sim.set_latency(8)
        # Either within the nth request, or wherever it is by then.
        nth, is_held = self.rng.randrange(1, 12), self.rng.random() < 0.5
        held = {"match": {"path": "/v1/", "nth": nth}, "times": None, "action": {"kind": "hang"}}
        self.s.sim.faults([held] if is_held else [])
        connection = self.s.connect()
        pid = connection.info.backend_pid
        thread = threading.Thread(target=_run, args=(connection, f"call cio.refresh('{target}')"), daemon=True)
        thread.start()
        time.sleep(self.rng.random() * 0.4)
        if how in ("cancel", "terminate"):
            self.s.db.execute(f"select pg_{how}_backend(%s)", [pid])
        elif how == "kill":
            self._kill(pid)
        else:
            os.kill(self.cluster.pid, signal.SIGQUIT)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        self.s.sim.set_latency(0)
        self.s.sim.faults([])
        if how == "immediate":
            while not self.cluster.has_ended():
                time.sleep(0.02)
            self.cluster.start()
        if how in ("kill", "immediate"):
            self._reconnect()

    def _kill(self, pid: int) -> None:
        """Returns once the server has noticed, which ends every connection; until then it takes new ones too."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        deadline_s = time.monotonic() + NOTICED_S
        while time.monotonic() < deadline_s:  # not for ever: the backend may have been exiting by itself
            try:
                self.s.db.execute("select 1")
            except psycopg.OperationalError:
                return
            time.sleep(0.02)

    def _reconnect(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.s.db.close()
                self.s.db = self.s.connect()
                self.s.db.execute("select 1")
            except psycopg.OperationalError:
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            else:
                return

    def _recent(self, count: int) -> list[dict[str, Any]]:
        since_s, until_s = (self.now - 8 * DAY).timestamp(), self.now.timestamp()
        rows = [row for row in self.s.sim.data("messages") if since_s <= row["created"] < until_s]
        return self.rng.sample(rows, min(count, len(rows)))

    def check(self) -> None:
        stored = self.s.ids(where="true") | self.s.ids(FEED, "true")
        assert self.seen <= stored, "rows that were stored are missing"
        self.seen = stored
        marked = self.s.ids(where="_deleted_at is not null")
        assert self.s.ids(where="true") <= self.ever, "rows are stored that never were"
        self._check_history()
        assert marked <= self.deleted, "rows are marked deleted that the source did not delete"
        holes = self.s.rows("select lo from (select lo, hi, lead(lo) over (order by lo) as next from cio.buckets "
                            f"where target = '{TARGET}'::regclass) b where hi <> next")  # fmt: skip
        assert holes == [], "buckets are lost"

    def _check_history(self) -> None:
        """What the source has forgotten stays as it was when it was forgotten."""
        rows = self.s.rows(f"select id, md5(t::text) from {TARGET} t where created < %s", [self.now - RETENTION - DAY])
        for message_id, digest in rows:
            assert self.frozen.setdefault(message_id, digest) == digest, f"history was changed: {message_id}"

    def converge(self) -> None:
        """All is well from here on: a few more refreshes, and nothing differs."""
        self.s.sim.faults([])
        for _ in range(3):
            self.now += timedelta(hours=2)
            self.s.at(self.now)
            self.s.db.execute(f"select cio.invalidate('{TARGET}'), cio.invalidate('{FEED}')")
            self.s.db.execute("call cio.refresh_all()")
            self.check()
        edge = self.now - RETENTION + 2 * DAY
        self.s.db.execute(f"call cio.refresh_range('{TARGET}', %s, %s, force => true)", [edge, self.now])
        columns = "id, created, opened, metrics, raw"
        for target, source in ((TARGET, "customerio.messages"), ("customerio.messages", TARGET)):
            alive = {TARGET: "and _deleted_at is null"}
            query = f"""select {columns} from {target} where created >= %s and created < %s {alive.get(target, '')}
                except all select {columns} from {source} where created >= %s and created < %s
                {alive.get(source, '')}"""  # fmt: skip
            assert self.s.rows(query, [edge, self.now, edge, self.now]) == []
        assert self.s.ids(FEED, "true") == {row["id"] for row in self.s.sim.data("activities")}
        assert self.s.rows("select * from cio.gaps where reason not in ('lost')") == []
        assert self.s.rows("select * from cio.errors") == []


def _run(connection: psycopg.Connection[Any], call: str) -> None:
    try:
        with connection:
            connection.execute(call)
    except psycopg.Error:
        return


def describe(now: datetime, log: list[str]) -> str:
    return "\n".join([*log[-40:], f"the clock is at {now.isoformat()}"])
