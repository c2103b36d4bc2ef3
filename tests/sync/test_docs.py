"""docs/incremental.md and the extension say the same: functions, arguments, types, defaults, results, views."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.sync.helpers import Sync

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "incremental.md").read_text()
SIGNATURE = re.compile(r"`cio\.(\w+)\(([^`]*?)\)(?: → \w+)?`")
IN_TABLES = {
    "mirror": "### cio.mirror → regclass",
    "refresh": "### cio.refresh (procedure)",
    "refresh_matview": "## Materialized views",
}
"""Functions whose arguments are the rows of the first table below a line."""
ALL_OPTIONAL = "alter_mirror"


class Argument(NamedTuple):
    name: str
    type: str
    is_optional: bool


def table(heading: str, below: str = "") -> list[list[str]]:
    """Cells of the first table whose heading begins so, at or below a line; without backticks."""
    lines = TEXT[TEXT.index(below) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def documented() -> dict[str, list[Argument]]:
    found = {}
    for name, given in SIGNATURE.findall(TEXT):
        arguments = []
        for part in re.split(r", (?=\w+ [\w\[])", given):
            head, _, default = part.replace("VARIADIC ", "").partition(" = ")
            word, _, type_ = head.partition(" ")
            arguments.append(Argument(word, type_, bool(default) or (name == ALL_OPTIONAL and word != "target")))
        found[name] = arguments
    for name, heading in IN_TABLES.items():
        rows = table("argument", heading)
        found[name] = [Argument(row[0].strip("`"), row[1], bool(row[3])) for row in rows]
    return found


def actual(s: Sync) -> dict[str, list[Argument]]:
    rows = s.rows("""
        select p.proname, array_agg(p.proargnames[u.n]::text order by u.n),
               array_agg(format_type(u.t, null) order by u.n),
               array_agg(u.n > p.pronargs - p.pronargdefaults order by u.n)
        from pg_proc p, unnest(p.proargtypes::oid[]) with ordinality u(t, n)
        where p.pronamespace = 'cio'::regnamespace and p.proname !~ '^_' and coalesce(p.proargmodes[u.n], 'i') <> 'b'
            and not exists (select from pg_proc o where o.pronamespace = p.pronamespace and o.proname = p.proname
                            and o.oid <> p.oid and 'regclass'::regtype = any (o.proargtypes::oid[]))
        group by p.oid""")
    return {name: [Argument(*each) for each in zip(names, types, optional)] for name, names, types, optional in rows}


def full_type(s: Sync, name: str) -> str:
    return str(s.value("select format_type(%s::regtype, null)", [name]))


def test_functions_and_arguments(mirror_db: Sync) -> None:
    told = {
        name: [argument._replace(type=full_type(mirror_db, argument.type)) for argument in arguments]
        for name, arguments in documented().items()
    }
    assert told == actual(mirror_db)


def test_no_function_is_left_out(mirror_db: Sync) -> None:
    named = mirror_db.rows(
        "select distinct proname from pg_proc where pronamespace = 'cio'::regnamespace and proname !~ '^_' order by 1"
    )
    assert sorted(documented()) == [name for (name,) in named]


def test_every_function_has_an_example() -> None:
    examples = "\n".join(re.findall(r"^```\w*\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
    assert [name for name in documented() if f"cio.{name}(" not in examples] == []


def test_results(mirror_db: Sync) -> None:
    s = mirror_db
    found = s.rows("select distinct proname, pg_get_function_result(oid) from pg_proc "
                   "where pronamespace = 'cio'::regnamespace and prokind = 'f'")  # fmt: skip
    results = dict(found)
    assert len(results) == len(found)  # by the table or by its name, the result is the same
    cells = [*table("function"), *table("function", "### Looking")]
    assert len(cells) >= 8
    for signatures, returns, *_ in cells:
        for name, _arguments in SIGNATURE.findall(signatures):
            given = results[name]
            if returns.startswith("table"):
                assert re.findall(r"\w+", returns)[1:] == re.findall(r"(\w+) \w+[,)]", given)
            else:
                many, _, type_ = returns.rpartition(" ")
                assert given.lower() == f"{many} {full_type(s, type_)}".strip()
    assert results["mirror"] == "regclass"
    assert (results["schedule"], results["unschedule"]) == ("bigint", "boolean")
    inout = s.value("""
        select array_agg(proargnames[n]::text order by n) from pg_proc, generate_subscripts(proargmodes, 1) n
        where pronamespace = 'cio'::regnamespace and proname = 'refresh'
            and 'regclass'::regtype = any (proargtypes::oid[]) and proargmodes[n] = 'b'""")
    assert [row[0].strip("`") for row in table("result")] == inout


def test_views(mirror_db: Sync) -> None:
    views = mirror_db.rows("select 'cio.' || viewname from pg_views where schemaname = 'cio' order by 1")
    assert sorted(row[0].strip("`") for row in table("view")) == [name for (name,) in views]


def test_every_column_is_described(mirror_db: Sync) -> None:
    undescribed = mirror_db.rows("""
        select a.attrelid::regclass::text || '.' || a.attname from pg_attribute a
        join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'v') and c.relnamespace = 'cio'::regnamespace
        where a.attnum > 0 and not a.attisdropped and col_description(a.attrelid, a.attnum) is null order by 1""")
    assert undescribed == []
