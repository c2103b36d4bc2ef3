"""Bad input and bad answers: one clear error with SQLSTATE and hint, at CREATE time where possible."""

from __future__ import annotations

import re
import socket

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, refused, rows, server_option, value

SERVER = "create server s foreign data wrapper cio_fdw"
IMPORT = "import foreign schema customerio"


@pytest.mark.parametrize(
    ("statement", "sqlstate", "says", "hint"),
    [
        (f"{SERVER} options (regoin 'eu')", "HV00D", "regoin", 'meant "region"'),
        (f"{SERVER} options (app_api_key 'k')", "HV00D", "app_api_key", "user mapping"),
        (f"{SERVER} options (region 'mars')", "HV024", "mars", "us"),
        (f"{SERVER} options (base_url 'http://api.example.com')", "HV024", "https", "https"),
        (f"{SERVER} options (timeout '-1')", "HV024", "0.1", "wait"),
        (f"{SERVER} options (region 'eu', base_url 'https://x.io')", "HV024", "exclude", "one"),
        ("alter server customerio options (add max_concurrency 'many')", "HV024", "many", "under way"),
        ("create foreign table t (id bigint) server customerio options (regoin 'eu')", "HV00D", "regoin", "endpoint"),
        ("create user mapping for public server customerio options (key 'k')", "HV00D", "key", "app_api_key"),
        ("create foreign data wrapper w validator cio_fdw_validator options (x '1')", "HV00D", "x", "none"),
        ("create foreign table t (id bigint options (x '1')) server customerio", "HV00D", "x", "none"),
        ("import foreign schema other from server customerio into public", "HV00Q", "other", "customerio"),
        (f"{IMPORT} limit to (nope) from server customerio into public", "HV00R", "nope", "messages"),
        (f"{IMPORT} from server customerio into public options (x '1')", "HV00D", "x", "no options"),
    ],
)  # fmt: skip
def test_refused_when_created(db: Connection, statement: str, sqlstate: str, says: str, hint: str) -> None:
    with refused(sqlstate) as caught:
        db.execute(statement)
    assert says in (caught.value.diag.message_primary or "")
    assert hint in (caught.value.diag.message_hint or "")


@pytest.mark.parametrize(
    ("definition", "refusal"),
    [
        ("(id bigint, nmae text) server customerio options (endpoint 'campaigns')", ("HV005", "nmae", "DROP COLUMN")),
        ("(id text) server customerio options (endpoint 'campaigns')", ("HV004", "text", "TYPE bigint")),
        ("(id integer) server customerio options (endpoint 'campaigns')", ("HV004", "integer", "TYPE bigint")),
        ("(id bigint) server customerio options (endpoint 'campains')", ("HV00R", "campains", "campaigns")),
        ("(id bigint) server customerio", ("HV00R", "odd", "campaigns")),
    ],
)
def test_a_wrong_table_is_refused_when_used(
    db: Connection, sim: Simulator, definition: str, refusal: tuple[str, str, str]
) -> None:
    sqlstate, says, hint = refusal
    db.execute(f"create foreign table pg_temp.odd {definition}")
    for query in ("select id from pg_temp.odd", "explain select * from pg_temp.odd"):
        with refused(sqlstate) as caught:
            db.execute(query)
        assert says in (caught.value.diag.message_primary or "")
        assert hint in (caught.value.diag.message_hint or "")
    assert asked(sim) == []


def test_wrong_key_names_both_causes_and_not_the_key(db: Connection, sim: Simulator) -> None:
    db.execute("alter user mapping for current_user server customerio options (set app_api_key 'wrong-key-123')")
    try:
        with refused("28000") as caught:
            rows(db, "select id from customerio.campaigns where id > 3")
    finally:
        db.execute(f"alter user mapping for current_user server customerio options (set app_api_key '{sim.key}')")
    diagnostic = caught.value.diag
    assert re.fullmatch(
        r"cio_fdw: GET /v1/campaigns \(table campaigns\) was refused: bad App API key or wrong region: "
        r"HTTP 401, attempt 1 of 6, after \d\.\d s",
        diagnostic.message_primary or "",
    )
    assert "region" in (diagnostic.message_hint or "")
    assert "wrong-key-123" not in str(caught.value)
    assert len(asked(sim)) == 1


