"""A catalog entry that contradicts itself is refused with table and field named."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from cio_fdw.endpoint import CatalogError, Column, Endpoint, Filter, OneRow, Paging, Parent, Window

GOOD = Endpoint(
    name="things",
    doc="Things.",
    path="/v1/things",
    rows_key="things",
    key=("id",),
    columns=(
        Column("id", "bigint", "Id."),
        Column("at", "timestamptz", "When.", zero_is_null=True),
        Column("mail", "text", "Address.", source="who.mail", fallback="mail"),
        Column("who", "jsonb", "Who."),
    ),
    sample={"things": []},
)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"columns": (*GOOD.columns, Column("id", "text", "Again."))}, "column names must be unique and not 'raw'"),
        ({"columns": (*GOOD.columns, Column("raw", "jsonb", "Mine."))}, "column names must be unique and not 'raw'"),
        ({"columns": (*GOOD.columns, Column("n", "uuid", "N."))}, "column n: unknown type 'uuid'"),
        ({"columns": (*GOOD.columns, Column("n", "text", ""))}, "column n: no description"),
        (
            {"columns": (*GOOD.columns, Column("n", "bigint", "N.", zero_is_null=True))},
            "column n: zero_is_null is for timestamptz",
        ),
        (
            {"columns": (*GOOD.columns, Column("n", "jsonb", "N.", fallback="m"))},
            "column n: a jsonb column has no fallback",
        ),
        (
            {"columns": (*GOOD.columns, Column("n", "bigint", "N.", source="who.mail"))},
            "column n: key who.mail is read as another type too",
        ),
        (
            {"columns": (*GOOD.columns, Column("n", "bigint", "N.", fallback="at"))},
            "column n: key at is read as another type too",
        ),
        (
            {"columns": (*GOOD.columns, Column("n", "text", "N.", source="id.n"))},
            "key id is both read and looked into",
        ),
        (
            {"columns": (*GOOD.columns, Column("n", "jsonb", "N.", source="id"))},
            "column n: key id is read as another type too",
        ),
        ({"key": ("id", "no")}, "no column no"),
        ({"filters": (Filter("no", "no"),)}, "no column no"),
        ({"window": Window("no", "a", "b", 1, 1)}, "no column no"),
        ({"path": "/v1/{no}/things", "parent": Parent("others", "id", "no")}, "no column no"),
        ({"path": "/v1/{id}/things"}, "path holes ('id',) are not what parent fills []"),
        ({"parent": Parent("others", "id", "id")}, "path holes () are not what parent fills ['id']"),
        (
            {"path": "/v1/{id}/{at}", "parent": Parent("others", "id", "id")},
            "path holes ('id', 'at') are not what parent fills ['id']",
        ),
        ({"paging": Paging()}, "paging: no page_size"),
        ({"paging": Paging(size_param="limit", page_size=5)}, "paging: max_size is below page_size"),
        ({"one_row": OneRow("/v1/things", "thing")}, "one_row: its path takes the column id, once"),
        ({"one_row": OneRow("/v1/things/{id}", "thing"), "key": ("id", "at")}, "one_row: the key must be id"),
        (
            {"path": "/v1/{id}/x", "parent": Parent("others", "id", "id"), "filters": (Filter("at", "at"),)},
            "parent: its rows are asked for by the parent alone, without window and filters",
        ),
        ({"rows_key": "no"}, "sample: no key no"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CatalogError) as caught:
        replace(GOOD, **changes)
    assert str(caught.value) == f"catalog entry things: {complaint}"


def test_jsonb_may_be_read_besides_its_parts() -> None:
    assert GOOD.column("who") == Column("who", "jsonb", "Who.")


def test_an_entry_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        GOOD.name = "other"  # type: ignore[misc]


def test_raw_is_the_last_column() -> None:
    assert [column.name for column in GOOD.all_columns] == ["id", "at", "mail", "who", "raw"]
    raw = GOOD.column("raw")
    assert raw is not None
    assert raw.type == "jsonb"
    assert GOOD.column("none") is None


def test_key_path() -> None:
    assert Column("mail", "text", ".", source="who.mail").key_path == ("who", "mail")
    assert Column("mail", "text", ".").key_path == ("mail",)


def test_holes() -> None:
    child = replace(GOOD, path="/v1/others/{id}/things", parent=Parent("others", "id", "id"))
    assert child.holes == ("id",)
