"""Rows in the form that Multicorn hands to PostgreSQL's input functions."""

from __future__ import annotations

import codecs
from datetime import datetime, timezone
from typing import Optional

import pytest

from cio_fdw.endpoint import Column
from cio_fdw.errors import RecordError
from cio_fdw.multicorn.datums import array_text, converter, moment_text

COLUMNS = [
    Column("id", "text", "…"),
    Column("created", "timestamptz", "…"),
    Column("tags", "text[]", "…"),
    Column("raw", "jsonb", "…"),
    Column("n", "bigint", "…"),
]


def test_a_row_keeps_its_order() -> None:
    read = converter(COLUMNS, "UTF8")
    assert read(("a", 1_791_158_400_000_000, ["x"], b'{"a":"\xc3\xa9"}', 7)) == [
        "a", "2026-10-05T00:00:00+00", '{"x"}', b'{"a":"\xc3\xa9"}', 7,
    ]  # fmt: skip
    assert read((None,) * 5) == [None] * 5


@pytest.mark.parametrize(
    ("encoding", "e_acute"), [("LATIN1", b"\xe9"), ("WIN1252", b"\xe9"), ("SQL_ASCII", b"\xc3\xa9"), ("KOI8U", None)]
)
def test_other_encodings(encoding: str, e_acute: Optional[bytes]) -> None:
    read = converter(COLUMNS, encoding)
    row = ("é", 0, ["é"], b'"\xc3\xa9"', 7)
    if e_acute is None:
        with pytest.raises(RecordError, match=r"column id: .* encoding KOI8U lacks"):
            read(row)
        return
    assert read(row) == [e_acute, "1970-01-01T00:00:00+00", b'{"' + e_acute + b'"}', b'"' + e_acute + b'"', 7]


def test_python_knows_the_encodings_of_postgresql() -> None:
    assert "é".encode("WIN1252") == b"\xe9"
    assert codecs.lookup("KOI8R").name == "koi8-r"
    with pytest.raises(LookupError):
        codecs.lookup("no_such_encoding")


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
