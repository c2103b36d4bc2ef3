"""jsonb that the host makes itself is what PostgreSQL makes of the same text."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar

RECORDS = 600
CREATED_S = int(time.time()) - 60
PAGE = "messages where created > now() - interval '1 hour'"
"""One request."""
UNLIKE = f"""
    with found as materialized (select id, raw from customerio.{PAGE})
    select expected, raw from (select t::jsonb as expected from unnest(%s::text[]) t) e
    left join found on id = expected ->> 'id'
    where (
        raw::text = expected::text and raw = expected and jsonb_send(raw) = jsonb_send(expected)
        and jsonb_hash_extended(raw, 1) = jsonb_hash_extended(expected, 1)
        and pg_column_size(raw || '{{}}') = pg_column_size(expected || '{{}}')
        and (select bool_and(raw -> key = value) from jsonb_each(expected))
    ) is not true"""
"""The texts of which PostgreSQL makes something else than the host."""
WORDS = (
    "null", "true", "false", "0", "-0", "1", "-7", "10000", "100000000", "999999999999999999", "-999999999999999999",
    "1000000000000000000", "9223372036854775807", "-9223372036854775808", "123456789012345678901234567890", "1.0",
    "0.5", "-1.50", "1e3", "1E-2", "12.340e+5",
)  # fmt: skip
ESCAPES = (
    r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0001", r"\u001F", r"\u0026", r"\u003c", r"\u007f",
    r"\u0080", r"\u00e9", r"\u0100", r"\u20ac", r"\ud83d\ude00", "é", "€", "😀", "\x7f", "a", "Z", " ", "{", "]", ",",
    ":",
)  # fmt: skip
BLANKS = ("", "", "", " ", "\n", "\t", "\r\n  ")


class Texts:
    """JSON as nobody writes it, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def record(self, number: int) -> str:
        """An object that the table `messages` takes."""
        pairs = [f'"id":"j{number}"', f'"created":{CREATED_S}', *self._pairs(1)]
        self._random.shuffle(pairs)
        return self._between("{", pairs, "}")

    def _pairs(self, depth: int) -> list[str]:
        most = self._random.choice((0, 1, 3, 8, 30, 63, 70))
        keys = [self._key() for _ in range(self._random.randint(0, most if depth < 3 else min(most, 3)))]
        if not self._random.randrange(8):
            keys += keys[:1]
        return [f"{key}{self._blank()}:{self._blank()}{self._value(depth + 1)}" for key in keys]

    def _key(self) -> str:
        return (
            self._text()
            if not self._random.randrange(5)
            else f'"k{self._random.randrange(10 ** self._random.randint(1, 9))}"'
        )

    def _value(self, depth: int) -> str:
        kind = self._random.randrange(10)
        if depth < 5 and kind == 0:
            return self._between("{", self._pairs(depth), "}")
        if depth < 5 and kind == 1:
            return self._between("[", [self._value(depth + 1) for _ in range(self._random.choice((0, 1, 2, 9)))], "]")
        if kind == 2:
            deep = self._random.randint(1, 40)
            return "[" * deep + "1" + "]" * deep
        return self._random.choice(WORDS) if kind < 6 else self._text()

    def _text(self) -> str:
        return '"' + "".join(self._random.choices(ESCAPES, k=self._random.choice((0, 1, 2, 5, 40)))) + '"'

    def _between(self, opening: str, items: list[str], closing: str) -> str:
        return opening + ",".join(f"{self._blank()}{item}{self._blank()}" for item in items or [""]) + closing

    def _blank(self) -> str:
        return self._random.choice(BLANKS)


def answer(sim: Simulator, texts: list[str]) -> None:
    sim.faults(
        [
            {
                "match": {"path": "/v1/messages"},
                "action": {"kind": "body", "text": f'{{"messages":[{",".join(texts)}],"next":""}}'},
            }
        ]
    )


@pytest.mark.parametrize("seed", range(5))
def test_any_json(db: Connection, sim: Simulator, seed: int) -> None:
    made = Texts(seed)
    texts = [made.record(number) for number in range(RECORDS)]
    answer(sim, texts)
    assert db.execute(UNLIKE, [texts]).fetchall() == []


@pytest.mark.parametrize("width", [63, 64, 65, 66, 1023, 1024, 1025])
def test_wide_and_long(db: Connection, sim: Simulator, width: int) -> None:
    """Around the sizes from which on PostgreSQL reads them."""
    keys: dict[str, Any] = {f"{i * 7919 % 1000}": i for i in range(width - 2)}
    record = {"id": "j", "created": CREATED_S, **(keys if width < 1000 else {"list": list(range(width))})}
    texts = [json.dumps(record)]
    answer(sim, texts)
    assert db.execute(UNLIKE, [texts]).fetchall() == []


@pytest.mark.parametrize("depth", [14, 15, 16, 17, 300])
def test_deep(db: Connection, sim: Simulator, depth: int) -> None:
    texts = [f'{{"id":"j","created":{CREATED_S},"deep":' + '{"a":[' * (depth // 2) + "]}" * (depth // 2) + "}"]
    answer(sim, texts)
    assert db.execute(UNLIKE, [texts]).fetchall() == []


def test_the_last_of_equal_keys_counts(db: Connection, sim: Simulator) -> None:
    answer(sim, [f'{{"id":"j","created":{CREATED_S},"a":1,"bb":2,"a":{{"x":[]}},"bb":3}}'])
    assert scalar(db, f"select raw from customerio.{PAGE}") == {
        "id": "j",
        "created": CREATED_S,
        "a": {"x": []},
        "bb": 3,
    }


def test_an_object_of_its_own_column(db: Connection, sim: Simulator) -> None:
    """The same for JSON inside the record: empty, with blanks, null."""
    identifiers = ("{}", "[]", ' { "email" : "a\\"b" , "id" : null } ', "null", '"text"', "17", "[ ]", "{ }", "1.50")
    answer(
        sim,
        [f'{{"id":"j{i}","created":{CREATED_S},"customer_identifiers":{text}}}' for i, text in enumerate(identifiers)],
    )
    found = db.execute(f"select customer_identifiers::text from customerio.{PAGE} order by id").fetchall()
    expected = [None if text == "null" else scalar(db, f"select '{text}'::jsonb::text") for text in identifiers]
    assert [row[0] for row in found] == expected
