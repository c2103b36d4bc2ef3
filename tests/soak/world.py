"""A soak: backends that check generated statements while the API misbehaves and sessions are ended.

Soak(address, known, now_s, seconds, record).run() -> its checkers; its figures are in `seen`. Kills are of the first
third, as each restarts the server; in the rest the first ELDERS backends live on, so that growth shows.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional

import hypothesis
import psycopg
from hypothesis import HealthCheck, Phase, given, settings

from tests.oracle.judge import Judge
from tests.oracle.statement import Statement
from tests.oracle.statements import statements
from tests.oracle.writer import Known
from tests.soak.record import Record
from tests.soak.victim import Victim

BACKENDS, ELDERS = 12, 4
CANCELED = "57014"
OF_THE_API = frozenset(("08006", "08001", "HV000", "53400"))
"""One clear error instead of an answer, after the last retry."""
BATCH = 200
STATEMENT_TIMEOUT = "120s"
JOIN_S = 180.0
CALM_S = (0.1, 0.7)
"""Seconds between two strikes."""
FAULTS = (
    (0.02, {"kind": "status", "status": 503}),
    (0.01, {"kind": "html", "status": 502}),
    (0.01, {"kind": "reset"}),
    (0.01, {"kind": "cut"}),
    (0.01, {"kind": "gzip", "damage": "garbage"}),
    (0.01, {"kind": "bad_json"}),
    (0.01, {"kind": "slow_headers", "seconds": 0.5}),
    (0.002, {"kind": "hang"}),
)


class Uncounted:
    """For the judge, who would count the requests of all."""

    def stats(self) -> dict[str, int]:
        return {"requests": 0}


class Vitals(NamedTuple):
    memory_kb: int
    threads: int
    sockets: int


def vitals_of(pid: int) -> Vitals:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines) if rest.split()}
    # Not all descriptors: PostgreSQL keeps the files of the tables that it read open.
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    # Not descriptors of sockets either: an idle connection has two, one of them for the timer that ends it.
    sockets = sum(link.startswith("socket:") for link in links)
    return Vitals(int(fields["VmRSS"]), int(fields["Threads"]), sockets)


@dataclass
class Soak:
    """`seen`: counts of how statements ended, and of strikes; `wrong`: complaints of the judge."""

    address: str
    known: Known
    now_s: int
    seconds: float
    record: Record
    seed: int = 1
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    settled: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    statements: queue.Queue[Statement] = field(default_factory=lambda: queue.Queue(BATCH))

    def count(self, name: str) -> None:
        with self.lock:
            self.seen[name] += 1

    def complain(self, who: str, complaint: str) -> None:
        self.wrong.append(complaint)
        self.record.note(who, f"WRONG: {complaint}")

    @property
    def summary(self) -> str:
        with self.lock:
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.seen.items()))
        return f"of {self.seconds:.0f} s: {counts or 'nothing yet'}; {len(self.wrong)} wrong"

    def run(self) -> list[Checker]:
        """Ends after `seconds`; its checkers, with what their backends were like."""
        feeder = threading.Thread(target=self._feed)
        checkers = [Checker(self, number) for number in range(BACKENDS)]
        for thread in (feeder, *checkers):
            thread.start()
        try:
            self._strike(checkers)
        finally:
            self.over.set()
            for thread in (feeder, *checkers):
                thread.join(JOIN_S)
                if thread.is_alive():
                    self.complain(thread.name, f"it has not ended in {JOIN_S:.0f} s")
        return checkers

    def _feed(self) -> None:
        strategy = statements(self.known, self.now_s)
        number = 0
        while not self.over.is_set():
            number += 1

            @hypothesis.seed(self.seed + number)
            @settings(
                max_examples=BATCH, deadline=None, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(strategy)
            def put(statement: Statement) -> None:
                while not self.over.is_set():
                    with suppress(queue.Full):
                        self.statements.put(statement, timeout=0.2)
                        return

            put()

    def _strike(self, checkers: list[Checker]) -> None:
        rng = random.Random(self.seed)
        began_s = time.monotonic()
        kill_every_s = max(self.seconds / 30, 5.0)
        next_kill_s = kill_every_s
        while (elapsed_s := time.monotonic() - began_s) < self.seconds:
            time.sleep(rng.uniform(*CALM_S))
            self.record.progress(self.summary)
            is_calm = elapsed_s > self.seconds / 3
            if elapsed_s > self.seconds * 0.45:
                self.settled.set()
            if not is_calm and elapsed_s > next_kill_s:
                next_kill_s += kill_every_s
                self._kill(rng.choice(checkers))
            elif rng.random() < 0.1:
                self._end("terminate", rng.choice(checkers[ELDERS:]))
            else:
                self._end("cancel", rng.choice(checkers))

    def _kill(self, checker: Checker) -> None:
        victim = checker.victim
        if victim and victim.kill():
            self.count("kill -9")
            self.record.note("soak", f"kill -9 of {victim.pid}, {checker.name}")

    def _end(self, how: str, checker: Checker) -> None:
        pid = checker.pid
        # The server may be starting anew.
        with suppress(psycopg.Error), psycopg.connect(self.address, autocommit=True) as admin:
            admin.execute(f"select pg_{how}_backend(%s)", [pid])
            self.count(how)
            self.record.note("soak", f"{how} of {pid}, {checker.name}")


class Checker(threading.Thread):
    """Checks statements, in one session after the other. `first`, `last`: vitals of a session that lived to the end."""

    def __init__(self, soak: Soak, number: int) -> None:
        super().__init__(name=f"checker-{number}")
        self._soak = soak
        self.victim: Optional[Victim] = None
        self.first: Optional[Vitals] = None
        self.last: Optional[Vitals] = None

    @property
    def pid(self) -> int:
        """0: no backend has this number."""
        victim = self.victim
        return victim.pid if victim else 0

    def run(self) -> None:
        while not self._soak.over.is_set():
            self.first = None
            try:
                with psycopg.connect(self._soak.address, autocommit=True) as db, self._struck(db.info.backend_pid):
                    self._check_all(db)
                    self.last = vitals_of(self.pid)
            except (psycopg.Error, OSError) as error:
                self._soak.count("sessions lost")
                self._soak.record.note(self.name, f"session lost: {type(error).__name__}: {error}")
                time.sleep(0.2)

    @contextmanager
    def _struck(self, pid: int) -> Iterator[None]:
        """Within, the session may be struck."""
        victim = Victim(pid)
        try:
            self.victim = victim
            self._soak.record.note(self.name, f"session of {pid}")
            yield
        finally:
            self.victim = None
            victim.close()

    def _check_all(self, db: psycopg.Connection[tuple[object, ...]]) -> None:
        judge = Judge(db, Uncounted(), OF_THE_API | {CANCELED})
        self._tidy(db, f"set statement_timeout = '{STATEMENT_TIMEOUT}'")
        while not self._soak.over.is_set():
            try:
                statement = self._soak.statements.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                verdict = judge.check(statement)
            except AssertionError as complaint:
                self._soak.complain(self.name, str(complaint))
                continue
            except psycopg.errors.QueryCanceled:
                # It hit a statement of the judge's own.
                self._soak.count("cancelled")
                self._tidy(db, "rollback", "deallocate all")
                continue
            ending = _ending(verdict.sqlstate)
            self._soak.count(ending)
            self._soak.record.note(self.name, f"{ending} {verdict.sqlstate} {verdict.rows} rows: {statement}")
            if self.first is None and self._soak.settled.is_set():
                self.first = vitals_of(self.pid)

    def _tidy(self, db: psycopg.Connection[tuple[object, ...]], *statements: str) -> None:
        """However often they are cancelled: no transaction and no prepared statement may be left."""
        while not db.closed:
            try:
                for statement in statements:
                    db.execute(statement.encode())
            except psycopg.errors.QueryCanceled:
                continue
            return


def _ending(sqlstate: str) -> str:
    if sqlstate == CANCELED:
        return "cancelled"
    return "errors of the API" if sqlstate in OF_THE_API else "checked"