def test_no_user_mapping(db: Connection, sim: Simulator) -> None:
    db.execute("create role no_mapping")
    try:
        db.execute("grant usage on schema customerio to no_mapping; grant select on customerio.campaigns to no_mapping")
        db.execute("set role no_mapping")
        with refused("28000") as caught:
            rows(db, "select id from customerio.campaigns")
        assert 'CREATE USER MAPPING FOR CURRENT_USER SERVER "customerio"' in (caught.value.diag.message_hint or "")
        assert rows(db, "explain select id from customerio.campaigns")
    finally:
        db.execute("reset role; drop owned by no_mapping; drop role no_mapping")
    assert asked(sim) == []


def test_a_mapping_without_a_key(db: Connection) -> None:
    db.execute("create role keyless; create user mapping for keyless server customerio")
    try:
        db.execute("grant usage on schema customerio to keyless; grant select on customerio.campaigns to keyless")
        db.execute("set role keyless")
        with refused("28000") as caught:
            rows(db, "select id from customerio.campaigns")
        assert "ALTER USER MAPPING" in (caught.value.diag.message_hint or "")
    finally:
        db.execute(
            "reset role; drop user mapping for keyless server customerio; drop owned by keyless; drop role keyless"
        )


def test_a_view_uses_the_mapping_of_its_owner(db: Connection, sim: Simulator) -> None:
    db.execute("create view public.shared as select id from customerio.campaigns; create role reader")
    try:
        db.execute("grant select on public.shared to reader; set role reader")
        assert len(rows(db, "select id from public.shared")) == len(sim.data("campaigns"))
    finally:
        db.execute("reset role; drop view public.shared; drop role reader")


def test_key_files_are_for_the_privileged(db: Connection) -> None:
    db.execute("create role plain; grant usage on foreign server customerio to plain; set role plain")
    try:
        with refused("HV024") as caught:
            db.execute("create user mapping for plain server customerio options (app_api_key_file '/etc/hostname')")
        assert "pg_read_server_files" in (caught.value.diag.message_hint or "")
    finally:
        db.execute("reset role; drop owned by plain; drop role plain")


def test_unreachable_host(db: Connection) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with server_option(db, "base_url", url), server_option(db, "max_retries", "0"), refused("08006") as caught:
        rows(db, "select id from customerio.campaigns")
    assert "attempt 1 of 1" in str(caught.value)
    assert "refused" in (caught.value.diag.message_detail or "").lower()


def test_hanging_api_ends_at_timeout(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "action": {"kind": "hang"}}])
    with server_option(db, "timeout", "0.4"), server_option(db, "max_retries", "0"), refused("08001") as caught:
        rows(db, "select id from customerio.campaigns")
    assert "timed out" in str(caught.value)


def test_an_error_in_mid_scan_is_an_error(db: Connection, sim: Simulator) -> None:
    sim.faults(
        [{"match": {"path": "/v1/messages", "param": {"start": ""}}, "action": {"kind": "status", "status": 500}}]
    )
    with server_option(db, "max_retries", "0"), refused("08006"):
        rows(db, "select id from customerio.messages")
    sim.faults([])
    assert value(db, "select count(*) from customerio.messages") > 2000


