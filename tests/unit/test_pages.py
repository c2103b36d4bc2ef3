"""Bodies to pages: ends of paging, empty lists, unusable bodies, characters that PostgreSQL cannot hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Paging
from cio_fdw.errors import BodyError, PagingError
from cio_fdw.pages import clean, parse

MESSAGES = ENDPOINTS["messages"]
SECRET = "ana@example.org"
HINT = "Something between the server and the API may have answered instead; check base_url."


def page(body: bytes) -> tuple[list[bytes], Optional[str], int]:
    found = parse(MESSAGES, body)
    return [bytes(record) for record in found.records], found.next, found.dropped_nuls


def test_records_stay_byte_for_byte() -> None:
    body = b'{"messages": [ {"id" : "a",  "n": 1.50} , {"id":"\\u00e9"}], "next": "djIw", "new": {"x": [1]}}'
    assert page(body) == ([b'{"id" : "a",  "n": 1.50}', b'{"id":"\\u00e9"}'], "djIw", 0)


@pytest.mark.parametrize("end", [b'"next": ""', b'"next": null', b'"other": "x"', b'"next": 0'])
def test_the_ends_of_paging(end: bytes) -> None:
    assert page(b'{"messages": [{}], ' + end + b"}") == ([b"{}"], None, 0)


@pytest.mark.parametrize(
    ("cursor", "text"),
    [
        (b'"MDox"', "MDox"),
        (b"17", "17"),
        (b"123456789012345678901", "123456789012345678901"),
        (b'"0"', "0"),
        (b'" "', " "),
        (b'"a\\u002bb"', "a+b"),
    ],
)
def test_cursors_are_text(cursor: bytes, text: str) -> None:
    assert page(b'{"messages": [], "next": ' + cursor + b"}")[1] == text


@pytest.mark.parametrize(
    ("cursor", "kind"), [(b"{}", "object"), (b"[]", "array"), (b"true", "bool"), (b"1.5", "float")]
)
def test_other_cursors_are_refused(cursor: bytes, kind: str) -> None:
    with pytest.raises(BodyError) as caught:
        page(b'{"messages": [], "next": ' + cursor + b"}")
    assert caught.value.detail == f"Expected `int | str | null`, got `{kind}` - at `$.next`"


def test_a_cursor_means_nothing_to_a_list_without_pages() -> None:
    found = parse(ENDPOINTS["campaigns"], b'{"campaigns": [], "next": "x"}')
    assert (found.records, found.next) == ([], None)


def test_the_key_of_the_cursor_is_the_catalogs() -> None:
    endpoint = replace(MESSAGES, paging=Paging(next_key="after", page_size=1))
    assert parse(endpoint, b'{"messages": [], "next": "x", "after": "y"}').next == "y"


@pytest.mark.parametrize("rows", [b"[]", b"null", b" [ ] "])
def test_empty_lists(rows: bytes) -> None:
    assert page(b'{"messages":' + rows + b"}") == ([], None, 0)


@pytest.mark.parametrize("body", [b"{}", b'{"errors": [{"detail": "ana@example.org"}]}', b'{"Messages": []}'])
def test_a_missing_rows_key_is_an_error(body: bytes) -> None:
    with pytest.raises(PagingError) as caught:
        page(body)
    assert caught.value.message == 'the answer for messages has no key "messages"'
    assert caught.value.hint == "The API may have changed, or base_url is not the App API."
    assert caught.value.detail is None


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "truncated"),
        (b"<html>ana@example.org</html>", "byte 0"),
        (b"404 page not found", "got `int`"),
        (b'{"messages": [', "truncated"),
        (b'{"messages": []} x', "byte 18"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"messages": [{"subject": "a\x00b"}]}', "byte 28"),
        (b'{"messages": [{"n": 01}]}', "byte 21"),
        (b'{"messages": [NaN]}', "byte 14"),
        (b'{"messages": ["ana@example.org\xff"]}', "byte 0xff in position 30"),
        (b'{"messages": ["\xed\xa0\x80"]}', "byte 0xed in position 15"),
        (b'{"messages": ["caf\xc3', "byte 0xc3 in position 18"),
        (b'\xef\xbb\xbf{"messages": []}', "byte 0"),
        (b'{"messages": {"ana@example.org": 1}}', "Expected `array | null`, got `object` - at `$.messages`"),
        (b'{"messages": "ana@example.org"}', "Expected `array | null`, got `str` - at `$.messages`"),
        (b'{"messages":' + b"[" * 50_000, "recursion depth"),
        (b'{"messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "recursion depth"),
    ],
)
def test_a_body_that_is_not_json_is_retried_and_not_repeated(body: bytes, detail: str) -> None:
    with pytest.raises(BodyError) as caught:
        page(body)
    error = caught.value
    assert error.message == "the answer for messages is not the JSON it should be"
    assert error.hint == HINT
    assert detail in (error.detail or "")
    assert error.retryable
    assert SECRET not in f"{error}{error.detail}{error.__cause__}"


@pytest.mark.parametrize(
    ("body", "cleaned", "nuls"),
    [
        (rb'"a"', rb'"a"', 0),
        (rb'"a\u0000b\u0000"', rb'"ab"', 2),
        (rb'"a\\u0000"', rb'"a\\u0000"', 0),
        (rb'"a\\\u0000"', rb'"a\\"', 1),
        (rb'"\\\\u0000\u0000"', rb'"\\\\u0000"', 1),
        (rb'"\"\u0000\""', rb'"\"\""', 1),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"', 0),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"', 0),
        (rb'"\ud83d"', rb'"\ufffd"', 0),
        (rb'"\ude00"', rb'"\ufffd"', 0),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"', 0),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"', 0),
        (rb'"\ud83d\u0000\ude00"', rb'"\ufffd\ufffd"', 1),
        (rb'"\ud83dx\ude00"', rb'"\ufffdx\ufffd"', 0),
        (rb'"\\ud83d\\ude00"', rb'"\\ud83d\\ude00"', 0),
        (rb'"\ud83d\\ude00"', rb'"\ufffd\\ude00"', 0),
        (rb'"\ud7ff\ue000"', rb'"\ud7ff\ue000"', 0),
        (rb'"\u00000"', rb'"0"', 1),
    ],
)
def test_clean(body: bytes, cleaned: bytes, nuls: int) -> None:
    assert clean(body) == (cleaned, nuls)


@pytest.mark.parametrize("escapes", [0, 1, 499, 500, 501, 2000])
@pytest.mark.parametrize("escape", [b"\\n", b"\\\\", b"\\u0026"])
def test_what_is_dropped_is_found_after_any_number_of_escapes(escapes: int, escape: bytes) -> None:
    before = b'{"a": "' + escape * escapes
    assert clean(before + b'\\u0000"}') == (before + b'"}', 1)
    assert clean(before + b'\\ud800"}') == (before + b'\\ufffd"}', 0)
    assert clean(before + b'\\\\u0000"}') == (before + b'\\\\u0000"}', 0)
    assert clean(before + b'"}') == (before + b'"}', 0)


@pytest.mark.parametrize("escape", [rb"\ud8", rb"\ud8\"}", rb"\ud8zz", rb"\u000", rb"\ud83d\u\"", rb"\ud83d\ude0"])
def test_a_broken_escape_stays_broken(escape: bytes) -> None:
    assert clean(b'"' + escape + b'"')[0].startswith((b'"' + escape[:5], b'"\\ufffd'))
    with pytest.raises(BodyError):
        [json.loads(record) for record in page(b'{"messages": [], "next": "' + escape + b'"}')[0]]


def test_the_one_row_of_a_body() -> None:
    def one(body: bytes) -> list[bytes]:
        found = parse(MESSAGES, body, row_key="message")
        assert found.next is None
        return [bytes(record) for record in found.records]

    assert one(b'{"message": {"id" : "a"}, "next": "x", "messages": []}') == [b'{"id" : "a"}']
    assert one(b'{"message": null}') == []
    with pytest.raises(PagingError) as caught:
        one(b'{"messages": []}')
    assert caught.value.message == 'the answer for messages has no key "message"'


def without_what_postgres_cannot_hold(value: Any) -> Any:
    """The plain way: on decoded text, where json.loads has paired the surrogates."""
    if isinstance(value, str):
        return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in value if c != "\0")
    if isinstance(value, list):
        return [without_what_postgres_cannot_hold(item) for item in value]
    return value


units = st.sampled_from(
    (
        "\\u0000",
        "\\ud83d",
        "\\ude00",
        "\\uDBFF",
        "\\uDC00",
        "\\\\",
        '\\"',
        "\\n",
        "\\u0041",
        "u0000",
        "ud83d",
        "x",
        "é",
        "😀",
    )
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(units, max_size=8).map("".join), max_size=4))
@example(["\\\\\\u0000"])
@example(["\\ud83d\\ud83d\\ude00\\ude00"])
def test_cleaning_is_what_it_would_be_on_decoded_text(texts: list[str]) -> None:
    body = "[" + ",".join(f'"{text}"' for text in texts) + "]"
    cleaned, nuls = clean(body.encode())
    assert json.loads(cleaned) == without_what_postgres_cannot_hold(json.loads(body))
    assert nuls == json.loads(body, strict=False).__repr__().count("\\x00")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=30))
def test_any_text_written_as_escapes_or_not(text: str) -> None:
    body = json.dumps([text]).encode()
    assert json.loads(clean(body)[0]) == without_what_postgres_cannot_hold(json.loads(body))


def test_dropped_nuls_are_counted_over_the_page() -> None:
    records, _, dropped = page(b'{"messages": [{"a": "\\u0000x"}, {"b\\u0000": "\\\\u0000"}]}')
    assert (records, dropped) == ([b'{"a": "x"}', b'{"b": "\\\\u0000"}'], 2)
