"""Quals: values, and conditions that no row can meet."""

from __future__ import annotations

import math

import pytest

from cio_fdw.quals import OPS, UNKNOWN, Qual


@pytest.mark.parametrize("op", ["<>", "~~", "IN", ""])
def test_unknown_operators_are_refused(op: str) -> None:
    with pytest.raises(ValueError, match=r"^no such operator: "):
        Qual("id", op, 1)


@pytest.mark.parametrize("op", OPS)
def test_known_operators_are_taken(op: str) -> None:
    assert Qual("id", op, (1,) if op == "in" else 1).op == op


@pytest.mark.parametrize(
    ("op", "value", "never"),
    [
        ("=", None, True),
        ("<", None, True),
        (">=", None, True),
        ("in", None, True),
        ("in", (), True),
        ("in", (None, None), True),
        ("is null", None, False),
        ("is not null", None, False),
        ("=", 0, False),
        ("=", False, False),
        ("=", "", False),
        ("=", UNKNOWN, False),
        ("in", UNKNOWN, False),
        ("in", (None, 1), False),
        ("in", (UNKNOWN, None), False),
        ("<", -math.inf, False),
    ],
)
def test_never(op: str, value: object, never: bool) -> None:
    assert Qual("c", op, value).never is never


@pytest.mark.parametrize(
    ("op", "value", "values"),
    [
        ("=", 7, (7,)),
        ("=", None, ()),
        ("=", UNKNOWN, (UNKNOWN,)),
        ("in", UNKNOWN, (UNKNOWN,)),
        ("in", (8, 7, None, 8), (8, 7)),
        ("in", (7, UNKNOWN), (7, UNKNOWN)),
        ("in", ("b", "a", "b"), ("b", "a")),
        (">", "text", ("text",)),
    ],
)
def test_values_lose_nulls_and_duplicates_and_keep_their_order(op: str, value: object, values: tuple) -> None:
    assert Qual("c", op, value).values == values


def test_unknown_shows_as_a_question_mark() -> None:
    assert str(UNKNOWN) == "?"
