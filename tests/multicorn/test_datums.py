"""Rows in the form that Multicorn hands to PostgreSQL's input functions."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from cio_fdw.endpoint import Column
from cio_fdw.multicorn.datums import array_text, converter, moment_text

COLUMNS = [
    Column("id", "text", "…"),
    Column("created", "timestamptz", "…"),
    Column("tags", "text[]", "…"),
    Column("raw", "jsonb", "…"),
    Column("n", "bigint", "…"),
]


def test_a_row_keeps_its_order() -> None:
    read = converter(COLUMNS, utf8=True)
    assert read(("a", 1_791_158_400_000_000, ["x"], b'{"a":"\xc3\xa9"}', 7)) == [
        "a", "2026-10-05T00:00:00+00", '{"x"}', b'{"a":"\xc3\xa9"}', 7,
    ]  # fmt: skip
    assert read((None,) * 5) == [None] * 5


def test_json_is_text_where_the_database_is_not_in_utf8() -> None:
    assert converter(COLUMNS, utf8=False)((None, None, None, b'{"a":"\xc3\xa9"}', None))[3] == '{"a":"é"}'


@pytest.mark.parametrize("moment_us", [0, 1, -1, 59_999_999, 86_399_000_000, -86_400_000_001, 1_791_158_461_000_000])
def test_moments(moment_us: int) -> None:
    shown = datetime.fromisoformat(f"{moment_text(moment_us)}:00")
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    since = shown - epoch
    assert (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds == moment_us


def test_moments_beyond_the_calendar_of_python() -> None:
    assert moment_text(-62_135_596_800_000_000) == "0001-01-01T00:00:00+00"
    assert moment_text(-62_135_596_801_000_000) == "J1721425 23:59:59+00"


@pytest.mark.parametrize(
    ("items", "literal"),
    [
        ([], "{}"),
        (["a", None, ""], '{"a",NULL,""}'),
        (['"', "\\", "{,}", "NULL", " "], '{"\\"","\\\\","{,}","NULL"," "}'),
    ],
)
def test_arrays(items: list[str], literal: str) -> None:
    assert array_text(items) == literal
