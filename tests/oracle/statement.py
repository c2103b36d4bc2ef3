"""One generated statement, and what may be compared of its answer.

    Statement(queries=("select m.id from messages m where m.campaign_id in (7, 8)",))

Names of tables have no schema: the search path says whose rows a run reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Cut:
    """LIMIT and OFFSET without an order: any so many of the rows are right."""

    limit: int
    offset: int

    @property
    def clause(self) -> str:
        return f" limit {self.limit} offset {self.offset}"

    def count(self, total: int) -> int:
        """Rows left of `total`."""
        return min(self.limit, max(total - self.offset, 0))


@dataclass(frozen=True)
class Statement:
    """`queries` run one after the other between `before` and `after`."""

    queries: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    in_parts: bool = False
    """Whether the queries give parts of one answer."""
    ordered: bool = False
    cut: Optional[Cut] = None
    tags: frozenset[str] = field(default_factory=frozenset)
    """What it is made of, to see that nothing is missing from many of them."""

    def __str__(self) -> str:
        settings = [f"set local {name} = '{value}'" for name, value in self.settings]
        return ";\n".join((*settings, *self.before, *self.queries, *self.after)) + ";"
