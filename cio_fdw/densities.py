"""How densely rows lay in time when a scan read them: the next one is divided by that before its first page has come.

    densities = Densities(state_directory(settings.state_dir), "16384/16401 https://api.customer.io 0f3a…")
    densities.learn("/v1/messages?campaign_id=7", histogram, kept_s=180 * 86400)
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

    def learn(self, list_: str, seen: Histogram, *, kept_s: int) -> None:
        """Keeps what was seen. What is older than the newest by `kept_s` or more is forgotten."""

        def change(before: Optional[bytes]) -> bytes:
            known = _unpacked(before) if before else None
            now = known.updated(seen) if known else seen
            return _packed(now.since(now.end_s - kept_s))

        self._file.update(name_of(self._owner, list_), change)


def _packed(histogram: Histogram) -> bytes:
    bins = len(histogram.counts)
    spare = MAX_BINS - bins
    return _BODY.pack(bins, *histogram.bounds, *[0] * spare, *histogram.counts, *[0.0] * spare)


def _unpacked(body: bytes) -> Optional[Histogram]:
    bins, *numbers = _BODY.unpack(body)
    bounds, counts = numbers[: MAX_BINS + 1], numbers[MAX_BINS + 1 :]
    try:
        return Histogram(bounds[: bins + 1], counts[:bins])
    except ValueError:  # of another version, or of nobody
        return None
