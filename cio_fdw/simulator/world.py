"""The tables of the simulated workspace, and how each catalog entry looks at them.

    world = World(ENDPOINTS, workspace.rows, order="newest")
    world.views["message_drafts"].table is world.views["messages"].table

Two entries of one path (messages, and messages with drafts=true) share a table. An entry for which the
workspace has no rows shows those of its catalog sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional

from cio_fdw.endpoint import Endpoint
from cio_fdw.simulator.answers import BadRequestError
from cio_fdw.simulator.behaviour import Behaviour, Row, behaviour_of
from cio_fdw.simulator.store import Key, Table, ValueOf, Wanted

RowsOf = Mapping[str, Iterable[tuple[Row, object]]]
TRUE_TEXTS = ("1", "t", "T", "true", "TRUE", "True")
INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Param:
    """A query parameter that selects rows by equality."""

    name: str
    type: str
    value_of: ValueOf
    known: frozenset[str] = frozenset()
    default: Optional[object] = None
    kind_param: str = ""
    kinds: tuple[str, ...] = ()

    def wanted(self, query: Mapping[str, str]) -> Optional[object]:
        """The value that the query asks for, the default when it does not. Raises BadRequestError."""
        text = query.get(self.name)
        if text is None:
            return self.default
        if self.known and text not in self.known:
            raise BadRequestError(f"invalid {self.name}")
        value = parse_value(self.name, self.type, text)
        if not self.kind_param:
            return value
        kind = query.get(self.kind_param, self.kinds[0])
        if kind not in self.kinds:
            raise BadRequestError(f"invalid {self.kind_param}")
        return kind, value


@dataclass(frozen=True)
class View:
    """One catalog entry over its table."""

    endpoint: Endpoint
    behaviour: Behaviour
    table: Table
    params: tuple[Param, ...]
    parent: Optional[Table]
    fixed: Wanted = ()
    """What the entry's own parameters and the defaults select, of a table that it may share."""
    minted: dict[str, set[object]] = field(default_factory=dict)
    """The parents for which each token was handed out, where that matters (behaviour.foreign_is_empty)."""


class World:
    """All views by table name. `routes` has one view per path."""

    def __init__(self, endpoints: Mapping[str, Endpoint], rows: RowsOf, order: str) -> None:
        self._endpoints = endpoints
        self._order = order
        self._tables: dict[str, Table] = {}
        self.views: dict[str, View] = {}
        self.routes: dict[str, View] = {}
        # Parents first, so that the samples of children find keys; then the plain entry of a path before its variants;
        # then as the rows are given, some of which are made from those before them.
        places = {name: place for place, name in enumerate(rows)}
        for endpoint in sorted(
            endpoints.values(), key=lambda e: (bool(e.parent), bool(e.fixed_params), places.get(e.name, len(places)))
        ):
            self._add(endpoint, rows)

    def delete(self, name: str, key: Key) -> bool:
        """Removes a row and the rows of other tables of which it is the parent."""
        view = self.views[name]
        if not view.table.drop(key):
            return False
        for child in self.views.values():
            parent = child.endpoint.parent
            if parent and parent.endpoint == name and not child.behaviour.store:
                for child_key in child.table.all_keys():
                    if child.table.parent_of(child_key) == key[0]:
                        child.table.drop(child_key)
        return True

    def _add(self, endpoint: Endpoint, rows: RowsOf) -> None:
        behaviour = behaviour_of(endpoint.name)
        twin = self.routes.get(endpoint.path)
        if twin is not None:
            fixed = selected(twin.params, dict(endpoint.fixed_params))
            self.views[endpoint.name] = View(endpoint, twin.behaviour, twin.table, twin.params, twin.parent, fixed)
            return
        params = params_of(endpoint, behaviour)
        parent = self._tables[endpoint.parent.endpoint] if endpoint.parent else None
        table = self._tables.get(behaviour.store) or self._table(endpoint, params, parent, rows)
        self._tables[endpoint.name] = table
        fixed = selected(params, dict(endpoint.fixed_params))
        view = View(endpoint, behaviour, table, params, parent, fixed)
        self.views[endpoint.name] = self.routes[endpoint.path] = view

    def _table(self, endpoint: Endpoint, params: tuple[Param, ...], parent: Optional[Table], rows: RowsOf) -> Table:
        parent_field = endpoint.parent.column if endpoint.parent else ""
        time_of = _int_getter(endpoint, endpoint.time_column) if endpoint.time_column else None
        fields = {param.name: param.value_of for param in params if param.name != parent_field}
        for other in self._endpoints.values():
            if behaviour_of(other.name).store == endpoint.name and other.parent:
                fields[other.parent.column] = getter(endpoint, other.parent.column)
        # A feed stays newest first when rows are added to it; its rows are given in that order.
        order = self._order if endpoint.window else "newest" if time_of else "oldest"
        table = Table(_key_getter(endpoint), fields, time_of, order, parent_field)
        given = rows[endpoint.name] if endpoint.name in rows else _sample(endpoint, parent)
        table.load(given if endpoint.window or not time_of else reversed(list(given)))
        table.warm(selected(params, {}))
        return table


