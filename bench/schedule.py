"""How scans of unevenly lying messages are divided, in virtual time: the same on every machine.

The real scheduling of `cio_fdw.scan`, over answers that take 250 ms and a limit of ten in any one second, which nobody
waits for (tests/unit/virtual_time.py): no start of Python, no limiter's margin, no work of PostgreSQL.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.report import heading, row
from bench.tasks import ALL_DAYS, DAY_S
from bench.traffic import shapes
from cio_fdw.densities import Densities
from cio_fdw.state import StateDirectory
from tests.unit import virtual_time
from tests.unit.scan_world import NOW_S

PAGES = (10, 20, 40, 60, 100, 150, 300, 600)


def schedule() -> Iterator[str]:
    """The section `schedule`: requests over full pages, and what share of the limit is used; then the same again."""
    yield from heading("messages lie", *(f"{pages} pages" for pages in PAGES))
    for name in shapes(1):
        yield row(name, *(_told(name, pages) for pages in PAGES))
    yield "\nEach: requests over full pages, and needed requests a second as a share of ten; first scan, next one."


def _told(shape: str, pages: int) -> str:
    count = pages * virtual_time.PAGE_ROWS
    place = shapes(count)[shape]
    length_s = ALL_DAYS * DAY_S
    created_s = [NOW_S - length_s + int(place(i) * (length_s - 9)) for i in range(count)]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as state:
        known = Densities(StateDirectory(Path(state) / "state"), "")
        outcomes = [virtual_time.scanned(created_s, patch, densities=known) for _ in range(2)]
    return "; ".join(
        f"{one.requests / pages - 1:+.0%}, {pages / one.seconds / virtual_time.RATE:.0%}" for one in outcomes
    )
