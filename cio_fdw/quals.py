"""What a WHERE clause says of one column, as typed values.

    created >= '2026-01-01'    Qual("created", ">=", 1767225600000000)
    campaign_id IN (7, 8)      Qual("campaign_id", "in", (7, 8))
    subject IS NULL            Qual("subject", "is null", None)
    campaign_id = $1           Qual("campaign_id", "=", UNKNOWN) while planning, the value when executing

Values by the column's type: bigint int, text str, bool bool, float8 float; timestamptz int
microseconds since 1970-01-01 UTC, or ±math.inf for PostgreSQL's infinities. None is SQL NULL.
A door builds only quals that the statement really demands of every row (they are ANDed), with
PostgreSQL's own operators and deterministic collations.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Union


class Unknown(Enum):
    """A value that only the execution will know (a parameter, a sub-select)."""

    UNKNOWN = "?"

    def __str__(self) -> str:
        return self.value


UNKNOWN: Final = Unknown.UNKNOWN

Scalar = Union[int, float, str, bool, None, Unknown]

OPS = ("=", "<", "<=", ">", ">=", "in", "is null", "is not null")


@dataclass(frozen=True)
class Qual:
    """One condition. For "in", `value` is a tuple of scalars or UNKNOWN."""

    column: str
    op: str
    value: Any

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise ValueError(f"no such operator: {self.op}")

    @property
    def never(self) -> bool:
        """True when no row can satisfy this: a comparison with NULL, an empty IN list."""
        if self.op in ("is null", "is not null"):
            return False
        if self.op == "in":
            return self.value is None or (self.value is not UNKNOWN and not self.values)
        return self.value is None

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of "=" or "in", without NULLs and duplicates, in the order written."""
        given = self.value if self.op == "in" else (self.value,)
        if given is UNKNOWN:
            return (UNKNOWN,)
        return tuple(dict.fromkeys(value for value in given if value is not None))
