"""PostgreSQL as the judge: a statement on foreign tables must answer what it answers on plain copies of their rows.

Judge(db, sim).check(statement) -> Verdict(rows=12, requests=2), or AssertionError with both answers
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any, Optional, Protocol

import psycopg
from psycopg.types.string import TextLoader

from tests.oracle.statement import Cut, Statement

FOREIGN, TRUTH, SHARED = "foreign_side", "truth", "shared"
"""Schemas: of the foreign tables, of their copies, of what both sides read."""
AS_TEXT = ("timestamptz", "timestamp", "date", "interval", "numeric", "jsonb", "json")
"""Types of which not every value has one in Python, or of which equality is looser there."""
DATA_EXCEPTION = "22"
"""Class of errors that may or may not come, by the order in which PostgreSQL evaluates conditions."""
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Answer:
    """Rows of each query of a statement, or the SQLSTATE with which it ended."""

    rows: tuple[Rows, ...] = ()
    sqlstate: str = ""
    message: str = ""

    @property
    def total(self) -> int:
        return sum(map(len, self.rows))


@dataclass(frozen=True)
class Verdict:
    rows: int
    requests: int
    sqlstate: str = ""
    is_one_sided: bool = False
    """Whether an error came on one side only."""
    is_unable: bool = False
    """Whether the foreign side ended with an error that the door is known for."""


class Counting(Protocol):
    """The simulator, as far as it counts."""

    def stats(self) -> dict[str, int]:
        """With the key "requests"."""


class Judge:
    """`db`: in autocommit, with the schemas above. `excused`: SQLSTATEs that are no answer, on either side.

    `known_errors`: starts of messages with XX000 by which the door itself ends statements that it cannot execute.
    """

    def __init__(
        self,
        db: psycopg.Connection[Any],
        sim: Counting,
        excused: frozenset[str] = frozenset(),
        known_errors: tuple[str, ...] = (),
    ) -> None:
        self._db, self._sim, self._excused, self._known_errors = db, sim, excused, known_errors
        for name in AS_TEXT:
            db.adapters.register_loader(name, TextLoader)

    def check(self, statement: Statement) -> Verdict:
        """Both answers are read in one transaction, so that now() is the same."""
        before = self._sim.stats()["requests"]
        with self._db.transaction(force_rollback=True):
            for name, value in statement.settings:
                self._db.execute("select set_config(%s, %s, true)", [name, value])
            found = self._answer(FOREIGN, statement, statement.cut)
            wanted = self._answer(TRUTH, statement, None)
        requests = self._sim.stats()["requests"] - before
        if ended := {found.sqlstate, wanted.sqlstate} & self._excused:
            return Verdict(0, requests, ended.pop())
        if found.sqlstate == "XX000" and found.message.startswith(self._known_errors or ("\0",)):
            return Verdict(0, requests, found.sqlstate, is_unable=True)
        if DATA_EXCEPTION in (found.sqlstate[:2], wanted.sqlstate[:2]):
            return Verdict(0, requests, found.sqlstate or wanted.sqlstate, found.sqlstate != wanted.sqlstate)
        complaint = _complaint(found, wanted, statement)
        assert not complaint, f"{complaint}\n{statement}"
        return Verdict(found.total, requests, found.sqlstate)

    def _answer(self, schema: str, statement: Statement, cut: Optional[Cut]) -> Answer:
        clause = cut.clause if cut else ""
        try:
            with self._db.transaction(force_rollback=True):
                self._db.execute(f"set local search_path = {schema}, {SHARED}")
                for text in statement.before:
                    self._db.execute(text)
                parts = [self._db.execute(query + clause).fetchall() for query in statement.queries]
                return Answer((list(chain.from_iterable(parts)),) if statement.in_parts else tuple(parts))
        except psycopg.Error as error:
            if self._db.closed:
                raise
            return Answer(sqlstate=error.sqlstate or "", message=str(error))
        finally:
            # Prepared statements outlive a rollback.
            if not self._db.closed:
                self._db.execute("deallocate all")


def _complaint(found: Answer, wanted: Answer, statement: Statement) -> str:
    if found.sqlstate != wanted.sqlstate:
        return f"errors differ: foreign {found.message or 'none'}, local {wanted.message or 'none'}"
    for number, (some, all_) in enumerate(zip(found.rows, wanted.rows)):
        complaint = _cut_complaint(some, all_, statement.cut) if statement.cut else _difference(some, all_, statement)
        if complaint:
            return f"query {number + 1}: {complaint}"
    return ""


def _difference(found: Rows, wanted: Rows, statement: Statement) -> str:
    if statement.ordered:
        return "" if found == wanted else f"in order: foreign {found[:5]}, local {wanted[:5]}"
    surplus, missing = _counted(found) - _counted(wanted), _counted(wanted) - _counted(found)
    if not surplus and not missing:
        return ""
    return (
        f"foreign {len(found)} rows, local {len(wanted)}; "
        f"missing {list(missing.items())[:3]}, surplus {list(surplus.items())[:3]}"
    )


def _cut_complaint(found: Rows, all_: Rows, cut: Cut) -> str:
    if len(found) != cut.count(len(all_)):
        return f"{len(found)} rows of {len(all_)} under{cut.clause}"
    surplus = _counted(found) - _counted(all_)
    return f"surplus rows {list(surplus.items())[:3]}" if surplus else ""


def _counted(rows: Rows) -> Counter[str]:
    return Counter(map(repr, rows))
