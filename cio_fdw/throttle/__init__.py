"""A turn before each request: at most N sends in any one second, at most M under way, per API key.

throttle = throttle_for(settings)
with throttle.slot(stop.sleep) as turn:
    if turn.holds(): ...send one request...; turn.left(); ...receive...

protocol  what fetching needs
turns     who may send when: plain data and arithmetic
record    its bytes in a file
shared    the limit of all backends of this PostgreSQL server
remote    the limit of several servers, kept in Redis
asking    a question to Redis that can be given up
"""

from __future__ import annotations

import threading

from cio_fdw.options import Settings
from cio_fdw.state import state_directory
from cio_fdw.throttle.protocol import Throttle, Turn, Usage
from cio_fdw.throttle.shared import FILE_PREFIX, SharedThrottle
from cio_fdw.throttle.turns import Limits

__all__ = ["Throttle", "Turn", "Usage", "throttle_for", "throttles_for"]


def throttle_for(settings: Settings) -> Throttle:
    """The limits of the key of `settings`, which it shares with every backend of the server, or of several servers."""
    return _throttle(settings, settings.key.fingerprint() if settings.key else "")


def throttles_for(settings: Settings) -> dict[str, Throttle]:
    """By hash of the key: that of `settings`, or with all_keys those of every key that was used here."""
    mine = [settings.key.fingerprint()] if settings.key else []
    if not settings.all_keys:
        return {key: _throttle(settings, key) for key in mine}
    names = state_directory(settings.state_dir).names()
    keys = {*mine, *(name[len(FILE_PREFIX) :] for name in names if name.startswith(FILE_PREFIX))}
    return {key: _throttle(settings, key) for key in sorted(keys)}


def _throttle(settings: Settings, key: str) -> Throttle:
    limits = Limits(settings.requests_per_second, settings.max_concurrency)
    shared = SharedThrottle(state_directory(settings.state_dir), key, limits)
    return _with_redis(settings, key, limits, shared) if settings.throttle_url else shared


def _with_redis(settings: Settings, key: str, limits: Limits, shared: SharedThrottle) -> Throttle:
    from cio_fdw.throttle.fallback import FallbackThrottle
    from cio_fdw.throttle.remote import LEASE_MARGIN_S, RETRIES_S, Redis, RedisThrottle

    assert settings.throttle_url
    is_strict = settings.throttle_fallback == "error"
    password = settings.throttle_password
    name = (settings.throttle_url, password, key, limits, settings.timeout_s, is_strict, settings.state_dir)
    with _remote_lock:
        if name not in _remote:
            redis = Redis(settings.throttle_url, password, RETRIES_S if is_strict else ())
            remote = RedisThrottle(redis, key, limits, settings.timeout_s + LEASE_MARGIN_S)
            _remote[name] = remote if is_strict else FallbackThrottle(remote, shared)
        return _remote[name]


_remote: dict[tuple[object, ...], Throttle] = {}
"""By what makes them differ: they hold connections."""
_remote_lock = threading.Lock()
