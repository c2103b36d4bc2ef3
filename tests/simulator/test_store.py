"""Tables against a plain list: the same rows whatever is added, replaced and dropped in between."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.simulator.store import Table

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "drop", "read")),
        st.integers(0, 8),
        st.integers(0, 5),
        st.sampled_from(("a", "b", "c")),
        st.frozensets(st.sampled_from(("x", "y"))),
    ),
    max_size=40,
)
WANTED = ((), (("kind", "a"),), (("tags", "x"),), (("kind", "b"), ("tags", "y")), (("kind", "z"),))


def table_of(order: str) -> Table:
    fields = {"kind": lambda row: row["kind"], "tags": lambda row: frozenset(row["tags"])}
    return Table(lambda row, _parent: (row["id"],), fields, lambda row: row["at"], order)


def expected(rows: dict, wanted, since_s: int, until_s: int) -> set:
    def fits(row) -> bool:
        return all(value in row[field] if field == "tags" else row[field] == value for field, value in wanted)

    return {row["id"] for row in rows.values() if fits(row) and since_s <= row["at"] <= until_s}


@settings(max_examples=150, deadline=None)
@given(CHANGES, st.sampled_from(("newest", "oldest", "shuffled")), st.integers(0, 5), st.integers(0, 5))
def test_a_table_shows_what_a_plain_list_would(changes, order, since_s, until_s):
    table, rows = table_of(order), {}
    table.load([])
    table.warm((("kind", "a"),))
    for what, key, at_s, kind, tags in changes:
        if what == "put":
            rows[key] = {"id": key, "at": at_s, "kind": kind, "tags": sorted(tags)}
            table.put(rows[key])
        elif what == "drop":
            assert table.drop((key,)) == (rows.pop(key, None) is not None)
        for wanted in WANTED:
            selection = table.select(wanted, since_s, until_s)
            pages = [selection.rows(offset, 2) for offset in range(0, selection.total, 2)]
            found = [orjson.loads(body) for page in pages for body in page]
            assert len(found) == selection.total
            assert {row["id"] for row in found} == expected(rows, wanted, since_s, until_s)
            times_s = [row["at"] for row in found]
            if order != "shuffled":
                assert times_s == sorted(times_s, reverse=order == "newest")
    assert len(table) == len(rows)


def test_rows_past_the_end_are_none():
    table = table_of("newest")
    table.load(({"id": n, "at": n, "kind": "a", "tags": []}, None) for n in range(3))
    assert table.select(()).rows(3, 10) == []
    assert table.select(()).rows(99, 10) == []


def test_warming_changes_no_answer():
    rows = [{"id": n, "at": n % 7, "kind": "abc"[n % 3], "tags": ["x", "y"][: n % 3]} for n in range(60)]
    cold, warm = table_of("newest"), table_of("newest")
    for table in (cold, warm):
        table.load((row, None) for row in rows)
    warm.warm((("kind", "a"),))
    for wanted in (*WANTED, (("tags", "x"), ("kind", "a")), (("kind", "a"), ("tags", "x"))):
        assert warm.select(wanted).rows(0, 99) == cold.select(wanted).rows(0, 99)
        assert warm.select(wanted).total == len(expected(dict(enumerate(rows)), wanted, 0, 9))
