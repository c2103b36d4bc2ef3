"""Prints what cio_sync costs beside a plain materialized view and dbt, as Markdown.

    python -m bench.sync [--write] [--without-dbt] [--a-day 50000] [--days 60]

Pages are as large as make 50 requests for a day, so that any scale has the requests of 50,000 a day in pages of 1,000;
seconds are those of the scale. The clock of cio is moved through two days. 50,000 a day are three million messages:
about 5 GB of memory for the simulator and 15 GB of disk. Progress goes to stderr; after the first load it tells how
long the rest will take, and how long all of it would at the true scale.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg

from bench.progress import Progress, whole
from bench.report import INCREMENTAL, README, write_section
from bench.sync_peers import Peer, dbt, plain_view
from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.up import running
from cio_fdw.simulator.client import Simulator

DAY, STEP = timedelta(days=1), timedelta(minutes=15)
PAGES_A_DAY, FULL_A_DAY = 50, 50_000
CHUNK = 10_000
"""Messages that are given to the simulator at once."""
STEPS_A_DAY = DAY // STEP
RATE, LATENCY_MS = 10, 250
SHARED_DAYS, SHARED_LATENCY_MS = 10, 50
LATE_DAYS = (7, 30)
TOUCHES_A_DAY = 4
WRITES = """
    select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_user_tables
    where schemaname in ('cio', 'analytics')"""


class World:
    """A source of `days` even days before the moment `start`, three more after it, and its mirror."""

    def __init__(self, cluster: Cluster, simulator: Simulator, days: int, a_day: int, progress: Progress) -> None:
        self.url, self.simulator, self.progress = cluster.socket_url(), simulator, progress
        self.days, self.a_day, self.page = days, a_day, max(1, a_day // PAGES_A_DAY)
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        self.start = self.now = midnight - 4 * DAY
        for day in progress.steps("days of messages in the simulator", range(-days, 3)):
            first_s = int((self.start + day * DAY).timestamp())
            for begin in range(0, a_day, CHUNK):
                simulator.add_messages(*(
                    {"created": first_s + i * 86_400 // a_day, "metrics": {"sent": 1}}
                    for i in range(begin, min(begin + CHUNK, a_day))))  # fmt: skip
        self.db = self.connect()
        self.db.execute(
            f"alter server customerio options (add page_size '{self.page}', add requests_per_second '{RATE}')"
        )
        self.db.execute("create extension cio_sync")
        first = (self.start - days * DAY).isoformat()
        self.db.execute(
            f"select cio.mirror('customerio.messages', 'analytics.messages', start_time => '{first}')",
        )
        self.at(self.start)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute("select set_config('cio.now', %s, false)", [self.now.isoformat()])
        return connection

    def at(self, now: datetime) -> None:
        """Moves the clock of cio."""
        self.now = now
        self.db.execute("select set_config('cio.now', %s, false)", [now.isoformat()])

    def refresh(self, more: str = "") -> tuple[int, float]:
        """Requests and seconds of one refresh."""
        self.simulator.reset()
        began_s = time.monotonic()
        self.db.execute(f"call cio.refresh('analytics.messages'{more})")
        return len(self.simulator.log()), time.monotonic() - began_s

    def writes(self) -> int:
        """Rows written so far to the mirror and to the tables of cio."""
        self.db.execute("select pg_stat_force_next_flush()")
        return int(self.value(WRITES))

    def value(self, query: str) -> Any:
        row = self.db.execute(query).fetchone()
        return row[0] if row else None

    def message_of(self, age: timedelta) -> str:
        """The id of a message of this age that nobody opened yet."""
        latest = (self.now - age).isoformat()
        return str(
            self.value(
                f"""select id from analytics.messages where opened is null and created <= '{latest}'
                order by created desc limit 1"""
            )
        )


def first_load(world: World) -> Iterator[str]:
    """With the API's limit and latency for the newest buckets, then without for the rest."""
    world.simulator.set_rate(RATE)
    world.simulator.set_latency(LATENCY_MS)
    world.at(world.start - timedelta(seconds=1))  # the newest bucket is a whole day
    requests, seconds = world.refresh(", max_units => 1")
    yield f"| first load, the newest day is there (the API's limit, {LATENCY_MS} ms) | {requests} | {seconds:.1f} |"
    world.simulator.set_rate(0)
    world.simulator.set_latency(0)
    world.db.execute("alter server customerio options (set requests_per_second '1000')")
    requests, seconds = world.refresh()
    yield f"| first load, the other {world.days - 1} days (no limit) | {requests:,} | {seconds:.1f} |"
    foretell(world, seconds / max(1, requests))


