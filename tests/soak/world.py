"""A soak: backends that check generated statements while the API misbehaves and sessions are ended.

Soak(address, known, now_s, seconds).run() -> its figures. Kills are of the first third, as each restarts the server; in
the rest the first ELDERS backends live on, so that growth shows.
"""

from __future__ import annotations

import os
import queue
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
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

BACKENDS, ELDERS = 12, 4
CANCELED = "57014"
OF_THE_API = frozenset(("08006", "08001", "HV000", "53400"))
"""One clear error instead of an answer, after the last retry."""
BATCH = 200
STATEMENT_TIMEOUT = "120s"
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
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = sum(link.startswith("socket:") for link in links)
    return Vitals(int(fields["VmRSS"]), int(fields["Threads"]), sockets)


@dataclass
class Soak:
    """`seen`: counts of how statements ended, and of strikes; `wrong`: complaints of the judge."""

    address: str
    known: Known
    now_s: int
    seconds: float
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
                thread.join(180)
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
        if checker.pid:
            with suppress(ProcessLookupError):
                os.kill(checker.pid, signal.SIGKILL)
                self.count("kill -9")

    def _end(self, how: str, checker: Checker) -> None:
        # The server may be starting anew.
        with suppress(psycopg.Error), psycopg.connect(self.address, autocommit=True) as admin:
            admin.execute(f"select pg_{how}_backend(%s)", [checker.pid])
            self.count(how)


class Checker(threading.Thread):
    """Checks statements, in one session after the other. `first`, `last`: vitals of a session that lived to the end."""

    def __init__(self, soak: Soak, number: int) -> None:
        super().__init__(name=f"checker-{number}")
        self._soak = soak
        self.pid = 0
        self.first: Optional[Vitals] = None
        self.last: Optional[Vitals] = None

    def run(self) -> None:
        while not self._soak.over.is_set():
            self.first = None
            try:
                with psycopg.connect(self._soak.address, autocommit=True) as db:
                    self.pid = db.info.backend_pid
                    db.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT}'")
                    self._check_all(db)
                    self.last = vitals_of(self.pid)
            except (psycopg.Error, OSError):
                self._soak.count("sessions lost")
                self.pid = 0
                time.sleep(0.2)

    def _check_all(self, db: psycopg.Connection[tuple[object, ...]]) -> None:
        judge = Judge(db, Uncounted(), OF_THE_API | {CANCELED})
        while not self._soak.over.is_set():
            try:
                statement = self._soak.statements.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                verdict = judge.check(statement)
            except AssertionError as complaint:
                self._soak.wrong.append(str(complaint))
                continue
            except psycopg.errors.QueryCanceled:
                # It hit a statement of the judge's own.
                self._soak.count("cancelled")
                self._tidy(db)
                continue
            self._soak.count(_ending(verdict.sqlstate))
            if self.first is None and self._soak.settled.is_set():
                self.first = vitals_of(self.pid)

    def _tidy(self, db: psycopg.Connection[tuple[object, ...]]) -> None:
        """No transaction and no prepared statement is left, however often it is cancelled."""
        while not db.closed:
            try:
                db.execute("rollback")
                db.execute("deallocate all")
            except psycopg.errors.QueryCanceled:
                continue
            return


def _ending(sqlstate: str) -> str:
    if sqlstate == CANCELED:
        return "cancelled"
    return "errors of the API" if sqlstate in OF_THE_API else "checked"
