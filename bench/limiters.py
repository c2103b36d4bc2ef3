"""The limiters that `bench.limiter` compares, and one process of the crowd that uses one of them.

    python -m bench.limiters NAME PLACE URL SECONDS    takes turns, sends a request in each; prints its waits as JSON
    python -m bench.limiters NAME PLACE '' 0           prints what a free turn costs, in milliseconds

Runs in an environment of its own that has the libraries, so nothing but the package and http.client is imported.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

PER_S, AT_ONCE = 10, 3
POLL_S = 0.005
"""A wait that a cancel can end must be made of short sleeps: none of the libraries lets one interrupt theirs."""
REDIS_URL_ENV = "CIO_BENCH_REDIS"
KEY_ENV = "CIO_BENCH_KEY"
KEY_HASH = "0123456789abcdef"

Send = Callable[[], None]
Turn = Callable[[Send], None]
"""Waits for a turn and calls `send` in it."""


class Candidate(NamedTuple):
    """`modules`: what it needs to import; `redis`: whether it keeps its count in Redis."""

    make: Callable[[Path], Turn]
    modules: tuple[str, ...] = ()
    redis: bool = False


def own(place: Path) -> Turn:
    from cio_fdw.state import StateDirectory
    from cio_fdw.throttle.shared import SharedThrottle
    from cio_fdw.throttle.turns import Limits

    throttle = SharedThrottle(StateDirectory(place / "state"), KEY_HASH, Limits(PER_S, AT_ONCE))

    def turn(send: Send) -> None:
        with throttle.slot(time.sleep):
            send()

    return turn


def own_redis(_place: Path) -> Turn:
    from cio_fdw.throttle.remote import Redis, RedisThrottle
    from cio_fdw.throttle.turns import Limits

    throttle = RedisThrottle(Redis(os.environ[REDIS_URL_ENV], None), KEY_HASH, Limits(PER_S, AT_ONCE), 60)

    def turn(send: Send) -> None:
        with throttle.slot(time.sleep):
            send()

    return turn


def polled(try_acquire: Callable[[], object]) -> Turn:
    def turn(send: Send) -> None:
        while not try_acquire():
            time.sleep(POLL_S)
        send()

    return turn


def pyrate_sqlite(place: Path) -> Turn:
    from pyrate_limiter import Limiter, Rate, SQLiteBucket

    path = str(place / "pyrate.sqlite")
    limiter = Limiter(SQLiteBucket.init_from_file([Rate(PER_S, 1000)], db_path=path, use_file_lock=True))
    return polled(lambda: limiter.try_acquire("key", blocking=False))


def pyrate_redis(_place: Path) -> Turn:
    import redis
    from pyrate_limiter import Limiter, Rate, RedisBucket

    client = redis.Redis.from_url(os.environ[REDIS_URL_ENV])
    limiter = Limiter(RedisBucket.init([Rate(PER_S, 1000)], client, "pyrate"))
    return polled(lambda: limiter.try_acquire("key", blocking=False))


def limits_redis(_place: Path) -> Turn:
    import limits

    storage = limits.storage.storage_from_string(os.environ[REDIS_URL_ENV])
    strategy = limits.strategies.MovingWindowRateLimiter(storage)
    rate = limits.RateLimitItemPerSecond(PER_S)
    return polled(lambda: strategy.hit(rate, "key"))


CANDIDATES: dict[str, Candidate] = {
    "cio_fdw, state directory": Candidate(own),
    "pyrate-limiter, SQLite and file lock": Candidate(pyrate_sqlite, ("pyrate_limiter", "filelock")),
    "cio_fdw, Redis": Candidate(own_redis, ("redis",), redis=True),
    "pyrate-limiter, Redis": Candidate(pyrate_redis, ("pyrate_limiter", "redis"), redis=True),
    "limits, Redis, moving window": Candidate(limits_redis, ("limits", "redis"), redis=True),
}


def waits(turn: Turn, url: str, seconds: float) -> list[float]:
    """Takes turns for so long, each with a request on a kept connection; seconds waited for each."""
    parts = urlsplit(url)
    api = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {os.environ[KEY_ENV]}"}
    found: list[float] = []
    end_s = time.monotonic() + seconds
    api.connect()
    while (asked_s := time.monotonic()) < end_s:

        def send(asked_s: float = asked_s) -> None:
            found.append(time.monotonic() - asked_s)
            api.request("GET", "/v1/segments", headers=headers)
            api.getresponse().read()

        turn(send)
    return found


def cost_ms(turn: Turn) -> float:
    """Median milliseconds of a turn that nobody contends for and whose window has room."""
    costs = []
    for _ in range(4):
        time.sleep(1.1)
        for _ in range(PER_S - 1):
            began_s = time.perf_counter()
            turn(lambda: None)
            costs.append(time.perf_counter() - began_s)
    return statistics.median(costs) * 1000


def main() -> int:
    name, place, url, seconds = sys.argv[1:]
    turn = CANDIDATES[name].make(Path(place))
    sys.stdout.write(json.dumps(waits(turn, url, float(seconds)) if url else cost_ms(turn)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
