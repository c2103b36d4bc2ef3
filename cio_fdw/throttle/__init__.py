"""A turn before each request: at most N sends in any one second, at most M under way, per API key.

throttle = throttle_for(settings)
with throttle.slot(stop.sleep) as turn:
    ...send one request...; turn.left(); ...receive...

protocol  what fetching needs
turns     who may send when: plain data and arithmetic
record    its bytes in a file
shared    the limit of all backends of this PostgreSQL server
"""

from __future__ import annotations

from cio_fdw.options import Settings
from cio_fdw.state import state_directory
from cio_fdw.throttle.protocol import Throttle, Turn
from cio_fdw.throttle.shared import SharedThrottle
from cio_fdw.throttle.turns import Limits

__all__ = ["Throttle", "Turn", "throttle_for"]


def throttle_for(settings: Settings) -> Throttle:
    """The limits of the key of `settings`, which it shares with every backend of the server."""
    key = settings.key.fingerprint() if settings.key else ""
    limits = Limits(settings.requests_per_second, settings.max_concurrency)
    return SharedThrottle(state_directory(settings.state_dir), key, limits)
