"""What is read: rows by their ids, children by their parents, as many pages as a LIMIT needs."""

from __future__ import annotations

import time

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.client import Simulator
from tests.sql.days import ONE_DAY
from tests.sql.helpers import Connection, asked, params, rows, server_option, value


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


def test_children_of_named_parents(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.campaign_actions where campaign_id = 1 limit 1")
    assert asked(sim) == ["/v1/campaigns/1/actions"]
    sim.reset()
    rows(db, "select id from customerio.campaign_actions where campaign_id in (2, 1, 2, null, -5)")
    first_pages = [target for target in asked(sim) if "?" not in target]
    assert sorted(first_pages) == ["/v1/campaigns/1/actions", "/v1/campaigns/2/actions"]


def test_children_of_all_parents(db: Connection, sim: Simulator) -> None:
    sim.set_latency(30)
    rows(db, "select id from customerio.campaign_actions where id > 0")
    sim.set_latency(0)
    campaigns = [row["id"] for row in sim.data("campaigns")]
    targets = asked(sim)
    assert targets[0] == "/v1/campaigns"
    first_pages = [target for target in targets[1:] if "?" not in target]
    assert sorted(first_pages) == sorted(f"/v1/campaigns/{id_}/actions" for id_ in campaigns)
    assert 1 < sim.stats()["max_in_flight"] <= 3


def test_a_parent_that_is_gone_has_no_rows(db: Connection, sim: Simulator) -> None:
    assert rows(db, "select id from customerio.campaign_actions where campaign_id = 999999") == []
    assert asked(sim) == ["/v1/campaigns/999999/actions"]


def test_conditions_on_other_columns_of_children_do_not_narrow_the_parents(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.campaign_actions where type = 'email' and campaign_id > 1")
    assert len([target for target in asked(sim) if "?" not in target]) == 1 + len(sim.data("campaigns"))


def test_limit_five_is_one_request(db: Connection, sim: Simulator) -> None:
    assert len(rows(db, "select id from customerio.messages limit 5")) == 5
    assert len(asked(sim)) == 1
    sim.reset()
    assert len(rows(db, "select id from customerio.messages limit 5 offset 10")) == 5
    assert len(asked(sim)) == 1


def test_limit_under_a_filter_of_postgresql_loses_no_rows(db: Connection, sim: Simulator) -> None:
    newest_first = sorted(sim.data("messages"), key=lambda row: -row["created"])
    rare = next(row["id"] for row in newest_first[1500:])
    assert rows(db, "select id from customerio.messages where id || '' = %s limit 1", [rare]) == [(rare,)]
    assert len(asked(sim)) >= 2


def test_order_by_is_not_trusted_to_the_api(db: Connection, sim: Simulator) -> None:
    newest = max(row["created"] for row in sim.data("messages"))
    assert (
        value(db, "select extract(epoch from created)::bigint from customerio.messages order by created desc limit 1")
        == newest
    )
    oldest_first = [row[0] for row in rows(db, "select created from customerio.messages order by created")]
    assert oldest_first == sorted(oldest_first)


def test_page_size_option(db: Connection, sim: Simulator) -> None:
    db.execute("create foreign table pg_temp.small (id text, created timestamptz) server customerio "
               "options (endpoint 'messages', page_size '100')")  # fmt: skip
    assert len(rows(db, f"select id from pg_temp.small where {ONE_DAY}")) > 0
    assert {params(target)["limit"] for target in asked(sim)} == {"100"}


def test_planning_and_explain_ask_nothing(db: Connection, sim: Simulator) -> None:
    db.execute("explain select * from customerio.messages where created > now() - interval '1 day'")
    db.execute("explain (verbose) select * from customerio.campaign_actions")
    db.execute("prepare q as select * from customerio.messages")
    assert asked(sim) == []


@pytest.mark.parametrize(
    "table",
    [
        "campaigns",
        "broadcasts",
        "newsletters",
        "transactional_messages",
        "segments",
        "collections",
        "sender_identities",
    ],
)
def test_one_row_by_its_id(db: Connection, sim: Simulator, table: str) -> None:
    path = ENDPOINTS[table].path
    id_ = sim.data(table)[0]["id"]
    assert rows(db, f"select id from customerio.{table} where id = {id_}") == [(id_,)]
    assert asked(sim) == [f"{path}/{id_}"]
    sim.reset()
    assert rows(db, f"select id from customerio.{table} where id = 987654") == []
    assert asked(sim) == [f"{path}/987654"]
    sim.reset()
    assert (id_,) in rows(db, f"select id from customerio.{table} where id + 0 = {id_} or id > 0")
    assert all(target.partition("?")[0] == path for target in asked(sim))


def test_a_one_row_read_is_checked_by_the_other_conditions(db: Connection, sim: Simulator) -> None:
    id_ = sim.data("campaigns")[0]["id"]
    assert rows(db, f"select id from customerio.campaigns where id = {id_} and name is null") == []
    assert asked(sim) == [f"/v1/campaigns/{id_}"]


def test_a_message_by_its_id_comes_from_the_list(db: Connection, sim: Simulator) -> None:
    """The read by id only tells the second: it also answers for drafts, which the table does not hold."""
    message = sim.data("messages")[-1]
    second = f"start_ts={message['created']}&end_ts={message['created']}&limit=1000"
    assert rows(db, "select id from customerio.messages where id = %s", [message["id"]]) == [(message["id"],)]
    assert asked(sim) == [f"/v1/messages/{message['id']}", f"/v1/messages?{second}"]


def test_a_draft_is_no_message_and_a_message_no_draft(db: Connection, sim: Simulator) -> None:
    draft, message = sim.data("message_drafts")[-1], sim.data("messages")[-1]
    query = "select id from customerio.{} where id = %s"
    assert rows(db, query.format("messages"), [draft["id"]]) == []
    assert rows(db, query.format("message_drafts"), [draft["id"]]) == [(draft["id"],)]
    assert rows(db, query.format("message_drafts"), [message["id"]]) == []
    assert len(asked(sim)) == 6


def test_a_message_that_is_not_there_costs_one_request(db: Connection, sim: Simulator) -> None:
    assert rows(db, "select id from customerio.messages where id = 'nope'") == []
    assert asked(sim) == ["/v1/messages/nope"]


def test_a_message_by_id_is_left_to_the_list_where_that_is_fewer_requests(db: Connection, sim: Simulator) -> None:
    message = sim.data("messages")[-1]
    query = "select id from customerio.messages where id = %s and created = to_timestamp(%s)"
    assert rows(db, query, [message["id"], message["created"]]) == [(message["id"],)]
    assert len(asked(sim)) == 1


def test_new_messages_that_are_named_come_once(db: Connection, sim: Simulator) -> None:
    """Rows may still come into being in their seconds, which are read nevertheless one by one."""
    now_s = int(time.time())
    ids = [row["id"] for row in sim.add_messages(*({"created": now_s - ago} for ago in (0, 0, 1, 2)))]
    with server_option(db, "cache_ttl", "1000"):
        found = rows(db, "select id from customerio.messages where id = any (%s) order by id", [ids])
    assert found == sorted((id_,) for id_ in ids)
    seconds = [params(target) for target in asked(sim) if target.startswith("/v1/messages?")]
    assert sorted(int(second["start_ts"]) for second in seconds) == [now_s - 2, now_s - 1, now_s]
    assert all(second["end_ts"] == second["start_ts"] for second in seconds)
    sim.delete(*ids)
