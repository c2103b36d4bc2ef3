"""Odd answers of the API, end to end: the right row, or an error that names table, column and record."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Endpoint
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, refused, rows, server_option

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CREATED_S = int(time.time()) - 9 * 86400
BEYOND = 2**53 + 1
MESSAGE = (
    "select {} from customerio.messages where created between now() - interval '10 days' and now() - interval '8 days'"
)
WHOLE_LISTS = [endpoint for endpoint in ENDPOINTS.values() if not (endpoint.parent or endpoint.window)]


def answer(sim: Simulator, path: str, body: Any) -> None:
    """The API's answer to every request of `path`: JSON, or the text itself."""
    action = {"kind": "body", "text": body} if isinstance(body, str) else {"kind": "body", "json": body}
    sim.faults([{"match": {"path": path}, "times": None, "action": action}])


def message(sim: Simulator, **fields: Any) -> None:
    record = {"id": "x", "created": CREATED_S, "metrics": {}, **fields}
    answer(sim, "/v1/messages", {"messages": [record], "next": ""})


def test_unknown_keys_are_kept_in_raw(db: Connection, sim: Simulator) -> None:
    message(sim, brand_new={"deep": [1, {"a": None}]}, type="email")
    assert rows(db, MESSAGE.format("type, raw->'brand_new', raw->>'type'")) == [
        ("email", {"deep": [1, {"a": None}]}, "email")
    ]


@pytest.mark.parametrize("endpoint", WHOLE_LISTS, ids=lambda endpoint: endpoint.name)
def test_records_without_any_key_are_rows_of_nulls(db: Connection, sim: Simulator, endpoint: Endpoint) -> None:
    answer(sim, endpoint.path, {endpoint.rows_key: [{}]})
    own = ["page", "next_page"] if endpoint.by_page else []
    names = [column.name for column in endpoint.columns if column.name not in own]
    if endpoint.by_page:
        db.execute("import foreign schema customerio limit to (activities_by_page) from server customerio into pg_temp")
    schema = "pg_temp" if endpoint.by_page else "customerio"
    columns = ", ".join(f'"{name}"' for name in names)
    found = rows(db, f"select {columns}, raw from {schema}.{endpoint.name}")
    assert found == [(*([None] * len(names)), {})]


@pytest.mark.parametrize("endpoint", WHOLE_LISTS, ids=lambda endpoint: endpoint.name)
def test_null_in_every_column(db: Connection, sim: Simulator, endpoint: Endpoint) -> None:
    """Also of jsonb: SQL's null, not JSON's; raw tells the two apart."""
    if endpoint.by_page:
        pytest.skip("has the records of activities")
    answer(sim, endpoint.path, {endpoint.rows_key: [dict.fromkeys(endpoint.sample[endpoint.rows_key][0])]})
    columns = ", ".join(f'"{column.name}" is null' for column in endpoint.columns)
    assert rows(db, f"select {columns} from customerio.{endpoint.name}") == [(True,) * len(endpoint.columns)]


def test_lists_that_are_null(db: Connection, sim: Simulator) -> None:
    answer(sim, "/v1/segments/1/membership", {"identifiers": None, "ids": None, "next": ""})
    assert rows(db, "select * from customerio.segment_membership where segment_id = 1") == []
    answer(sim, "/v1/collections", {"collections": None})
    assert rows(db, "select * from customerio.collections") == []


@pytest.mark.parametrize(
    ("column", "fields", "told"),
    [
        ("sent", {"metrics": {"sent": "yesterday"}}, "text where a whole number belongs"),
        ("sent", {"metrics": {"sent": 10**15}}, "a time beyond the year 5138"),
        ("campaign_id", {"campaign_id": 1.5}, "a fraction where a whole number belongs"),
        ("campaign_id", {"campaign_id": {"id": 7}}, "an object where a whole number belongs"),
        ("campaign_id", {"campaign_id": True}, "true or false where a number belongs"),
        ("campaign_id", {"campaign_id": 2**63}, "a number beyond bigint"),
        ("forgotten", {"forgotten": "perhaps"}, "text where true or false belongs"),
    ],
)
def test_a_value_that_cannot_be_meant(
    db: Connection, sim: Simulator, column: str, fields: dict[str, Any], told: str
) -> None:
    message(sim, **fields)
    with refused("HV000") as caught:
        rows(db, MESSAGE.format(column))
    assert f"table messages, column {column}, record id x: the API sent {told}" in str(caught.value)
    assert rows(db, MESSAGE.format("id, raw is not null")) == [("x", True)]


