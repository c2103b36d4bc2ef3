"""Twelve backends of a real PostgreSQL server that share the limit of one key: a part of `python -m bench.limiter`.

Eleven scan the actions of every campaign over and over, three requests at a time; the twelfth asks one request again
and again. The figures are those of the API and of `customerio._requests`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from cio_fdw.secret import Secret
from cio_fdw.server.up import running
from cio_fdw.simulator.client import Simulator
from tests.throttle.world import LONG, SHORT, Crowd, arrivals, share_of_429, steady_per_s

BACKENDS, SECONDS, LATENCY_MS = 12, 60.0, 80
START_S = 3.0
"""Left out of the gaps between turns: backends start Python then."""
TURNS = """
    select pid, count(*), max(throttled_ms) / 1000, max(gap) from (
        select pid, throttled_ms, extract(epoch from at - lag(at, 1, %(since)s) over (partition by pid order by at)) gap
        from customerio._requests where at > %(since)s) r
    group by pid order by pid = %(short)s, pid"""


def report() -> Iterator[str]:
    with (
        Simulator(messages=300, campaigns=40, rate=10, latency_ms=LATENCY_MS, seed=3) as api,
        running(server_options={"base_url": api.url}, key=Secret(api.key)) as cluster,
        psycopg.connect(cluster.socket_url(), autocommit=True) as admin,
    ):
        yield from measured(cluster.socket_url(), admin, api)


def measured(url: str, admin: psycopg.Connection[tuple[object, ...]], api: Simulator) -> Iterator[str]:
    crowd = Crowd()
    api.reset()
    try:
        for _ in range(BACKENDS - 1):
            crowd.add(url, LONG)
        crowd.add(url, SHORT)
        time.sleep(START_S)
        since = admin.execute("select now()").fetchone()
        assert since
        time.sleep(SECONDS)
        short = crowd.pids[-1]
        turns = admin.execute(TURNS, {"since": since[0], "short": short}).fetchall()
        times_s, stats, share = arrivals(api), api.stats(), share_of_429(api)
    finally:
        crowd.end(url)
    assert not crowd.errors, crowd.errors
    counts = [int(str(row[1])) for row in turns]
    gaps_s, waits_s = ([float(str(row[column])) for row in turns] for column in (3, 2))
    took_s = sorted(crowd.took_s[-1])
    yield f"{BACKENDS} PostgreSQL backends over {SECONDS:.0f} s, one with short queries, the others with long scans:\n"
    yield "| figure | goal | measured |"
    yield "| --- | --- | --- |"
    yield f"| requests a second, all together | 9.5 | {steady_per_s(times_s):.2f} |"
    yield f"| most in any one second, at the API | 10 | {stats['max_per_s']} |"
    yield f"| most under way at once | 3 | {stats['max_in_flight']} |"
    yield f"| share of 429 | under 1 % | {share:.1%} |"
    yield f"| longest that a backend was without a turn | 5 s | {max(gaps_s):.1f} s |"
    yield f"| longest wait of one request, of those that a scan has three of | | {max(waits_s):.1f} s |"
    yield f"| requests of each backend | | {min(counts)} to {max(counts)} |"
    yield f"| a query of one request: median, longest | | {took_s[len(took_s) // 2]:.1f} s, {took_s[-1]:.1f} s |"
