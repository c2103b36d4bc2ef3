"""One JSON value to one column's value: what is taken, and what is refused without being repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.convert import CONVERTERS, MAX_EPOCH_S, US, MisfitError
from cio_fdw.endpoint import TYPES

SECRET = "ana@example.org"
NUMBER, TRUTH = "a whole number belongs", "true or false belongs"


@pytest.mark.parametrize(
    ("type_", "value", "converted"),
    [
        ("bigint", 7, 7),
        ("bigint", "7", 7),
        ("bigint", " -7 ", -7),
        ("bigint", "+7", 7),
        ("bigint", 7.0, 7),
        ("bigint", -0.0, 0),
        ("bigint", "", None),
        ("bigint", "  ", None),
        ("bigint", 2**53 + 1, 2**53 + 1),
        ("bigint", 2**63 - 1, 2**63 - 1),
        ("bigint", -(2**63), -(2**63)),
        ("bigint", str(2**63 - 1), 2**63 - 1),
        ("timestamptz", 1767225600, 1767225600 * US),
        ("timestamptz", "1767225600", 1767225600 * US),
        ("timestamptz", 1767225600.5, 1767225600 * US + 500_000),
        ("timestamptz", 0, 0),
        ("timestamptz", -1, -US),
        ("timestamptz", "", None),
        ("timestamptz", MAX_EPOCH_S, MAX_EPOCH_S * US),
        ("float8", 7, 7.0),
        ("float8", 1.5, 1.5),
        ("float8", "1.5", 1.5),
        ("float8", "", None),
        ("bool", True, True),
        ("bool", "TRUE", True),
        ("bool", "0", False),
        ("bool", 1, True),
        ("bool", 0, False),
        ("bool", "", None),
        ("text", "a", "a"),
        ("text", "", ""),
        ("text", 7, "7"),
        ("text", 12345678901234567890123, "12345678901234567890123"),
        ("text", True, "true"),
        ("text", 1.5, "1.5"),
        ("text", {"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ("text[]", [], []),
        ("text[]", "nil", ["nil"]),
        ("text[]", ["a", 7, None, True], ["a", "7", None, "true"]),
    ],
)
def test_taken(type_: str, value: Any, converted: Any) -> None:
    result = CONVERTERS[type_](value)
    assert (result, type(result)) == (converted, type(converted))


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("bigint", SECRET, f"text where {NUMBER}"),
        ("bigint", "7.5", f"text where {NUMBER}"),
        ("bigint", "7_000", f"text where {NUMBER}"),
        ("bigint", "٣", f"text where {NUMBER}"),
        ("bigint", "9" * 5000, f"text where {NUMBER}"),
        ("bigint", 7.5, f"a fraction where {NUMBER}"),
        ("bigint", True, "true or false where a number belongs"),
        ("bigint", [7], f"a list where {NUMBER}"),
        ("bigint", {"id": SECRET}, f"an object where {NUMBER}"),
        ("bigint", 2**63, "a number beyond bigint"),
        ("bigint", -(2**63) - 1, "a number beyond bigint"),
        ("bigint", str(2**63), "a number beyond bigint"),
        ("bigint", 2.0**53 + 2, "a number with a fraction, too large to be exact"),
        ("timestamptz", "2026-01-01", f"text where {NUMBER}"),
        ("timestamptz", True, "true or false where a number belongs"),
        ("timestamptz", MAX_EPOCH_S + 1, "a time beyond the year 5138"),
        ("timestamptz", -MAX_EPOCH_S - 1, "a time beyond the year 5138"),
        ("timestamptz", 1767225600000000, "a time beyond the year 5138"),
        ("timestamptz", 1e300, "a number with a fraction, too large to be exact"),
        ("float8", SECRET, "text that is no float8"),
        ("float8", 10**400, "a number that is no float8"),
        ("float8", [1], "a list where a number belongs"),
        ("float8", True, "true or false where a number belongs"),
        ("bool", SECRET, f"text where {TRUTH}"),
        ("bool", 2, f"a number where {TRUTH}"),
        ("bool", 1.0, f"a fraction where {TRUTH}"),
        ("bool", [], f"a list where {TRUTH}"),
        ("text[]", 7, "a number where a list belongs"),
        ("text[]", {"a": SECRET}, "an object where a list belongs"),
    ],
)
def test_refused(type_: str, value: Any, reason: str) -> None:
    with pytest.raises(MisfitError) as caught:
        CONVERTERS[type_](value)
    assert str(caught.value) == reason


def test_every_type_but_jsonb_has_a_converter() -> None:
    assert set(CONVERTERS) == set(TYPES) - {"jsonb"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
).filter(lambda value: value is not None)
PYTHON_TYPES = {
    "bigint": int, "timestamptz": int, "float8": float, "bool": bool, "text": str, "text[]": list
}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(CONVERTERS)), values)
def test_any_json_value_becomes_the_right_type_or_a_misfit(type_: str, value: Any) -> None:
    try:
        result = CONVERTERS[type_](value)
    except MisfitError:
        return
    assert result is None or type(result) is PYTHON_TYPES[type_]


@settings(max_examples=100, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_no_integer_loses_a_digit(number: int) -> None:
    assert CONVERTERS["bigint"](json.loads(json.dumps(number))) == CONVERTERS["bigint"](str(number)) == number
