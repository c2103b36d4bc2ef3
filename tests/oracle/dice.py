"""Choices of the statement generator, so that hypothesis can replay and shrink them.

dice.pick(("=", "<>"))    one of them; shrinking goes to the first
dice.one_in(4)            True for a quarter; shrinking goes to False
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Dice:
    """Wraps the `draw` of a composite strategy."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def pick(self, options: Sequence[T]) -> T:
        picked: T = options[self.number(0, len(options) - 1)]
        return picked

    def number(self, low: int, high: int) -> int:
        found: int = self._draw(st.integers(low, high))
        return found

    def one_in(self, count: int) -> bool:
        return self.number(0, count - 1) == count - 1

    def some(self, options: Sequence[T], least: int, most: int) -> list[T]:
        """Between `least` and `most` of them, each at most once, in any order."""
        left = list(options)
        count = min(self.number(least, most), len(left))
        return [left.pop(self.number(0, len(left) - 1)) for _ in range(count)]