def foretell(world: World, request_s: float) -> None:
    """How long the rest takes, which has the same requests at any scale. `request_s`: what one costs at this scale."""
    # Two days of refreshes, a day without, one and two at once, the view twice, dbt once whole.
    left = (2 * 5 * world.days + world.days + 2 * (SHARED_DAYS + 1) + 3 * world.days) * PAGES_A_DAY
    world.progress.say(f"about {whole(left * request_s)} left: {left:,} requests of {request_s * 1000:.1f} ms")
    if world.a_day < FULL_A_DAY:
        seconds = world.progress.elapsed_s + left * (request_s + FULL_A_DAY / PAGES_A_DAY * row_s(world))
        world.progress.say(f"at {FULL_A_DAY:,} messages a day all of it takes about {whole(seconds)}")


def row_s(world: World) -> float:
    """Seconds for one row more in a page: read from the simulator and written to a table."""
    world.db.execute(f"alter server customerio options (set page_size '{FULL_A_DAY // PAGES_A_DAY}')")
    began_s = time.monotonic()
    world.db.execute("create temp table read as select * from customerio.messages where created < now()")
    seconds = time.monotonic() - began_s
    world.db.execute(f"alter server customerio options (set page_size '{world.page}')")
    count = int(world.value("select count(*) from read"))
    world.db.execute("drop table read")
    return seconds / max(1, count)


def no_op(world: World) -> Iterator[str]:
    before = world.writes()
    requests, seconds = world.refresh()
    yield f"| nothing due; rows written: {world.writes() - before} | {requests} | {seconds:.3f} |"


