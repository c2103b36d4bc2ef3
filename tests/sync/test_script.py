"""The extension's script: every object is described, every function safe from the caller's search_path."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.sync.helpers import Sync

BY_NAME = r"(select cio\._check_call\('cio\.\w+\([\w,[\]]+\)'\); )?select (\* from )?cio\.\w+\(.*cio\._named\(.*\)"
"""What stands in a function that takes the name of a table and calls the one that takes the table."""
SCRIPTS = Path(__file__).resolve().parents[2] / "sql" / "cio_sync"


def test_everything_is_described(mirror_db: Sync) -> None:
    undescribed = mirror_db.rows("""
        select p.oid::regprocedure::text from pg_proc p
        where pronamespace = 'cio'::regnamespace and obj_description(p.oid, 'pg_proc') is null
        union all
        select c.oid::regclass::text from pg_class c
        where relnamespace = 'cio'::regnamespace and relkind in ('r', 'v')
            and obj_description(c.oid, 'pg_class') is null""")
    assert undescribed == []


def test_functions_pin_their_search_path(mirror_db: Sync) -> None:
    """All but procedures, which commit, and those that ask for names of the caller."""
    unpinned = mirror_db.rows("""
        select proname, prokind::text, prosrc from pg_proc
        where pronamespace = 'cio'::regnamespace
            and not coalesce(proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}'
        order by 1""")
    own = [name for name, kind, body in unpinned if kind == "f" and not re.fullmatch(BY_NAME, body)]
    assert own == ["_named", "mirror"]
    definer = mirror_db.rows("select proname from pg_proc where pronamespace = 'cio'::regnamespace and prosecdef")
    assert definer == [("_forget_dropped",)]


def test_every_function_takes_the_name_of_a_table_too(mirror_db: Sync) -> None:
    """The same arguments, defaults, results and description; all but the type is the same."""
    shapes = """
        select proname, prokind::text, replace(pg_get_function_arguments(oid), 'regclass', 'text') as arguments,
            case when proname <> 'mirror' then pg_get_function_result(oid) end, obj_description(oid, 'pg_proc'),
            provolatile::text, provariadic::regtype::text from pg_proc
        where pronamespace = 'cio'::regnamespace and proname !~ '^_'
            and {} 'regclass'::regtype = any (proargtypes::oid[])
        order by 1"""
    by_table = mirror_db.rows(shapes.format(""))
    assert len(by_table) == 17
    by_name = mirror_db.rows(shapes.format("not"))
    assert [shape for shape in by_name if shape[0] != "refresh_all"] == by_table


def test_procedures_qualify_everything(mirror_db: Sync) -> None:
    bodies = mirror_db.rows("""
        select proname, prosrc from pg_proc where pronamespace = 'cio'::regnamespace and proconfig is null""")
    assert len(bodies) >= 6
    for name, body in bodies:
        code = re.sub(r"--.*|'[^']*'", "", body)
        code = (
            re.sub(r"operator\(pg_catalog\.[^)]+\)", "", code)
            .replace(":=", "")
            .replace("=>", "")
            .replace("select *", "")
        )
        assert not re.search(r"[<>=+*/-]", code), f"{name} has an operator that is not qualified"
        called = set(re.findall(r"(?<![.\w])(\w+)\(", code))
        assert called == set(), f"{name} calls {called} without a schema"


def test_a_second_schema_of_that_name_is_refused(mirror_db: Sync) -> None:
    owner = mirror_db.rows("""
        select extname from pg_extension e join pg_depend d on d.refobjid = e.oid
        where d.classid = 'pg_namespace'::regclass and d.objid = 'cio'::regnamespace""")
    assert owner == [("cio_sync",)]
    mirror_db.db.execute("drop extension cio_sync")
    mirror_db.db.execute("create schema cio")
    with pytest.raises(psycopg.errors.DuplicateSchema):
        mirror_db.db.execute("create extension cio_sync")


def test_drop_and_create_again(mirror_db: Sync) -> None:
    s = mirror_db
    target = s.mirror("campaigns")
    s.refresh(target)
    n = s.value(f"select count(*) from {target}")
    s.db.execute("drop extension cio_sync cascade")
    assert s.value(f"select count(*) from {target}") == n
    s.db.execute("create extension cio_sync")
    s.mirror("campaigns")
    assert s.refresh(target)[3] == "done"


def test_files_are_of_a_readable_size() -> None:
    sizes = {path.name: len(path.read_text().splitlines()) for path in SCRIPTS.glob("*.sql")}
    assert len(sizes) > 10
    assert max(sizes.values()) <= 300
