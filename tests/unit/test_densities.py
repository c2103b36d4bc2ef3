"""What scans showed is kept per list and owner; hints, never an error."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cio_fdw import densities as module
from cio_fdw.densities import Densities
from cio_fdw.histogram import MAX_BINS, Histogram
from cio_fdw.state import StateDirectory

LIST, OTHER = "/v1/messages", "/v1/messages?campaign_id=7"
ODD = (math.nan, math.inf, -math.inf, -1.0, 3e38)
ALL = (-(10**9), 2 * 10**9)


@pytest.fixture
def place(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def told(densities: Densities, list_: str = LIST) -> tuple[tuple[int, ...], tuple[float, ...]]:
    found = densities.of([list_])[list_]
    return found.bounds, found.counts


def test_what_was_seen(place: StateDirectory) -> None:
    densities = Densities(place, "1/2 customerio key")
    assert densities.of([LIST]) == {}
    densities.learn(LIST, Histogram([1_767_225_600, 1_767_312_000], [522.5]), kept=ALL)
    densities.learn(OTHER, Histogram(range(MAX_BINS + 1), [0.25] * MAX_BINS), kept=ALL)
    again = Densities(place, "1/2 customerio key")
    assert told(again) == ((1_767_225_600, 1_767_312_000), (522.5,))
    assert told(again, OTHER) == (tuple(range(MAX_BINS + 1)), (0.25,) * MAX_BINS)
    assert set(again.of([LIST, OTHER, "/v1/other"])) == {LIST, OTHER}
    assert Densities(place, "1/2 customerio another").of([LIST, OTHER]) == {}


def test_what_is_seen_later_counts(place: StateDirectory) -> None:
    densities = Densities(place, "")
    densities.learn(LIST, Histogram([0, 1000], [10]), kept=ALL)
    densities.learn(LIST, Histogram([500, 1500], [40]), kept=(300, 2000))
    assert told(densities) == ((300, 500, 1500), (2, 40)), "what is kept no longer is forgotten"


def test_a_torn_record_is_none(place: StateDirectory) -> None:
    densities = Densities(place, "")
    densities.learn(LIST, Histogram([0, 1000], [10]), kept=ALL)
    file = place.path / module.FILE_NAME
    data = bytearray(file.read_bytes())
    data[next(i for i, byte in enumerate(data) if byte) + 20] ^= 1
    file.write_bytes(bytes(data))
    assert densities.of([LIST]) == {}
    densities.learn(LIST, Histogram([5, 6], [1]), kept=ALL)
    assert told(densities) == ((5, 6), (1,))


def test_a_record_that_makes_no_sense_is_none(place: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    densities = Densities(place, "")
    body = module._packed(Histogram([0, 1000], [10]))
    bounds, counts = module.MAX_BINS + 1, module.MAX_BINS
    for wrong in (
        b"\0\0" + body[2:],
        b"\xff\xff" + body[2:],
        *(module._BODY.pack(1, 0, 1000, *[0] * (bounds - 2), odd, *[0.0] * (counts - 1)) for odd in ODD),
        module._BODY.pack(1, 0, 2**62, *[0] * (bounds - 2), *[1.0] * counts),
    ):
        monkeypatch.setattr(module, "_packed", lambda _histogram, wrong=wrong: wrong)
        densities.learn(LIST, Histogram([0, 1000], [10]), kept=ALL)
        assert densities.of([LIST]) == {}


def test_without_a_place_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (None, StateDirectory(tmp_path / "file")):
        densities = Densities(directory, "")
        densities.learn(LIST, Histogram([0, 1000], [10]), kept=ALL)
        assert densities.of([LIST]) == {}
