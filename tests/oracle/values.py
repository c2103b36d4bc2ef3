"""Literals of the types that are no times: values of the data, near-misses, odd ones.

bigint_value(writer, (7, 8)) -> "8::smallint"        text_value(writer, ("it's",)) -> "'it''s '"
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle.writer import Writer, quoted

BIG = (2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**31, 9007199254740995)
ODD_TEXTS = ("", " ", "'", '"', "\\", "%", "_", "null", "é", "e\u0301", "日本", "😀", "?", "a/b", "..", "&x=1", "x\ny")


def bigint_value(writer: Writer, known: Sequence[int], typed: bool) -> str:
    return writer.value("bigint", lambda: _bigint(writer, known, typed))


def _bigint(writer: Writer, known: Sequence[int], typed: bool) -> str:
    dice = writer.dice
    number = dice.pick(known) if known and not dice.one_in(4) else dice.pick((1, 2, 3, 7, 0, -1, *BIG))
    number += 0 if abs(number) >= 2**62 or not dice.one_in(8) else dice.pick((1, -1))
    ways = [str(number), str(number), f"{number}::bigint", f"{number}.0", f"{number}::numeric"]
    if 0 < number < 2**15:
        ways.append(f"{number}::smallint")
    if not typed:
        ways.append(f"'{number}'")
    if not writer.plain:
        ways += [f"(select {number}::bigint)", f"(select min(n) from bits where n >= {number})"]
    if dice.one_in(12):
        return dice.pick(("null::bigint", f"{number}.5", "1e2", "'NaN'::float8"))
    # A minus needs its parentheses before a cast: -9223372036854775808::bigint is out of range.
    way = dice.pick(ways)
    return way.replace(str(number), f"({number})", 1) if number < 0 and "::" in way else way


def text_value(writer: Writer, known: Sequence[str], typed: bool) -> str:
    return writer.value("text", lambda: _text(writer, known, typed))


def _text(writer: Writer, known: Sequence[str], typed: bool) -> str:
    dice = writer.dice
    text = dice.pick(known) if known and not dice.one_in(4) else dice.pick(ODD_TEXTS)
    if dice.one_in(6):
        text = dice.pick((text + " ", text[:-1], text.upper(), text + "'", text + "é", " " + text))
    literal = quoted(text)
    if dice.one_in(15):
        return "null::text"
    ways = [f"{literal}::text"] if typed else [literal, literal, f"{literal}::text", f"{literal}::varchar"]
    if not typed:
        ways += [f"{literal}::char(40)", f"{literal}::name" if len(text.encode()) < 60 else literal]
    if not writer.plain:
        ways += [f"(select {literal}::text)", "(select max(t) from bits)"]
    return dice.pick(ways)


def pattern(writer: Writer, known: Sequence[str]) -> str:
    """A pattern for LIKE, made of a value of the data."""
    dice = writer.dice
    text = dice.pick(known) if known else "a"
    text = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if text.endswith("\\"):
        text += "\\" * (len(text) - len(text.rstrip("\\"))) + "%"
    half = text[: max(len(text) // 2, 1)]
    if (len(half) - len(half.rstrip("\\"))) % 2:
        half = half[:-1]
    return quoted(dice.pick((f"{half}%", text, f"%{half}%", f"_{text[1:]}" if "\\" not in text else "_%", "%", "")))
