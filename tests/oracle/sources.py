"""FROM clauses: one table, joins of two or three, with conditions over what they give.

joined(writer, pairs) -> From("messages m left join campaigns c on c.id = m.campaign_id and …", (m, c))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cio_fdw.catalog import ENDPOINTS
from tests.oracle.conditions import condition
from tests.oracle.writer import Known, Rel, Writer, rel

TABLES = tuple(sorted(name for name, endpoint in ENDPOINTS.items() if not endpoint.by_page))
JOINS = ("join", "join", "join", "left join", "right join", "full join")
Side = tuple[str, str]
"""(table, column)"""


@dataclass(frozen=True)
class From:
    """`shown`: the relations whose columns the rest of the statement may name."""

    text: str
    shown: tuple[Rel, ...]
    where: str = ""
    """A condition that belongs to the source (EXISTS and the like)."""


def pairs_of(known: Known) -> list[tuple[Side, Side]]:
    """Columns of two tables that hold equal values."""
    typed = [(_type(side), side, set(values)) for side, values in known.items() if _type(side) in ("bigint", "text")]
    return [
        (left, right)
        for left_type, left, ours in typed
        for right_type, right, theirs in typed
        if left_type == right_type and left != right and len(ours & theirs) >= 2
    ]


def _type(side: Side) -> str:
    column = ENDPOINTS[side[0]].column(side[1])
    return column.type if column else ""


def references() -> list[tuple[Side, Side]]:
    """Child to parent, both ways."""
    found = []
    for endpoint in ENDPOINTS.values():
        if endpoint.parent and not endpoint.by_page:
            child, parent = (endpoint.name, endpoint.parent.column), (endpoint.parent.endpoint, endpoint.parent.key)
            found += [(child, parent), (parent, child)]
    return found


def single(writer: Writer) -> From:
    table = writer.dice.pick((*TABLES, "messages", "messages", "activities", "messages"))
    relation = rel("t", table)
    if writer.dice.one_in(8):
        inner = f"(select * from {relation.source} where {condition(writer, relation)})"
        return From(f"{inner} t", (relation,))
    return From(relation.source, (relation,))


def joined(writer: Writer, pairs: Sequence[tuple[Side, Side]]) -> From:
    """Two tables, joined in one of the ways that SQL has."""
    dice = writer.dice
    (left_table, left_column), (right_table, right_column) = dice.pick(pairs)
    left, right = rel("l", left_table), rel("r", right_table)
    on = f"{left.ref(left_column)} = {right.ref(right_column)}"
    kind = dice.number(0, 9)
    if kind < 5:
        return _plain_join(writer, left, right, on, pairs)
    narrow = f" and {condition(writer, right)}" if dice.one_in(2) else ""
    if kind < 7:
        exists = f"exists (select from {right.source} where {on}{narrow})"
        return From(left.source, (left,), f"not {exists}" if dice.one_in(3) else exists)
    if kind == 7:
        operator = dice.pick(("in", "in", "not in"))
        inner = f"select {right.ref(right_column)} from {right.source} where true{narrow}"
        return From(left.source, (left,), f"{left.ref(left_column)} {operator} ({inner})")
    if kind == 8:
        lateral = f"(select * from {right.source} where {on}{narrow}) r"
        return From(f"{left.source} {dice.pick(('cross join', 'inner join'))} lateral {lateral}".replace(
            f"inner join lateral {lateral}", f"left join lateral {lateral} on true"), (left, right))  # fmt: skip
    inner = f"select max({right.ref(right_column)}) from {right.source} where true{narrow}"
    return From(left.source, (left,), f"{left.ref(left_column)} {dice.pick(('=', '<=', '>='))} ({inner})")


def _plain_join(writer: Writer, left: Rel, right: Rel, on: str, pairs: Sequence[tuple[Side, Side]]) -> From:
    dice = writer.dice
    join = dice.pick(JOINS)
    # A full join takes conditions that it can hash or merge.
    more = f" and {condition(writer, left, right)}" if join != "full join" and dice.one_in(4) else ""
    text, shown = f"{left.source} {join} {right.source} on {on}{more}", (left, right)
    thirds = [pair for pair in pairs if pair[0][0] in (left.table, right.table)]
    if thirds and dice.one_in(5):
        (near_table, near_column), (far_table, far_column) = dice.pick(thirds)
        near, far = (left if near_table == left.table else right), rel("f", far_table)
        text += f" {dice.pick(JOINS[:4])} {far.source} on {near.ref(near_column)} = {far.ref(far_column)}"
        shown = (left, right, far)
    return From(text, shown)
