"""Keys of rows that came and may come again, packed: some 35 bytes a row, where a set of them takes 200.

came = Came()
came.add([("m1",), ("m2",)], [1767312000, 1767311999])
came.within(1767312000, 1767312000).keys()              -> [("m1",)]
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

Key = tuple[Any, ...]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


class Came:
    """The keys themselves, not hashes of them: none can be taken for another. Their values are texts and integers."""

    def __init__(self) -> None:
        self._pages: list[tuple[bytes, array[int]]] = []
        """The keys of a page, and the unix second of each row."""

    def add(self, keys: Sequence[Key], seconds: Sequence[int]) -> None:
        """Rows came, at these unix seconds."""
        if keys:
            self._pages.append((_encoder.encode(keys), array("q", seconds)))

    def clear(self) -> None:
        self._pages.clear()

    def keys(self) -> Iterator[Key]:
        """In the order in which they came."""
        for packed, _ in self._pages:
            yield from _decoder.decode(packed)

    def within(self, low_s: int, high_s: int) -> Came:
        """The rows of these unix seconds, both included."""
        found = Came()
        for packed, seconds in self._pages:
            if any(low_s <= second <= high_s for second in seconds):
                rows = [(k, s) for k, s in zip(_decoder.decode(packed), seconds) if low_s <= s <= high_s]
                found.add([key for key, _ in rows], [second for _, second in rows])
        return found
