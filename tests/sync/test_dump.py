"""Dump and restore: the ledger travels with the rows."""

from __future__ import annotations

import os
import subprocess

import psycopg

from cio_fdw.server.cluster import Cluster
from tests.sync.helpers import TARGET, Sync

ROWS = f"select * from {TARGET} order by id"


def pg_dump(cluster: Cluster, database: str, *options: str) -> bytes:
    command = [str(cluster.bin_dir / "pg_dump"), "-d", cluster.socket_url(database), *options]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, check=True, timeout=120, env=environment).stdout


def test_dump_and_restore(cluster: Cluster, mirror_db: Sync) -> None:
    s = mirror_db
    s.db.execute("create role sync_dumper")
    s.mirror(more="start_time => now() - interval '20 days'")
    s.mirror("activities")
    s.refresh(more="max_units => 15")
    s.refresh("analytics.activities", "max_units => 4")
    before = s.rows(ROWS)
    segments = s.rows("select * from cio.segment")
    dump = pg_dump(cluster, s.db.info.dbname)
    s.sim.reset()
    with psycopg.connect(cluster.socket_url(), autocommit=True) as admin:
        admin.execute("drop role sync_dumper")
        admin.execute("create database restored")
        try:
            psql = [
                str(cluster.bin_dir / "psql"),
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                cluster.socket_url("restored"),
            ]
            subprocess.run(psql, input=dump, check=True, capture_output=True, timeout=120)
            assert s.requests() == []
            with Sync(cluster.socket_url("restored"), s.sim) as restored:
                assert restored.rows(ROWS) == before
                assert restored.rows("select * from cio.segment") == segments
                assert restored.rows("select target::text, source::text from cio.mirrors order by 1") == [
                    ("analytics.activities", "customerio.activities"), (TARGET, "customerio.messages")]  # fmt: skip
                assert restored.refresh()[1:] == (6, 0, "done")
                assert len([r for r in s.requests() if r.startswith("/v1/messages")]) <= 7
                restored.refresh("analytics.activities")
                assert restored.ids("analytics.activities", "true") == {row["id"] for row in s.sim.data("activities")}
                # New ids do not meet old ones.
                restored.mirror("campaigns")
                restored.refresh("analytics.campaigns")
                assert restored.value("select count(*) from analytics.messages_fresh") == restored.value(
                    f"select count(*) from {TARGET}")  # fmt: skip
        finally:
            admin.execute("drop database restored with (force)")
