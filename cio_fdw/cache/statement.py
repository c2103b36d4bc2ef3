"""What one statement keeps in memory: the lists of parents that its scans have read.

    statement = Statement.of(number)        # the same object for all scans of a statement

Two tables of children that a statement joins need their parents' list once; so does a scan that is run again. It is
kept as long as the scans are, whether there is a cache_ttl or not.
"""

from __future__ import annotations

import weakref
from typing import Any


class Statement:
    """One statement's memory. `pages`: by key, root of the API and target."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, str, str, str], Any] = {}

    @staticmethod
    def of(number: int) -> Statement:
        """The memory of the statement that the host gave this number; it may give it again after the statement."""
        return _running.setdefault(number, Statement())


_running: weakref.WeakValueDictionary[int, Statement] = weakref.WeakValueDictionary()
