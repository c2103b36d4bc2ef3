"""The key does not get out: everything that a server writes, shows and answers is searched for it."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg.types.string import TextLoader

from cio_fdw.simulator.client import Simulator
from tests.secrets.conftest import KEY, Vault, said
from tests.sql.helpers import Connection, rows, value

SPELLINGS = (KEY, base64.b64encode(KEY.encode()).decode().rstrip("="), KEY[:12], KEY.encode().hex())
MARK = "looked_for_by_the_test"


def holds_key(text: str) -> bool:
    return any(spelling in text for spelling in SPELLINGS)


def fault(**action: Any) -> list[dict[str, Any]]:
    return [{"match": {"path": "/v1/"}, "times": None, "action": action}]


ECHO = {"errors": [{"detail": f"bad token {KEY}", "status": "400"}]}
# What can go wrong, with answers that repeat the key as an API that logs its requests might.
TROUBLES: Sequence[tuple[str, list[dict[str, Any]]]] = (
    ("nothing", []),
    ("401", fault(kind="status", status=401, body=ECHO)),
    ("400 that echoes the key", fault(kind="status", status=400, body=ECHO)),
    ("404 that echoes the key", fault(kind="status", status=404, body=ECHO)),
    ("500 that echoes the key", fault(kind="status", status=500, body=ECHO)),
    ("429", fault(kind="status", status=429, body=ECHO)),
    ("redirect", fault(kind="redirect", location=f"http://127.0.0.1:1/?token={KEY}")),
    ("text instead of JSON", fault(kind="body", text=f"Bearer {KEY}")),
    ("a value that does not fit", fault(kind="body", json={"campaigns": [{"id": 1, "created": KEY}]})),
    ("a cursor", fault(kind="body", json={"campaigns": [{"id": 1}], "next": KEY})),
    ("reset", fault(kind="reset")),
    ("cut", fault(kind="cut")),
)  # fmt: skip
STATEMENTS = (
    "select id, created from customerio.campaigns",
    "select count(*) from customerio.campaign_actions",
    "explain (analyze, verbose, format json) select * from customerio.campaigns",
    "select * from customerio._requests",
    "select * from customerio._limits",
    "do $$ begin perform id from customerio.campaigns; "
    f"exception when others then raise log '{MARK} %', sqlerrm; end $$",
)


@pytest.mark.parametrize(("name", "rules"), TROUBLES, ids=[name for name, _ in TROUBLES])
def test_errors_and_answers(vault: Vault, root: Connection, name: str, rules: list[dict[str, Any]]) -> None:
    vault.sim.faults(rules)
    notices: list[str] = []
    root.add_notice_handler(lambda diagnostic: notices.append(str(diagnostic.message_primary)))
    root.execute("set client_min_messages = debug5; set cio_fdw.log_min_duration = 0")
    for statement in STATEMENTS:
        shown = ""
        try:
            cursor = root.execute(statement)
            shown = str(cursor.fetchall()) if cursor.description else ""
        except psycopg.Error as error:
            shown = said(error)
        assert not holds_key(shown + "".join(notices)), statement


def test_explain_in_every_format(vault: Vault, root: Connection) -> None:
    # As text: of several equal keys in JSON, psycopg would keep one.
    root.adapters.register_loader("json", TextLoader)
    for layout in ("text", "json", "xml", "yaml"):
        for options in ("verbose", "verbose, analyze, settings"):
            query = f"explain ({options}, format {layout}) select * from customerio.messages where campaign_id = 1"
            shown = str(rows(root, query))
            assert "/v1/messages" in shown
            assert not holds_key(shown)


def test_activity_of_a_session_under_way(vault: Vault, root: Connection, plain: Connection) -> None:
    vault.sim.faults(fault(kind="hang"))
    with psycopg.connect(vault.address, autocommit=True) as busy:
        thread = threading.Thread(target=ends_in_error, args=(busy, "select count(*) from customerio.messages"))
        thread.start()
        arrived(vault.sim)
        for db in (root, plain):
            shown = str(rows(db, "select to_jsonb(a) from pg_stat_activity a"))
            assert str(busy.info.backend_pid) in shown
            assert not holds_key(shown)
        root.execute("select pg_cancel_backend(%s)", [busy.info.backend_pid])
        thread.join(10)


def ends_in_error(db: Connection, query: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute(query)
    assert not holds_key(said(caught.value))


def arrived(sim: Simulator) -> None:
    deadline_s = time.monotonic() + 10
    while not sim.log():
        assert time.monotonic() < deadline_s, "no request arrived"
        time.sleep(0.01)


def test_catalogs_that_another_role_can_read(vault: Vault, plain: Connection) -> None:
    """Every relation of the catalogs, those included that name user mappings."""
    names = [
        row[0]
        for row in rows(
            plain,
            """
            select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = relnamespace
            where nspname in ('pg_catalog', 'information_schema') and relkind in ('r', 'v')""",
        )
    ]
    readable = 0
    for name in names:
        try:
            shown = str(rows(plain, f"select t::text from {name} t"))
        except psycopg.errors.InsufficientPrivilege:
            continue
        readable += 1
        assert not holds_key(shown), name
    assert readable > 100
    # The superuser's mapping is seen to exist, so what hides the key is the privilege and not its absence.
    assert value(plain, "select count(*) from pg_user_mappings where umoptions is null") == 1
    assert "pg_user_mapping" in names


def test_a_backend_that_crashes(vault: Vault, root: Connection) -> None:
    """What the server reports of it, and that the others go on after its recovery."""
    vault.sim.faults(fault(kind="hang"))
    with psycopg.connect(vault.address, autocommit=True) as busy:
        thread = threading.Thread(target=ends_in_error, args=(busy, f"select '{MARK}', id from customerio.messages"))
        thread.start()
        arrived(vault.sim)
        os.kill(busy.info.backend_pid, signal.SIGABRT)
        thread.join(10)
    vault.sim.faults([])
    deadline_s = time.monotonic() + 20
    while True:
        try:
            with psycopg.connect(vault.address, autocommit=True) as db:
                assert value(db, "select count(*) from customerio.campaigns") == 4
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline_s, "the server did not recover"
            time.sleep(0.1)
    reports = [line for line in vault.log().splitlines() if "was terminated by signal 6" in line]
    assert reports, "the server did not report the crash"


def test_the_log_at_debug5(vault: Vault) -> None:
    """Of all the tests above: this one is the last of the module."""
    log = vault.log()
    assert "DEBUG:" in log
    assert MARK in log
    assert "/v1/campaigns" in log
    lines = [line for line in log.splitlines() if holds_key(line)]
    assert lines == []


def test_nobody_came_to_the_proxy(vault: Vault) -> None:
    with pytest.raises(BlockingIOError):
        vault.proxy.accept()


def test_the_environment_of_a_backend_has_no_key(vault: Vault, root: Connection) -> None:
    value(root, "select count(*) from customerio.campaigns")
    root.execute("create temp table environment (line text); copy environment from program 'env'")
    lines = [row[0] for row in rows(root, "select line from environment")]
    assert any(line.startswith("HTTP_PROXY=http://127.0.0.1:") for line in lines)
    assert any(line.startswith("HOME=") for line in lines)
    assert not holds_key("\n".join(lines))
