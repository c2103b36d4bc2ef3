"""What one statement keeps in memory: the lists of parents that its scans have read.

    statement = Statement.of(number)        # the same object for all scans of a statement

Two tables of children that a statement joins need their parents' list once; so does a scan that is run again. It is
kept as long as the scans are, whether there is a cache_ttl or not. Bodies are kept, not pages: each scan decodes them
for the columns that it wants.
"""

from __future__ import annotations

import weakref
from typing import NamedTuple


class Body(NamedTuple):
    """`came_s`: as in `pages.Page`."""

    body: bytes
    came_s: float


class Statement:
    """One statement's memory. `bodies`: by key, root of the API, table and target."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, str, str, str], Body] = {}

    @staticmethod
    def of(number: int) -> Statement:
        """The memory of the statement that the host gave this number; it may give it again after the statement."""
        return _running.setdefault(number, Statement())


_running: weakref.WeakValueDictionary[int, Statement] = weakref.WeakValueDictionary()