def test_numbers_beyond_2_to_the_53_keep_every_digit(db: Connection, sim: Simulator) -> None:
    message(sim, campaign_id=BEYOND, action_id=str(BEYOND), newsletter_id=2**63 - 1)
    assert rows(db, MESSAGE.format("campaign_id, action_id, newsletter_id, raw->>'campaign_id'")) == [
        (BEYOND, BEYOND, 2**63 - 1, str(BEYOND))
    ]
    answer(sim, f"/v1/campaigns/{BEYOND}", {"campaign": {"id": BEYOND, "name": "far"}})
    found = rows(db, f"select name from customerio.campaigns where id = {BEYOND}")
    assert (found, asked(sim)[-1]) == ([("far",)], f"/v1/campaigns/{BEYOND}")


def test_times_of_zero(db: Connection, sim: Simulator) -> None:
    """Zero is 1970, but where the API writes it for "never"."""
    answer(sim, "/v1/campaigns", {"campaigns": [{"id": 1, "created": 0, "updated": "0", "first_started": 0}]})
    assert rows(db, "select created, updated, first_started from customerio.campaigns") == [(EPOCH, EPOCH, None)]


def test_a_text_where_a_list_belongs(db: Connection, sim: Simulator) -> None:
    answer(sim, "/v1/broadcasts", {"broadcasts": [{"id": 1, "tags": "nil"}, {"id": 2, "tags": []}]})
    assert rows(db, "select id, tags from customerio.broadcasts order by id") == [(1, ["nil"]), (2, [])]


def test_lone_surrogates_and_nuls(db: Connection, sim: Simulator) -> None:
    texts = r'"subject": "a\ud800b\udc00", "recipient": "n\u0000l", "type": "\ud83d\ude00"'
    answer(sim, "/v1/messages", f'{{"messages": [{{"id": "x", "created": {CREATED_S}, {texts}}}], "next": ""}}')
    (found,) = rows(db, MESSAGE.format("subject, recipient, type, raw->>'subject', raw->>'recipient'"))
    assert found == ("a\ufffdb\ufffd", "nl", "\U0001f600", "a\ufffdb\ufffd", "nl")


def test_a_body_of_five_megabytes(db: Connection, sim: Simulator) -> None:
    text = "Grüße 😀 " * 500_000
    message(sim, body=text)
    assert rows(db, MESSAGE.format("length(raw->>'body'), md5(raw->>'body') = md5(repeat('Grüße 😀 ', 500000))")) == [
        (len(text), True)
    ]


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", '{"campaigns": [', "null", "[]", '"campaigns"', "7"])
def test_bodies_that_are_no_answer(db: Connection, sim: Simulator, body: str) -> None:
    answer(sim, "/v1/campaigns", body)
    with server_option(db, "max_retries", "0"), refused("HV000") as caught:
        rows(db, "select id from customerio.campaigns")
    assert "GET /v1/campaigns" in str(caught.value)
    assert caught.value.diag.message_hint


@pytest.mark.parametrize("record", [7, "text", [1], True, None])
def test_records_that_are_none(db: Connection, sim: Simulator, record: Any) -> None:
    answer(sim, "/v1/campaigns", json.dumps({"campaigns": [{"id": 1}, record]}))
    with refused("HV000") as caught:
        rows(db, "select id from customerio.campaigns")
    assert "campaigns" in str(caught.value)


def test_ids_that_the_api_refuses_as_malformed_have_no_rows(db: Connection, sim: Simulator) -> None:
    """2^63 - 1 fits bigint but is refused with a 400; that of a smaller id is an error, as ever."""
    for table, column in (
        ("campaigns", "id"),
        ("campaign_actions", "campaign_id"),
        ("segment_membership", "segment_id"),
    ):
        sim.reset()
        assert rows(db, f"select * from customerio.{table} where {column} = {2**63 - 1}") == []
        assert len(asked(sim)) == 1
    refusal = {"kind": "status", "status": 400, "body": '{"errors":[{"detail":"invalid id","status":"400"}]}'}
    sim.faults([{"match": {"path": "/v1/campaigns/7"}, "times": None, "action": refusal}])
    for query in ("select id from customerio.campaigns where id = 7",
                  "select id from customerio.campaign_actions where campaign_id = 7"):  # fmt: skip
        with refused("HV000"):
            rows(db, query)
