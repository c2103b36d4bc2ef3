"""What the generator knows while it writes one statement: the data, the columns at hand, and parameters.

    writer.value("bigint", lambda: "7")    '7', or '$1' in a statement that takes parameters

`Known` holds values that occur in the data, so that conditions hit rows and not only miss them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Column, Endpoint
from tests.oracle.dice import Dice

MAX_PARAMS = 5
Known = Mapping[tuple[str, str], Sequence[Any]]
"""Values by (table, column): int, str, bool; times as unix seconds; of lists and objects their elements and keys."""


@dataclass(frozen=True)
class Rel:
    """A table under an alias."""

    alias: str
    endpoint: Endpoint

    @property
    def table(self) -> str:
        return self.endpoint.name

    @property
    def source(self) -> str:
        return f"{self.table} {self.alias}"

    def ref(self, name: str) -> str:
        return f"{self.alias}.{name}"

    def of_type(self, *types: str) -> list[Column]:
        return [column for column in self.endpoint.all_columns if column.type in types]

    @property
    def keys(self) -> list[str]:
        return [self.ref(name) for name in self.endpoint.key]


def rel(alias: str, table: str) -> Rel:
    return Rel(alias, ENDPOINTS[table])


@dataclass(frozen=True)
class Param:
    """A parameter with one literal for each time that the statement is executed."""

    type: str
    literals: tuple[str, ...]


@dataclass
class Writer:
    """`executions`: how often the statement runs with other parameters; 0 for one without parameters."""

    dice: Dice
    known: Known
    now_s: int
    executions: int = 0
    params: list[Param] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Whether literals must do without sub-selects: arguments of EXECUTE cannot hold any."""
        return self.executions > 0

    def value(self, type_: str, make: Callable[[], str]) -> str:
        """A literal, or a parameter of that type."""
        if self.executions and len(self.params) < MAX_PARAMS and not self.dice.one_in(3):
            self.params.append(Param(type_, tuple(make() for _ in range(self.executions))))
            return f"${len(self.params)}"
        return make()

    def of(self, relation: Rel, column: Column) -> Sequence[Any]:
        return self.known.get((relation.table, column.name), ())


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
