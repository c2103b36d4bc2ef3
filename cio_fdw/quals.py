"""What a WHERE clause says of single columns, as typed values.

    created >= '2026-01-01'    Qual("created", ">=", 1767225600000000)
    campaign_id IN (7, 8)      Qual("campaign_id", "in", (7, 8))
    subject IS NULL            Qual("subject", "is null", None)
    campaign_id = $1           Qual("campaign_id", "=", UNKNOWN) while planning, the value when executing
    type = 'push' OR id = 'a'  AnyOf(((Qual("type", "=", "push"),), (Qual("id", "=", "a"),)))

Values by the column's type: bigint int, text str, bool bool, float8 float; timestamptz int
microseconds since 1970-01-01 UTC, or ±math.inf for PostgreSQL's infinities. None is SQL NULL.
A door builds only quals that the statement really demands of every row (they are ANDed), with
PostgreSQL's own operators and deterministic collations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Optional, Union


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


@dataclass(frozen=True)
class AnyOf:
    """An OR: at least one branch holds. A branch is what must hold together, and says at least one thing."""

    branches: tuple[tuple[Condition, ...], ...]

    @property
    def never(self) -> bool:
        return all(any(condition.never for condition in branch) for branch in self.branches)


Condition = Union[Qual, AnyOf]
OR = "or"


def condition(column: str, op: str, value: Any) -> Condition:
    """A door's triple as a condition; of an OR the value is its branches, each a sequence of triples."""
    if op != OR:
        return Qual(column, op, value)
    return AnyOf(tuple(tuple(condition(*one) for one in branch) for branch in value))


def simplified(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """The same conditions without branches that no row can meet; an OR of one branch becomes that branch."""
    simple: list[Condition] = []
    for one in conditions:
        if isinstance(one, Qual) or one.never:
            simple.append(one)
            continue
        branches = [simplified(branch) for branch in one.branches if not any(part.never for part in branch)]
        simple.extend(branches[0] if len(branches) == 1 else [AnyOf(tuple(branches))])
    return tuple(simple)


def allowed_values(conditions: Sequence[Condition], column: str) -> Optional[tuple[Any, ...]]:
    """The values that "=", "in" and ORs of them leave to `column`, in order; None when they say nothing."""
    allowed: Optional[tuple[Any, ...]] = None
    unknown = False
    for one in conditions:
        values = _values_of(one, column)
        if values is None:
            continue
        if UNKNOWN in values:
            unknown = True
        else:
            allowed = values if allowed is None else tuple(value for value in allowed if value in values)
    return (UNKNOWN,) if allowed is None and unknown else allowed


def _values_of(one: Condition, column: str) -> Optional[tuple[Any, ...]]:
    if isinstance(one, Qual):
        return one.values if one.column == column and one.op in ("=", "in") else None
    union: dict[Any, None] = {}
    for branch in one.branches:
        values = allowed_values(branch, column)
        if values is None:
            return None
        union.update(dict.fromkeys(values))
    return tuple(union)
