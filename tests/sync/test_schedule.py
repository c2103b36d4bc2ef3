"""cio.schedule with pg_cron, where the server under test has it, and without."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator

import psycopg
import pytest

from cio_fdw.server.cluster import Cluster
from tests.doors import make_cluster
from tests.sync.helpers import TARGET, Sync
from tests.sync.test_hints import said

MINUTE_S = 75.0
"""pg_cron of Debian 12 has no seconds: the first run begins at the next minute."""


def test_without_pg_cron_the_hint_is_a_line_for_a_crontab(cluster: Cluster, mirror_db: Sync) -> None:
    s = mirror_db
    s.mirror(more="start_time => now() - interval '2 days'")
    with pytest.raises(psycopg.Error, match="cio: pg_cron is not installed in this database") as caught:
        s.value(f"select cio.schedule('{TARGET}', '*/10 * * * *')")
    line = caught.value.diag.message_hint or ""
    assert line.startswith("*/10 * * * * psql -X -q -d 'dbname=")
    # The line does what it says, to a shell; cron would take \\% for %.
    words = shlex.split(line.partition("* psql ")[2].replace("\\%", "%"))
    connection = dict(psycopg.conninfo.conninfo_to_dict(s.address))
    command = [str(cluster.bin_dir / "psql"), *words, "-h", str(connection["host"]), "-p", str(connection["port"])]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert s.rows("select status from cio.runs") == [("done",)]


def test_unschedule_without_pg_cron(mirror_db: Sync) -> None:
    mirror_db.mirror()
    with pytest.raises(psycopg.Error, match="cio: pg_cron is not installed"):
        mirror_db.value(f"select cio.unschedule('{TARGET}')")


@pytest.fixture
def cron(cluster: Cluster, mirror_db: Sync) -> Iterator[Sync]:
    """A database with pg_cron, on a server of its own that loads it."""
    has = mirror_db.value("select count(*) from pg_available_extensions where name = 'pg_cron'")
    if not has:
        pytest.skip("the server under test has no pg_cron (Debian: postgresql-15-cron)")
    settings = {
        **cluster.settings,
        "shared_preload_libraries": "pg_cron",
        "cron.database_name": "postgres",
        "cron.use_background_workers": "on",
        "max_worker_processes": "20",
    }
    with make_cluster(cluster.bin_dir, settings=settings) as own:
        dump = subprocess.run(
            [str(cluster.bin_dir / "pg_dump"), "-d", mirror_db.address], capture_output=True, check=True
        )
        psql = [str(cluster.bin_dir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", own.socket_url()]
        subprocess.run(psql, input=dump.stdout, check=True, capture_output=True)
        with Sync(own.socket_url(), mirror_db.sim) as s:
            s.point_at(mirror_db.sim)
            s.db.execute("create extension pg_cron")
            yield s


def test_pg_cron(cron: Sync) -> None:
    s = cron
    s.mirror(more="start_time => now() - interval '2 days'")
    every_minute = "* * * * *"
    job = s.value(f"select cio.schedule('{TARGET}', '{every_minute}')")
    command = "CALL cio.refresh('analytics.messages', max_runtime => '00:04:00')"
    jobs = s.rows("select jobid, jobname, schedule, command from cron.job")
    assert jobs == [(job, f"cio:{TARGET}", every_minute, command)]
    deadline_s = time.monotonic() + MINUTE_S
    while not s.rows("select 1 from cron.job_run_details where status = 'succeeded'"):
        assert time.monotonic() < deadline_s, s.rows("select * from cron.job_run_details")
        time.sleep(0.5)
    assert s.rows("select status, units_done from cio.runs") == [("done", 3)]
    # Again with the same name: the job is changed, not doubled.
    assert s.value(f"select cio.schedule('{TARGET}', '*/5 * * * *')") == job
    assert s.value(f"select cio.unschedule('{TARGET}')") is True
    assert s.value(f"select cio.unschedule('{TARGET}')") is False
    s.db.execute(f"select cio.schedule('{TARGET}')")
    s.db.execute(f"select cio.unmirror('{TARGET}')")
    assert s.rows("select * from cron.job") == []


def test_what_pg_cron_refuses(cron: Sync) -> None:
    s = cron
    s.mirror("campaigns")
    error = said(s, "select cio.schedule('analytics.campaigns', 'whenever')")
    assert str(error.message_primary).startswith("cio: pg_cron refuses the job: ")
    s.db.execute(error.message_hint or "")
    assert s.rows("select schedule from cron.job") == [("*/5 * * * *",)]


def test_a_role_without_rights_on_pg_cron(cron: Sync) -> None:
    """It is told so, and may end its mirrors, which have no jobs."""
    s = cron
    s.db.execute("create role sync_planner; grant usage on schema customerio to sync_planner")
    s.db.execute("grant select on customerio.campaigns to sync_planner; create schema own authorization sync_planner")
    s.db.execute("grant execute on all functions in schema cio to sync_planner; set role sync_planner")
    s.db.execute("select cio.mirror('customerio.campaigns', 'own.campaigns')")
    for call in ("schedule", "unschedule"):
        error = said(s, f"select cio.{call}('own.campaigns')")
        assert error.message_primary == "cio: permission denied for schema cron"
    s.db.execute("select cio.unmirror('own.campaigns')")
    s.db.execute("select cio.mirror('customerio.campaigns', 'own.others')")
    s.db.execute("reset role")
    s.db.execute(error.message_hint or "")
    s.db.execute("set role sync_planner")
    assert s.value("select cio.schedule('own.others')") > 0
    assert s.value("select cio.unschedule('own.others')") is True
