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
from cio_fdw.throttle.protocol import Throttle, Turn, Usage
from cio_fdw.throttle.shared import FILE_PREFIX, SharedThrottle
from cio_fdw.throttle.turns import Limits

__all__ = ["Throttle", "Turn", "Usage", "throttle_for", "throttles_for"]


def throttle_for(settings: Settings) -> Throttle:
    """The limits of the key of `settings`, which it shares with every backend of the server."""
    key = settings.key.fingerprint() if settings.key else ""
    return SharedThrottle(state_directory(settings.state_dir), key, _limits(settings))


def throttles_for(settings: Settings) -> dict[str, Throttle]:
    """By hash of the key: that of `settings`, or with all_keys those of every key that was used here."""
    if not settings.all_keys:
        return {settings.key.fingerprint(): throttle_for(settings)} if settings.key else {}
    directory = state_directory(settings.state_dir)
    keys = [name[len(FILE_PREFIX) :] for name in directory.names() if name.startswith(FILE_PREFIX)]
    return {key: SharedThrottle(directory, key, _limits(settings)) for key in keys}


def _limits(settings: Settings) -> Limits:
    return Limits(settings.requests_per_second, settings.max_concurrency)
