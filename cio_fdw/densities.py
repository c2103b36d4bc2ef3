"""How densely rows lay in time when a scan read them: the next one is divided by that before its first page has come.

    densities = Densities(state_directory(settings.state_dir), "16384/16401 https://api.customer.io 0f3a…")
    densities.learn("/v1/messages?campaign_id=7", histogram, kept=(1751759999, 1767312000))
    densities.of(["/v1/messages?campaign_id=7"])  -> {"/v1/messages?campaign_id=7": histogram}     # in rows

What is learned replaces what was known of the same seconds. These are hints (`recordfile`): they decide which requests
bring the rows, never which rows come.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Optional

from cio_fdw.histogram import MAX_BINS, Histogram
from cio_fdw.recordfile import RecordFile, name_of
from cio_fdw.state import StateDirectory

FILE_NAME = "densities"
RECORDS = 128
MAX_BOUND_S, MAX_COUNT = 2**40, 1e12
"""Beyond these a record was not written by us: no arithmetic may fail for it."""

_BODY = struct.Struct(f"<H{MAX_BINS + 1}q{MAX_BINS}f")


class Densities:
    """Those of one foreign server and key, which `owner` names."""

    def __init__(self, directory: Optional[StateDirectory], owner: str) -> None:
        self._file = RecordFile(directory, FILE_NAME, RECORDS, _BODY.size)
        self._owner = owner

    def of(self, lists: Iterable[str]) -> dict[str, Histogram]:
        """Of those of the lists of which something is known; a list is named by its request without a range."""
        keys = {name_of(self._owner, list_): list_ for list_ in lists}
        found = {keys[key]: _unpacked(body) for key, body in self._file.find(keys).items()}
        return {list_: histogram for list_, histogram in found.items() if histogram}

    def learn(self, list_: str, seen: Histogram, *, kept: tuple[int, int]) -> None:
        """Keeps what was seen. What lies before or after the range `kept` is forgotten."""

        def change(before: Optional[bytes]) -> Optional[bytes]:
            known = _unpacked(before) if before else None
            known = known.clipped(*kept) if known else None
            found = (known.updated(seen) if known else seen).clipped(*kept)
            return _packed(found) if found else None

        self._file.update(name_of(self._owner, list_), change)


def _packed(histogram: Histogram) -> bytes:
    bins = len(histogram.counts)
    spare = MAX_BINS - bins
    return _BODY.pack(bins, *histogram.bounds, *[0] * spare, *histogram.counts, *[0.0] * spare)


def _unpacked(body: bytes) -> Optional[Histogram]:
    bins, *numbers = _BODY.unpack(body)
    bounds, counts = numbers[: MAX_BINS + 1][: bins + 1], numbers[MAX_BINS + 1 :][:bins]
    if not all(abs(bound) < MAX_BOUND_S for bound in bounds) or not all(0 <= count < MAX_COUNT for count in counts):
        return None
    try:
        return Histogram(bounds, counts)
    except ValueError:  # of another version, or of nobody
        return None
