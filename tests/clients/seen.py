"""What the requests of a client's statement asked for."""

from __future__ import annotations

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import asked, epoch, params


def times(target: str) -> tuple[int, int]:
    """start_ts and end_ts of a request."""
    return int(params(target)["start_ts"]), int(params(target)["end_ts"])


def between(first: str, last: str) -> tuple[int, int]:
    """Unix seconds of two days or times in UTC."""
    return epoch(first), epoch(last)


def only_times(sim: Simulator) -> tuple[int, int]:
    """Of the only request since the last reset."""
    (target,) = asked(sim)
    return times(target)


def paths(sim: Simulator) -> set[str]:
    return {target.partition("?")[0] for target in asked(sim)}


def held(sim: Simulator, first: str, last: str) -> int:
    """How many messages that are no drafts were created in [first, last)."""
    lo, hi = between(first, last)
    return sum(lo <= row["created"] < hi and "drafted" not in row["metrics"] for row in sim.data("messages"))
