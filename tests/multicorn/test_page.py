"""docs/multicorn.md and the lists of what differs name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.multicorn.differences import DIFFERENCES
from tests.multicorn.native_only import NATIVE_ONLY

ROOT = Path(__file__).resolve().parents[2]
FACTS = 14
"""What Multicorn does by itself: rows of the page's last table."""


def test_every_row_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "multicorn.md").read_text()
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    written = {name for text in sources for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, FACTS + 1))
    for number, cell in rows:
        named = re.findall(r"`(test_\w+)`", cell)
        assert named, number
        assert set(named) <= written, number


def test_every_entry_of_the_lists_is_a_test() -> None:
    named = {difference.of for difference in DIFFERENCES}
    named |= {f"{path}::{name}" for path, tests in NATIVE_ONLY.items() for name in tests}
    gone = []
    for one in sorted(named):
        path, _, name = one.partition("::")
        if not re.search(rf"^def {name.partition('[')[0]}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE):
            gone.append(one)
    assert gone == []
