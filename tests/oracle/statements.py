"""The strategy of statements: hypothesis draws them, and shrinks those that fail.

statements(known, now_s).example() -> Statement(("select t.id from messages t where …",))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable

from hypothesis import strategies as st

from tests.oracle.conditions import condition
from tests.oracle.dice import Dice
from tests.oracle.sources import From, Side, joined, pairs_of, references, single
from tests.oracle.statement import Cut, Statement
from tests.oracle.times import ZONES
from tests.oracle.writer import Known, Writer

SETTINGS = (
    ("datestyle", ("ISO, DMY", "SQL, DMY", "German", "Postgres, MDY")),
    ("plan_cache_mode", ("force_generic_plan", "force_custom_plan")),
    ("enable_hashjoin", ("off",)),
    ("enable_mergejoin", ("off",)),
    ("enable_nestloop", ("off",)),
    ("enable_material", ("off",)),
    ("from_collapse_limit", ("1",)),
    ("cursor_tuple_fraction", ("1.0", "0.001")),
)


def statements(known: Known, now_s: int) -> st.SearchStrategy[Statement]:
    """Statements over all tables. `now_s`: about which times of no row lie."""
    pairs = [*references() * 3, *pairs_of(known)]

    @st.composite
    def build(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Statement:
        dice = Dice(draw)
        executions = dice.pick((0, 0, 0, 0, 1, 2, 7))
        return _statement(Writer(dice, known, now_s, executions), pairs)

    return build()


def _statement(writer: Writer, pairs: Sequence[tuple[Side, Side]]) -> Statement:
    dice = writer.dice
    shape = dice.pick((_rows, _rows, _rows, _aggregate, _aggregate, _cut, _top, _union, _view, _with, _window))
    if shape is _cut:
        writer.executions = 0
    is_join = dice.one_in(3)
    source = joined(writer, pairs) if is_join else single(writer)
    conditions = [source.where] if source.where else []
    conditions += [condition(writer, *source.shown) for _ in range(dice.pick((0, 1, 1, 1, 2)))]
    where = " and ".join(f"({part})" for part in conditions)
    made = _delivered(writer, shape(writer, source, f" where {where}" if where else ""))
    tags = {shape.__name__.strip("_"), "join" if is_join else "single", *(["parameters"] if writer.params else [])}
    return _with_settings(dice, made, tags)


def _columns(writer: Writer, source: From) -> str:
    """A select list: columns, all of them, whole rows, expressions, or nothing."""
    dice = writer.dice
    relation = dice.pick(source.shown)
    columns = [f"{r.alias}.{c.name}" for r in source.shown for c in r.endpoint.all_columns]
    kind = dice.number(0, 9)
    if kind == 9:
        return ""
    if kind == 8:
        return dice.pick((f"{relation.alias}", f"to_jsonb({relation.alias})", f"{relation.alias} is null, 1"))
    if kind == 7:
        return "*"
    return ", ".join(dice.some(columns, 1, 4))


def _rows(writer: Writer, source: From, where: str) -> Statement:
    return Statement((f"select {_columns(writer, source)} from {source.text}{where}",))


def _aggregate(writer: Writer, source: From, where: str) -> Statement:
    dice = writer.dice
    plain = [
        (r, c) for r in source.shown for c in r.endpoint.all_columns if c.type in ("bigint", "text", "timestamptz")
    ]
    picked = [f"{r.alias}.{c.name}" for r, c in dice.some(plain, 1, 3)]
    sums = [f"{call}({name})" for name in picked for call in dice.some(("min", "max", "count"), 1, 2)]
    results = ", ".join(("count(*)", *sums, f"count(distinct {picked[0]})"))
    if not dice.one_in(2):
        return Statement((f"select {results} from {source.text}{where}",))
    relation, column = dice.pick(plain)
    name = f"{relation.alias}.{column.name}"
    group = f"date_trunc('day', {name})" if column.type == "timestamptz" else name
    having = " having count(*) > 1" if dice.one_in(3) else ""
    return Statement((f"select {group}, {results} from {source.text}{where} group by 1{having}",))


def _cut(writer: Writer, source: From, where: str) -> Statement:
    dice = writer.dice
    cut = Cut(dice.pick((0, 1, 2, 5, 30, 150)), dice.pick((0, 0, 0, 1, 7, 120)))
    keys = ", ".join(key for relation in source.shown for key in relation.keys)
    return Statement((f"select {keys} from {source.text}{where}",), cut=cut)


def _top(writer: Writer, source: From, where: str) -> Statement:
    """With an order that is total, as it ends with the keys."""
    dice = writer.dice
    columns = [f"{r.alias}.{c.name}" for r in source.shown for c in r.endpoint.all_columns if c.type != "text[]"]
    keys = ", ".join(key for relation in source.shown for key in relation.keys)
    order = f"{dice.pick(columns)} {dice.pick(('asc', 'desc', 'desc nulls last'))}, {keys}"
    limit = dice.pick((" limit 1", " limit 3 offset 2", " limit 40", " fetch first 5 rows with ties", ""))
    return Statement((f"select {keys} from {source.text}{where} order by {order}{limit}",), ordered=True)


def _union(writer: Writer, source: From, where: str) -> Statement:
    operator = writer.dice.pick(("union all", "union all", "except", "intersect"))
    keys = ", ".join(key for relation in source.shown for key in relation.keys)
    other = condition(writer, *source.shown)
    one, two = f"select {keys} from {source.text}{where}", f"select {keys} from {source.text} where {other}"
    return Statement((f"{one} {operator} {two}",))


def _inner(writer: Writer, source: From) -> str:
    relation = source.shown[0]
    return f"select {relation.alias}.* from {source.text}"


def _view(writer: Writer, source: From, where: str) -> Statement:
    """A view with one condition under a query with another."""
    dice, relation = writer.dice, source.shown[0]
    option = " with (security_barrier)" if dice.one_in(2) else ""
    # What defines a view takes no parameters.
    inside = condition(Writer(dice, writer.known, writer.now_s), relation)
    view = f"create temporary view seen{option} as select * from {relation.source} where {inside}"
    outside = condition(writer, relation)
    query = f"select {_columns(writer, From('', (relation,)))} from seen {relation.alias} where {outside}"
    return Statement((query,), (view,), ("drop view seen",))


def _with(writer: Writer, source: From, where: str) -> Statement:
    relation = source.shown[0]
    hint = writer.dice.pick(("", " materialized", " not materialized"))
    inner = f"with w as{hint} ({_inner(writer, source)}{where})"
    keys = ", ".join(relation.keys)
    return Statement((f"{inner} select {keys} from w {relation.alias} where {condition(writer, relation)}",))


def _window(writer: Writer, source: From, where: str) -> Statement:
    relation = source.shown[0]
    keys = ", ".join(relation.keys)
    over = f"row_number() over (order by {keys}), count(*) over ()"
    return Statement((f"select * from (select {keys}, {over} from {source.text}{where}) s",))


def _delivered(writer: Writer, made: Statement) -> Statement:
    """As it is, prepared and executed with several sets of parameters, or read through a cursor."""
    (query,) = made.queries
    if writer.executions:
        types = ", ".join(param.type for param in writer.params)
        prepare = f"prepare ready{f' ({types})' if types else ''} as {query}"
        values = [", ".join(param.literals[number] for param in writer.params) for number in range(writer.executions)]
        runs = tuple(f"execute ready{f' ({one})' if one else ''}" for one in values)
        return replace(made, queries=runs, before=(*made.before, prepare), after=("deallocate ready", *made.after))
    if made.cut is None and writer.dice.one_in(5):
        fetches = tuple(f"fetch {count} from walk" for count in writer.dice.pick((("all",), (3, "all"), (1, 1, "all"))))
        declare = f"declare walk no scroll cursor for {query}"
        after = ("close walk", *made.after)
        return replace(made, queries=fetches, before=(*made.before, declare), after=after, in_parts=True)
    return made


def _with_settings(dice: Dice, made: Statement, tags: set[str]) -> Statement:
    settings = [("timezone", dice.pick(ZONES))]
    if dice.one_in(3):
        settings += [(name, dice.pick(values)) for name, values in dice.some(SETTINGS, 1, 3)]
    how = {"prepare": "prepared", "declare": "cursor"}
    tags |= {tag for word, tag in how.items() for text in made.before if text.startswith(word)}
    return replace(made, settings=tuple(settings), tags=frozenset(tags))
