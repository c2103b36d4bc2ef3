"""Keys of rows that came are kept packed, and given back as they were."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cio_fdw.came import Came

values = st.text(max_size=30) | st.integers(-(2**63), 2**64 - 1)
pages = st.lists(st.lists(st.tuples(st.tuples(values, values), st.integers(-(2**40), 2**40)), max_size=20), max_size=5)


@given(pages, st.integers(-(2**40), 2**40), st.integers(0, 2**41))
def test_as_they_came(pages: list[list[tuple[Any, int]]], low_s: int, length_s: int) -> None:
    came = Came()
    for page in pages:
        came.add([key for key, _ in page], [second for _, second in page])
    rows = [row for page in pages for row in page]
    assert list(came.keys()) == [key for key, _ in rows]
    within = came.within(low_s, low_s + length_s)
    assert list(within.keys()) == [key for key, second in rows if low_s <= second <= low_s + length_s]
    came.clear()
    assert list(came.keys()) == []


def test_a_row_takes_few_bytes() -> None:
    tracemalloc.start()
    try:
        came = Came()
        for page in range(16):
            keys = [(f"dgOu3wIDAL5kvF5p{page:02}{i:04}",) for i in range(1000)]
            came.add(keys, [1767312000 - i for i in range(1000)])
        del keys
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used_bytes < 50 * 16 * 1000