def two_days(world: World) -> Iterator[str]:
    """A refresh every 15 minutes; on the first day messages are opened late, on the second one only requests count."""
    waiting: dict[str, tuple[int, datetime]] = {}
    hours: dict[int, list[float]] = {age: [] for age in LATE_DAYS}
    requests, seconds = 0, 0.0
    world.at(world.start)
    for step in world.progress.steps("refreshes of two days", range(2 * STEPS_A_DAY)):
        world.at(world.start + step * STEP)
        asked, took_s = world.refresh()
        if step >= STEPS_A_DAY:
            requests, seconds = requests + asked, seconds + took_s
        for id_, (age, opened_at) in list(waiting.items()):
            if world.value(f"select opened is not null from analytics.messages where id = '{id_}'"):
                hours[age].append((world.now - opened_at) / timedelta(hours=1))
                del waiting[id_]
        if step < STEPS_A_DAY and step % (STEPS_A_DAY // TOUCHES_A_DAY) == 1:
            for age in LATE_DAYS:
                id_ = world.message_of(age * DAY)
                world.simulator.touch(id_, opened=int(world.now.timestamp()))
                waiting[id_] = (age, world.now)
    if waiting:
        raise RuntimeError(f"opens were never seen: {waiting}")
    yield f"| a day, a refresh every 15 minutes ({STEPS_A_DAY} refreshes) | {requests:,} | {seconds:.0f} |"
    for age, found in hours.items():
        seen = f"of {len(found)} the slowest: {max(found):g} hours later"
        yield f"| an open {age} days after creation is seen, {seen} | | |"


def new_day(world: World) -> Iterator[str]:
    world.at(world.start + 3 * DAY - timedelta(seconds=1))
    requests, seconds = world.refresh(", max_units => 1")
    yield f"| one new day after a day without refresh, the new day itself | {requests} | {seconds:.2f} |"
    requests, seconds = world.refresh()
    yield f"| … and all that was due besides | {requests:,} | {seconds:.1f} |"


def together(world: World) -> Iterator[str]:
    """The same work by one refresh and by two, with latency and without limit."""
    world.simulator.set_latency(SHARED_LATENCY_MS)
    lo = (world.now - SHARED_DAYS * DAY).isoformat()
    for count in (1, 2):
        world.db.execute(f"select cio.invalidate('analytics.messages', '{lo}', 'infinity')")
        world.simulator.reset()
        began_s = time.monotonic()
        threads = [threading.Thread(target=_one, args=(world,)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began_s
        name = "one refresh" if count == 1 else "two at once"
        asked = len(world.simulator.log())
        yield f"| {SHARED_DAYS + 1} buckets, {name} ({SHARED_LATENCY_MS} ms, no limit) | {asked} | {seconds:.1f} |"
    world.simulator.set_latency(0)


def _one(world: World) -> None:
    with world.connect() as connection:
        connection.execute("call cio.refresh('analytics.messages')")


def peers(world: World, a_day: str, with_dbt: bool) -> Iterator[str]:
    yield "| with | requests of a run | s of a run | requests a day, 96 runs | open after 7 days | after 30 days |"
    yield "| --- | --- | --- | --- | --- | --- |"
    yield f"| cio.refresh | by tiers | | {a_day}, measured | seen | seen |"
    contenders = {"a plain view": plain_view, **({"dbt": dbt} if with_dbt else {})}
    for name in world.progress.steps("contenders", list(contenders)):
        world.progress.say(name)
        peer: Peer = contenders[name](world, world.days)
        seen = " | ".join("seen" if peer.seen[age] else "missed" for age in LATE_DAYS)
        yield f"| {peer.name} | {peer.requests:,} | {peer.seconds:.1f} | {peer.requests * STEPS_A_DAY:,} | {seen} |"


def report(world: World, with_dbt: bool) -> Iterator[str]:
    version = world.value("show server_version")
    yield f"{datetime.now(timezone.utc):%Y-%m-%d}, PostgreSQL {version}, Python {platform.python_version()},"
    yield f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors. {world.days} days of {world.a_day:,}"
    scaled = "" if world.a_day == FULL_A_DAY else ", as 50,000 messages in pages of 1,000 take"
    yield f"messages in pages of {world.page:,}: {PAGES_A_DAY} pages a day{scaled}."
    yield ""
    yield "| cio_sync | requests | s |"
    yield "| --- | --- | --- |"
    a_day = ""
    for part in (first_load, no_op, two_days, new_day, together):
        for text in part(world):
            if text.startswith("| a day,"):
                a_day = text.split("|")[2].strip()
            yield text
    yield ""
    yield from peers(world, a_day, with_dbt)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.sync")
    parser.add_argument("--without-dbt", action="store_true", help="dbt needs an environment of its own")
    parser.add_argument("--write", action="store_true", help="write into bench/README.md and docs/incremental.md")
    parser.add_argument("--a-day", type=int, default=500, help=f"messages a day; {FULL_A_DAY:,} is the true scale")
    parser.add_argument("--days", type=int, default=60, help="days of messages before the mirror begins")
    arguments = parser.parse_args()
    if arguments.days <= max(LATE_DAYS) or not PAGES_A_DAY <= arguments.a_day <= FULL_A_DAY:
        parser.error(f"--days must be above {max(LATE_DAYS)}, --a-day {PAGES_A_DAY} to {FULL_A_DAY}")
    lines = []
    with (
        Simulator(seed=1, messages=0, rate=0) as simulator,
        running(server_options={"base_url": simulator.url}, key=Secret(simulator.key)) as cluster,
    ):
        world = World(cluster, simulator, arguments.days, arguments.a_day, Progress())
        for text in report(world, not arguments.without_dbt):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            lines.append(text)
    if arguments.write:
        for path in (README, INCREMENTAL):
            write_section("sync", lines, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
