"""What others do to the objects of a scan under way: it waits no longer than the request, or not at all."""

from __future__ import annotations

import time

import psycopg

from cio_fdw.secret import Secret
from tests.doors import set_up
from tests.lifetime.conftest import Place
from tests.lifetime.stages import COUNT, STAGES, server_options
from tests.lifetime.test_endings import NOISE_S, Running, begin
from tests.sql.helpers import Connection, value

HANGING = STAGES["headers"]
TIMEOUT_S = 1.0
FORCED_S = 3.0
"""PostgreSQL looks every 0.1 s, for 5 s, whether the sessions of a database have gone."""


def took_s(db: Connection, statement: str) -> float:
    began_s = time.monotonic()
    db.execute(statement)
    return time.monotonic() - began_s


def test_alter_server_does_not_wait(place: Place, admin: Connection) -> None:
    with place.connect() as db, HANGING.held(place, admin, db) as statement:
        running = begin(place, HANGING, db, statement)
        assert took_s(admin, "alter server customerio options (add page_size '500')") < NOISE_S
        assert took_s(admin, "alter server customerio options (drop page_size)") < NOISE_S
        assert not running.is_over
        db.cancel()
        running.join()


def test_drop_foreign_table_waits_for_the_request(place: Place, admin: Connection) -> None:
    admin.execute("create foreign table doomed (id text) server customerio options (endpoint 'messages')")
    limits = {"timeout": str(TIMEOUT_S), "max_retries": "0"}
    with server_options(place, admin, limits, ""), place.connect() as db, HANGING.held(place, admin, db):
        running = begin(place, HANGING, db, "select count(*) from doomed")
        assert took_s(admin, "drop foreign table doomed") < TIMEOUT_S + NOISE_S
        running.join()
        assert running.error.sqlstate == "08001"


def test_drop_foreign_table_after_a_cancel(place: Place, admin: Connection) -> None:
    admin.execute("create foreign table doomed (id text) server customerio options (endpoint 'messages')")
    with place.connect() as db, HANGING.held(place, admin, db):
        running = begin(place, HANGING, db, "select count(*) from doomed")
        dropping = Running(admin, "drop foreign table doomed")
        time.sleep(0.2)
        assert not dropping.is_over
        db.cancel()
        running.join()
        dropping.join()
        assert dropping.error is None
        assert dropping.ended_s - running.ended_s < NOISE_S
        assert value(admin, "select count(*) from pg_locks l where pid = " + str(db.info.backend_pid)) == 0


def test_drop_database_with_force(place: Place, admin: Connection) -> None:
    admin.execute("create database doomed")
    address = place.cluster.socket_url("doomed")
    set_up(address, {"base_url": place.sim.url}, Secret(place.sim.key))
    with place.connect() as here, HANGING.held(place, admin, here):
        db = psycopg.connect(address, autocommit=True)
        running = begin(place, HANGING, db, COUNT)
        assert took_s(admin, "drop database doomed with (force)") < FORCED_S
        running.join()
        assert running.error.sqlstate == "57P01"
        db.close()