def params_of(endpoint: Endpoint, behaviour: Behaviour) -> tuple[Param, ...]:
    """The filters of the catalog, and those of the behaviour that are no columns."""
    derived = [Param(d.param, d.type, d.value_of, d.known, d.default, d.kind_param, d.kinds) for d in behaviour.derived]
    names = {param.name for param in derived}
    for known in endpoint.filters:
        column = endpoint.column(known.column)
        if column is not None and known.param not in names:
            derived.append(Param(known.param, column.type, getter(endpoint, known.column), known.known))
    return tuple(derived)


def parse_value(name: str, type_: str, text: str) -> object:
    """A parameter or path value by the catalog's type name. Raises BadRequestError."""
    if type_ == "bool":
        return text in TRUE_TEXTS
    if type_ in ("bigint", "timestamptz"):
        if not INTEGER.fullmatch(text):
            raise BadRequestError(f"invalid {name}")
        return int(text)
    return text


def type_of(endpoint: Endpoint, name: str) -> str:
    """The catalog's type name of a column; text when it has no such column."""
    column = endpoint.column(name)
    return column.type if column else "text"


def getter(endpoint: Endpoint, name: str) -> ValueOf:
    """A function from a row to its value of one column, None where it is missing."""
    column = endpoint.column(name)
    path = column.key_path if column else (name,)
    if len(path) == 1:
        key = path[0]
        return lambda row: row.get(key)

    def nested(row: Row) -> object:
        value: object = row
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    return nested


def _int_getter(endpoint: Endpoint, name: str) -> Callable[[Row], int]:
    value_of = getter(endpoint, name)

    def time_of(row: Row) -> int:
        value = value_of(row)
        return value if isinstance(value, int) else 0

    return time_of


def _key_getter(endpoint: Endpoint) -> Callable[[Row, object], Key]:
    parent = endpoint.parent.column if endpoint.parent else ""
    parts = [None if name == parent else getter(endpoint, name) for name in endpoint.key]
    if len(parts) == 1 and parts[0] is not None:
        only = parts[0]
        return lambda row, _parent: (only(row),)
    return lambda row, parent_key: tuple(parent_key if part is None else part(row) for part in parts)


def selected(params: tuple[Param, ...], query: Mapping[str, str]) -> Wanted:
    """What a request's parameters select, defaults included. Raises BadRequestError."""
    pairs = ((param.name, param.wanted(query)) for param in params)
    return tuple((name, value) for name, value in pairs if value is not None)


def _sample(endpoint: Endpoint, parent: Optional[Table]) -> Iterable[tuple[Row, object]]:
    """The rows of the entry's sample; of a child for each parent, whose key they have where they name it."""
    listed = endpoint.sample[endpoint.rows_key] or ()
    if endpoint.parent is None or parent is None:
        return [(row, None) for row in listed]
    column = endpoint.column(endpoint.parent.column)
    name = column.key_path[0] if column else ""
    keys = [key[0] for key in parent.all_keys()]
    return [({**row, name: key} if name in row else row, key) for key in keys for row in listed]
