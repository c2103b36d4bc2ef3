"""Several at once, interruptions, and what others see meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Callable

import psycopg
import pytest

from tests.sync.helpers import DAY, TARGET, Sync, today

LATENCY_MS = 100


class Refresh(threading.Thread):
    """CALL cio.refresh on a connection of its own; `error` and `result` once it has ended."""

    def __init__(self, s: Sync, call: str = f"call cio.refresh('{TARGET}')") -> None:
        super().__init__(daemon=True)
        self.connection = s.connect()
        self.pid = self.connection.info.backend_pid
        self.call = call
        self.error: Any = None
        self.result: Any = None

    def run(self) -> None:
        try:
            with self.connection:
                cursor = self.connection.execute(self.call)
                self.result = cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            self.error = error


@pytest.fixture
def s(mirror_db: Sync) -> Iterator[Sync]:
    """A mirror of 20 days, of which each takes a tenth of a second."""
    since = (datetime.now(timezone.utc) - 20 * DAY).isoformat()
    mirror_db.mirror(more=f"start_time => '{since}'")
    mirror_db.sim.set_latency(LATENCY_MS)
    yield mirror_db
    mirror_db.sim.set_latency(0)


@contextmanager
def refreshing(s: Sync, units: int = 3) -> Iterator[Refresh]:
    """A refresh under way that has finished some units."""
    thread = Refresh(s)
    thread.start()
    wait_for(lambda: s.rows("select 1 from cio.progress where done >= %s and pid = %s", [units, thread.pid]))
    yield thread
    thread.join(30)
    assert not thread.is_alive()


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def complete(s: Sync) -> None:
    assert s.refresh()[2:] in [(0, "done"), (0, "idle")]
    since = s.value("select start_time from cio.mirrors")
    assert s.ids() == s.source_ids(since)
    assert s.value("select count(*) from cio.gaps") == 0


def test_progress_is_seen_from_elsewhere(s: Sync) -> None:
    with refreshing(s) as thread:
        target, done, total, eta = s.rows("select target::text, done, total, eta from cio.progress")[0]
        assert (target, total) == (TARGET, 21)
        assert 3 <= done < 21
        assert 0 < eta.total_seconds() < 20
        shown = s.value("select application_name from pg_stat_activity where pid = %s", [thread.pid])
        assert shown.startswith(f"cio: {TARGET} ")
        # What is read is there before the rest.
        assert s.value(f"select count(*) from {TARGET}") > 0
    assert s.rows("select * from cio.progress") == []
    assert s.rows("select status from cio.runs") == [("done",)]


def test_notices(s: Sync) -> None:
    s.refresh()
    told = [notice for notice in s.notices if " units, " in notice]
    assert len(told) >= 3
    assert told[-1].startswith(f"cio: {TARGET}: 21 of 21 units, ")
    assert "left" in told[1]


def test_two_refreshes_share_the_buckets(s: Sync) -> None:
    one, other = Refresh(s), Refresh(s)
    started_s = time.monotonic()
    one.start()
    other.start()
    one.join(60)
    other.join(60)
    assert (one.error, other.error) == (None, None)
    assert one.result[1] + other.result[1] == 21
    assert min(one.result[1], other.result[1]) >= 5
    assert time.monotonic() - started_s < 21 * 0.2
    lists = [target for target in s.requests() if target.startswith("/v1/messages")]
    assert len(lists) == len(set(lists)) == 21
    complete(s)


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_interrupted(s: Sync, how: str) -> None:
    with refreshing(s) as thread:
        s.value(f"select pg_{how}_backend(%s)", [thread.pid])
    assert thread.error.sqlstate in {"cancel": ["57014"], "terminate": ["57P01", None]}[how]
    wait_for(lambda: s.rows("select status from cio.runs") == [("interrupted",)])
    done = s.value("select units_done from cio.runs")
    assert done >= 3
    s.sim.reset()
    s.sim.set_latency(0)
    complete(s)
    assert len([r for r in s.requests() if r.startswith("/v1/messages")]) <= 22 - done + 1
    assert s.rows("select status from cio.run order by run_id") == [("interrupted",), ("done",)]


def test_a_cancelled_session_that_lives_on_reads_as_interrupted(s: Sync) -> None:
    with s.connect() as connection:
        timer = threading.Timer(1.0, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(f"call cio.refresh('{TARGET}')")
        assert s.rows("select status from cio.runs") == [("interrupted",)]
        assert s.rows("select * from cio.progress") == []
        connection.execute("select 1")
    complete(s)


def test_statement_timeout(s: Sync) -> None:
    with s.connect() as connection:
        connection.execute("set statement_timeout = '1600ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(f"call cio.refresh('{TARGET}')")
    assert s.value("select count(*) from cio.buckets where fetched_at is not null") >= 2
    complete(s)


def test_unmirror_meanwhile(s: Sync) -> None:
    with refreshing(s) as thread:
        s.db.execute(f"select cio.unmirror('{TARGET}')")
    assert "cio: the mirror was removed during the refresh" in str(thread.error)
    assert s.rows("select * from cio.mirrors") == []


def test_pause_meanwhile(s: Sync) -> None:
    with refreshing(s) as thread:
        s.db.execute(f"select cio.pause('{TARGET}')")
    assert thread.result[3] == "paused"
    s.db.execute(f"select cio.resume('{TARGET}')")
    complete(s)


def test_alter_and_invalidate_meanwhile(s: Sync) -> None:
    with refreshing(s) as thread:
        s.db.execute(f"""select cio.alter_mirror('{TARGET}', tiers => '{{"3 days": "1 hour"}}')""")
        s.db.execute(f"select cio.alter_mirror('{TARGET}', bucket => '2 days')")
        s.db.execute(f"select cio.invalidate('{TARGET}')")
    assert thread.error is None
    complete(s)


def test_truncate_and_drop_meanwhile(s: Sync) -> None:
    with refreshing(s) as thread:
        s.db.execute(f"truncate {TARGET}")
    assert thread.error is None
    s.db.execute(f"select cio.reset('{TARGET}')")
    complete(s)
    s.db.execute(f"select cio.invalidate('{TARGET}')")
    with refreshing(s) as thread:
        s.db.execute(f"drop table {TARGET} cascade")
    assert thread.error is not None
    s.db.execute("call cio.refresh_all()")
    assert s.rows("select * from cio.mirrors") == []


def test_dropping_the_source_meanwhile(s: Sync) -> None:
    with refreshing(s) as thread:
        s.db.execute("drop foreign table customerio.messages cascade")
    assert thread.error is not None
    assert s.value(f"select count(*) from {TARGET}") > 0


def test_readers_never_wait(s: Sync) -> None:
    with refreshing(s):
        for _ in range(20):
            s.db.execute("set lock_timeout = '50ms'")
            s.db.execute(f"select count(*) from {TARGET}")
            s.db.execute(f"select count(*) from {TARGET}_fresh")
            for view in ("mirrors", "runs", "progress", "errors", "buckets", "gaps", "requests"):
                s.db.execute(f"select * from cio.{view}")


def test_writers_of_other_rows_never_wait(s: Sync) -> None:
    s.db.execute(f"insert into {TARGET} (id, created) values ('mine', %s)", [today() - 400 * DAY])
    with refreshing(s):
        s.db.execute("set lock_timeout = '50ms'")
        for i in range(10):
            s.db.execute(f"update {TARGET} set subject = %s where id = 'mine'", [str(i)])
