"""Every statement of docs/pushdown.md sends exactly the requests that stand below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, rows

PAGE = (Path(__file__).parents[2] / "docs" / "pushdown.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)\n```\n\n```text\n(.*?)\n```", PAGE, re.DOTALL)
NO_REQUEST = "(nothing)"


def shown(sim: Simulator) -> list[str]:
    """The requests as the page shows them: times, which move, as three dots."""
    return sorted("GET " + re.sub(r"(start|end)_ts=\d+", r"\1_ts=…", target) for target in asked(sim))


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("```sql") == PAGE.count("```text")
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize(("statement", "requests"), EXAMPLES, ids=[str(n) for n in range(1, len(EXAMPLES) + 1)])
def test_example(db: Connection, sim: Simulator, statement: str, requests: str) -> None:
    rows(db, statement)
    assert shown(sim) == sorted(line for line in requests.splitlines() if line != NO_REQUEST)