def test_an_error_of_one_child_is_an_error(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns/3/actions"}, "action": {"kind": "status", "status": 403}}])
    with refused("42501") as caught:
        rows(db, "select id from customerio.campaign_actions")
    assert "GET /v1/campaigns/3/actions (table campaign_actions)" in str(caught.value)


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
        {"kind": "reset"},
        {"kind": "cut", "bytes": 100},
        {"kind": "bad_json"},
    ],
    ids=["503", "429", "reset", "cut", "bad_json"],
)
def test_a_passing_fault_is_retried_without_losing_or_doubling_rows(
    db: Connection, sim: Simulator, action: dict[str, object]
) -> None:
    expected = value(db, "select count(*) from customerio.messages")
    sim.reset()
    sim.faults([{"match": {"path": "/v1/messages", "nth": 2}, "times": 1, "action": action}])
    found = rows(db, "select count(*), count(distinct id) from customerio.messages")
    assert found == [(expected, expected)]
    pages = len(asked(sim))
    sim.reset()
    value(db, "select count(*) from customerio.messages")
    assert pages == len(asked(sim)) + 1


def test_a_looping_cursor_is_an_error(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "loop"}}])
    with refused("HV000") as caught:
        rows(db, "select id from customerio.messages")
    assert "leads back to an earlier page" in str(caught.value)
    assert len(asked(sim)) < 10


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({"kind": "html"}, "is not the JSON it should be"),
        ({"kind": "drop_rows_key"}, 'has no key "campaigns"'),
        ({"kind": "redirect", "location": "http://127.0.0.1:1/"}, "redirect"),
    ],
    ids=["html", "drop_rows_key", "redirect"],
)
def test_unusable_answers(db: Connection, sim: Simulator, action: dict[str, object], says: str) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "action": action}])
    with server_option(db, "max_retries", "0"), refused("HV000") as caught:
        rows(db, "select id from customerio.campaigns")
    assert says in str(caught.value)
    assert caught.value.diag.message_hint


def test_null_rows_are_no_rows(db: Connection, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "action": {"kind": "null_rows"}}])
    assert rows(db, "select id from customerio.campaigns") == []


def test_a_wrong_value_names_table_column_and_record(db: Connection, sim: Simulator) -> None:
    body = {"campaigns": [{"id": 1, "name": "a"}, {"id": 2, "created": "yesterday"}]}
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    assert rows(db, "select id, name from customerio.campaigns") == [(1, "a"), (2, None)]
    with refused("HV000") as caught:
        rows(db, "select id, created from customerio.campaigns")
    assert "table campaigns, column created, record id 2" in str(caught.value)
    assert "yesterday" not in str(caught.value)


def test_numbers_as_text_and_text_as_numbers(db: Connection, sim: Simulator) -> None:
    body = {
        "campaigns": [{"id": "9007199254740993", "name": 12, "created": "1767225600", "active": "true", "tags": [1]}]
    }
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    query = "select id, name, extract(epoch from created)::bigint, active, tags from customerio.campaigns"
    assert rows(db, query) == [(9007199254740993, "12", 1767225600, True, ["1"])]


def test_nul_characters_are_dropped_with_one_notice(db: Connection, sim: Simulator) -> None:
    notices: list[str] = []
    db.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    body = {"campaigns": [{"id": 1, "name": "a\0b"}, {"id": 2, "name": "\0"}]}
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "body", "json": body}}])
    found = rows(db, "select name, raw->>'name' from customerio.campaigns order by id")
    assert found == [("ab", "ab"), ("", "")]
    assert len(notices) == 1
    assert "NUL" in notices[0]


def test_writing_is_refused(db: Connection) -> None:
    for statement in (
        "insert into customerio.campaigns (id) values (1)",
        "update customerio.campaigns set name = 'x'",
        "delete from customerio.campaigns",
    ):
        with refused("0A000"):
            db.execute(statement)


def test_a_wrong_path_is_an_error_and_not_an_empty_table(db: Connection, sim: Simulator) -> None:
    with server_option(db, "base_url", f"{sim.url}/api"):
        for query in (
            "select id from customerio.campaigns",
            "select id from customerio.campaigns where id = 1",
            "select id from customerio.campaign_actions where campaign_id = 1",
        ):
            with refused("HV00R") as caught:
                rows(db, query)
            assert "base_url" in (caught.value.diag.message_hint or "")
