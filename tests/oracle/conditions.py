"""Conditions over the columns of one table: every operator of each type, and trees of them.

condition(writer, rel("m", "messages")) -> "not (m.campaign_id in (7, null::bigint)) or m.created::date = 'today'"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from cio_fdw.endpoint import Column
from tests.oracle.times import Make, time_expression
from tests.oracle.values import bigint_value, pattern, text_value
from tests.oracle.writer import Rel, Writer, quoted

OPERATORS = ("=", "=", "=", "<", "<=", ">", ">=", "<>")
BOOLEANS = ("{}", "not {}", "{} is true", "{} is not true", "{} is false", "{} is unknown", "{} = true", "{} <> false",
            "{} in (true, null)", "{} is not distinct from false")  # fmt: skip


def condition(writer: Writer, *relations: Rel) -> str:
    """A condition that is true, false or null of each row of the relations; never an error."""
    return _tree(writer, relations, depth=writer.dice.pick((0, 0, 1, 1, 2, 3)))


def _tree(writer: Writer, relations: Sequence[Rel], depth: int) -> str:
    dice = writer.dice
    if depth == 0:
        return atom(writer, dice.pick(relations))
    parts = [_tree(writer, relations, dice.number(0, depth - 1)) for _ in range(dice.number(1, 3))]
    joined = dice.pick((" and ", " and ", " or ")).join(f"({part})" if " " in part else part for part in parts)
    shape = dice.pick(("{}",) * 6 + ("not ({})", "({}) is true", "({}) is not false", "coalesce({}, false)",
                                     "case when {} then true else false end"))  # fmt: skip
    return shape.format(joined)


def atom(writer: Writer, relation: Rel) -> str:
    """A condition on one column."""
    dice = writer.dice
    pushable = [column for column in relation.endpoint.columns if _is_pushable(relation, column)]
    # Columns that become parameters of requests are what there is to get wrong.
    columns = pushable if pushable and not dice.one_in(3) else relation.endpoint.all_columns
    return column_atom(writer, relation, dice.pick(columns))


def _is_pushable(relation: Rel, column: Column) -> bool:
    endpoint = relation.endpoint
    names = {filter_.column for filter_ in endpoint.filters}
    names |= {endpoint.window.column} if endpoint.window else set()
    names |= {endpoint.parent.column} if endpoint.parent else set()
    names |= {"id"} if endpoint.one_row else set()
    return column.name in names


def column_atom(writer: Writer, relation: Rel, column: Column) -> str:
    return _ATOMS[column.type](writer, relation, column)


def _bigint(writer: Writer, relation: Rel, column: Column) -> str:
    known, name = writer.of(relation, column), relation.ref(column.name)
    others = [relation.ref(other.name) for other in relation.of_type("bigint")]
    expression = writer.dice.pick(
        (name,) * 7 + (f"{name} + 1", f"-{name}", f"coalesce({name}, 0)", f"{name}::text::bigint")
    )
    if writer.dice.one_in(15):
        return f"{name} {writer.dice.pick(OPERATORS)} {writer.dice.pick(others)}"
    return compare(writer, expression, lambda typed: bigint_value(writer, known, typed), "bigint")


def _text(writer: Writer, relation: Rel, column: Column) -> str:
    known, name = writer.of(relation, column), relation.ref(column.name)
    dice = writer.dice
    kind = dice.number(0, 11)
    if kind == 11:
        operator = dice.pick(("like", "not like", "ilike", "~~*"))
        return f"{name} {operator} {pattern(writer, known)}"
    if kind == 10:
        start = quoted(dice.pick(known)[:3]) if known else "''"
        return dice.pick(
            (f"starts_with({name}, {start})", f"length({name}) > {dice.number(0, 12)}", f"{name} ^@ {start}")
        )
    expression = dice.pick((name,) * 7 + (f"lower({name})", f'{name} collate "C"', f"{name}::varchar", f"{name} || ''"))
    return compare(writer, expression, lambda typed: text_value(writer, known, typed), "text")


def _timestamptz(writer: Writer, relation: Rel, column: Column) -> str:
    name, known = relation.ref(column.name), writer.of(relation, column)
    if writer.dice.one_in(16):
        age = writer.dice.pick(("1 day", "100 hours", "5 weeks"))
        return writer.dice.pick((f"now() - {name} < interval '{age}'", f"age({name}) > interval '{age}'"))
    expression, make = time_expression(writer, name, known)
    return compare(writer, expression, make, "")


def _bool(writer: Writer, relation: Rel, column: Column) -> str:
    return writer.dice.pick(BOOLEANS).format(relation.ref(column.name))


def _array(writer: Writer, relation: Rel, column: Column) -> str:
    name = relation.ref(column.name)
    element = quoted(writer.dice.pick((*writer.of(relation, column), "none")))
    shapes = (f"{element} = any ({name})", f"{name} @> array[{element}]", f"{name} && array[{element}, 'x']",
              f"cardinality({name}) > {writer.dice.number(0, 2)}", f"{name} is null", f"{name} = array[{element}]",
              f"{element} <> all ({name})", f"{name}[1] = {element}")  # fmt: skip
    return writer.dice.pick(shapes)


def _jsonb(writer: Writer, relation: Rel, column: Column) -> str:
    name = relation.ref(column.name)
    key = quoted(writer.dice.pick((*writer.of(relation, column), "none")))
    shapes = (f"{name} ? {key}", f"jsonb_typeof({name}) = 'object'", f"{name} is null", f"{name} -> {key} is not null",
              f"length({name} ->> {key}) > 3", f"{name} @> jsonb_build_object({key}, null)", f"{name} = '[]'",
              f"{name}::text like '%1%'")  # fmt: skip
    return writer.dice.pick(shapes)


_ATOMS: dict[str, Callable[[Writer, Rel, Column], str]] = {
    "bigint": _bigint,
    "text": _text,
    "timestamptz": _timestamptz,
    "bool": _bool,
    "text[]": _array,
    "jsonb": _jsonb,
}


def compare(writer: Writer, left: str, make: Make, array_type: str) -> str:  # noqa: PLR0911 - a list of shapes
    """One expression compared with values, in every way that SQL has. `array_type`: of a parameter array, if any."""
    dice = writer.dice
    kind = dice.number(0, 15)
    if kind < 5:
        right, operator = make(False), dice.pick(OPERATORS)
        return f"{right} {operator} {left}" if dice.one_in(6) else f"{left} {operator} {right}"
    if kind < 7:
        return f"{left} {dice.pick(('>=', '>'))} {make(False)} and {left} {dice.pick(('<', '<='))} {make(False)}"
    if kind == 7:
        return f"{left} {dice.pick(('between', 'between symmetric', 'not between'))} {make(True)} and {make(False)}"
    if kind < 10:
        values = ", ".join(make(True) for _ in range(dice.number(1, 4)))
        return f"{left} {dice.pick(('in', 'in', 'in', 'not in'))} ({values})"
    if kind == 10:
        values = _array_of(writer, make, array_type)
        return f"{left} {dice.pick(('= any', '= any', '<> all', '> any', '<= all'))} ({values})"
    if kind == 11:
        return f"{left} {dice.pick(('is null', 'is not null'))}"
    if kind == 12:
        return f"{left} is {dice.pick(('not distinct from', 'distinct from'))} {make(True)}"
    if kind == 13:
        return f"not ({left} {dice.pick(OPERATORS)} {make(False)})"
    parts = [f"({compare(writer, left, make, array_type)})" for _ in range(dice.number(2, 3))]
    return dice.pick((" or ", " or ", " and ")).join(parts)


def _array_of(writer: Writer, make: Make, array_type: str) -> str:
    values = [make(True) for _ in range(writer.dice.number(1, 4))]
    if array_type and writer.dice.one_in(4):
        return f"array[{', '.join(values)}]::{array_type}[]"
    return f"array[{', '.join(values)}]"
