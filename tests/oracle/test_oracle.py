"""Generated statements answer what PostgreSQL answers on plain copies of the rows.

CIO_ORACLE_SEED=…        repeats a run; otherwise a new seed each time, which is printed
CIO_ORACLE_SHRINK=1      makes a statement that fails as small as it can be, which takes minutes
CIO_ORACLE_STATEMENTS=…  how many (make oracle: 20,100; make test: a few hundred), over three orders of messages
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.oracle.conftest import ORDERS, Sides
from tests.oracle.statements import statements

COUNT = int(os.environ.get("CIO_ORACLE_STATEMENTS", "450"))
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("CIO_ORACLE_SHRINK") else (Phase.generate,)
SEED = int(os.environ.get("CIO_ORACLE_SEED") or random.SystemRandom().randrange(2**32))
LEAST = {"join": 0.15, "parameters": 0.15, "prepared": 0.2, "cursor": 0.01, "cut": 0.04, "top": 0.04, "view": 0.04,
         "aggregate": 0.08, "union": 0.04, "with": 0.04, "window": 0.04}  # fmt: skip
"""Shares of the statements that must hold such things, or the generator is broken."""
LEAST_WITH_ROWS, MOST_ERRORS, MOST_ONE_SIDED, MOST_UNABLE = 0.35, 0.06, 0.01, 0.05
ENOUGH = 2000
"""Statements after which shares are steady: few are too much alike, as hypothesis varies what it drew before."""


def test_statements(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f" CIO_ORACLE_SEED={SEED}")
    seen: Counter[str] = Counter()
    with sides.judge() as judge:
        strategy = statements(sides.known, sides.now_s)

        # Each order of messages gets statements of its own.
        @hypothesis.seed(SEED + ORDERS.index(sides.order))
        @settings(
            max_examples=COUNT // len(ORDERS), deadline=None, database=None, phases=PHASES,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(st.data())
        def run(data: st.DataObject) -> None:
            statement = data.draw(strategy)
            verdict = judge.check(statement)
            seen.update(statement.tags)
            seen.update(all=1, found=verdict.rows > 0, errors=bool(verdict.sqlstate), requests=verdict.requests)
            seen.update(one_sided=verdict.is_one_sided, unable=verdict.is_unable)

        run()
    shares = {tag: count / seen["all"] for tag, count in seen.items()}
    with capsys.disabled():
        sys.stdout.write(
            f" {seen['all']} statements, {shares['found']:.0%} with rows, {shares['errors']:.1%} errors, "
            f"{seen['unable']} that the door is not able to execute"
        )
    assert seen["all"] >= COUNT // len(ORDERS)
    assert seen["found"]
    assert seen["requests"]
    if seen["all"] >= ENOUGH:
        check_shares(shares)


def check_shares(shares: dict[str, float]) -> None:
    assert shares["found"] >= LEAST_WITH_ROWS
    assert shares["unable"] <= MOST_UNABLE
    assert shares["errors"] - shares["unable"] <= MOST_ERRORS
    assert shares["one_sided"] <= MOST_ONE_SIDED
    assert not {tag: shares.get(tag, 0) for tag, least in LEAST.items() if shares.get(tag, 0) < least}
