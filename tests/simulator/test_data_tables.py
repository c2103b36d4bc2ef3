"""The made-up rows beside campaigns and messages: the same seed gives the same bytes, and they refer to each other."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import orjson
import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.data import make_workspace
from cio_fdw.simulator.world import World

NOW_S = 1_790_000_000
NAMES = (
    "activities", "broadcast_actions", "broadcasts", "campaign_actions", "campaigns", "collections", "messages",
    "newsletters", "segment_membership", "segments", "sender_identities", "snippets", "subscription_topics",
    "transactional_messages",
)  # fmt: skip
"""Tables with made-up rows. Those of another entry are its sample (cio_fdw/simulator/world.py)."""


@lru_cache(maxsize=4)
def tables(seed: int = 1, messages: int = 4000, campaigns: int = 40) -> dict[str, list[tuple[Any, object]]]:
    """All rows of a workspace, read in the order in which tables are loaded."""
    return {name: list(rows) for name, rows in make_workspace(seed, NOW_S, campaigns, messages).rows.items()}


def rows_of(name: str, **options: int) -> list[Any]:
    return [row for row, _ in tables(**options)[name]]


def test_every_endpoint_has_rows():
    assert tuple(sorted(tables())) == NAMES
    assert all(tables().values())
    world = World(ENDPOINTS, tables(), order="newest")
    assert sorted(world.views) == sorted(ENDPOINTS)
    assert all(len(view.table) for view in world.views.values())


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"subscription_topics"}))
def test_the_seed_decides_whatever_is_read_first(name):
    expected = orjson.dumps(rows_of(name))
    alone = [row for row, _ in make_workspace(1, NOW_S, 40, 4000).rows[name]]
    assert orjson.dumps(alone) == expected
    assert orjson.dumps(rows_of(name, seed=2)) != expected


def test_messages_are_the_same_when_activities_are_read_before_them():
    rows = make_workspace(1, NOW_S, 40, 4000).rows
    assert [row for row, _ in rows["activities"]] == rows_of("activities")
    assert [row for row, _ in rows["messages"]] == rows_of("messages")


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_unique_and_nothing_is_in_the_future(name):
    endpoint = ENDPOINTS[name]
    parent = endpoint.parent.column if endpoint.parent else ""
    own = [column for column in endpoint.key if column != parent]
    keys = [(key, *(row[column] for column in own)) for row, key in tables()[name]]
    assert len(set(keys)) == len(keys)
    times = [c.name for c in endpoint.columns if c.type == "timestamptz" and len(c.key_path) == 1]
    assert all((row.get(column) or 0) <= NOW_S for row in rows_of(name) for column in times)


def test_messages_refer_to_newsletters_and_their_contents():
    newsletters = {row["id"]: row for row in rows_of("newsletters")}
    for message in rows_of("messages"):
        if message["newsletter_id"] is not None:
            newsletter = newsletters[message["newsletter_id"]]
            assert message["content_id"] in newsletter["content_ids"]
            assert message["type"] == newsletter["type"]
            assert newsletter["sent_at"] <= message["created"]
    assert [row["send_state"] for row in newsletters.values() if row["sent_at"] is None] == ["drafted", "scheduled"]
    assert 30 <= len(newsletters) <= 70


def test_messages_refer_to_transactional_templates():
    templates = {row["id"] for row in rows_of("transactional_messages")}
    used = {row.get("transactional_message_id") for row in rows_of("messages")} - {None}
    assert used < templates


def test_actions_refer_to_senders():
    senders = {row["id"]: row for row in rows_of("sender_identities")}
    for action in rows_of("campaign_actions") + rows_of("broadcast_actions"):
        if action.get("from_id"):
            assert senders[action["from_id"]]["address"] == action["from"]
        assert action.get("reply_to_id") in {None, *senders}
        assert action.get("sender_identity_id") in {None, *senders}


def test_campaigns_and_newsletters_refer_to_segments_and_topics():
    segments = {row["id"] for row in rows_of("segments")}
    for campaign in rows_of("campaigns"):
        assert {*campaign.get("trigger_segment_ids", ()), *campaign.get("filter_segment_ids", ())} <= segments
    topics = {row["id"] for row in rows_of("subscription_topics")}
    for newsletter in rows_of("newsletters"):
        assert set(newsletter["recipient_segment_ids"]) <= segments
        assert newsletter.get("subscription_topic_id") in {None, *topics}


def test_broadcasts_have_none_to_four_actions_and_two_never_started():
    broadcasts = rows_of("broadcasts")
    assert sorted(len(row["actions"]) for row in broadcasts) == [0, 1, 1, 1, 2, 2, 3, 4]
    assert sorted(row.get("first_started", -1) for row in broadcasts)[:2] == [-1, 0]
    assert {row["state"] for row in broadcasts if not row.get("first_started")} == {"draft"}
    assert not {row["id"] for row in broadcasts} & {row["id"] for row in rows_of("campaigns")}
    ids = [row["id"] for row in rows_of("campaign_actions") + rows_of("broadcast_actions")]
    assert len(set(ids)) == len(ids)
    assert {key for row in rows_of("broadcast_actions") for key in row} & {"campaign_id", "parent_action_id"} == set()


def test_membership_has_a_long_tail_of_the_people_who_get_messages():
    sizes = Counter(segment for _, segment in tables()["segment_membership"])
    ranked = [count for _, count in sizes.most_common()]
    segments = {row["id"]: row for row in rows_of("segments")}
    assert set(segments) - set(sizes) == {21}
    assert ranked[0] > 10 * ranked[len(ranked) // 2] > 10 * ranked[-1] > 0
    everyone = {row["cio_id"]: row for row, segment in tables()["segment_membership"] if segment == 1}
    assert all(everyone[m["customer_identifiers"]["cio_id"]] == m["customer_identifiers"] for m in rows_of("messages"))
    assert any(row["id"] is None for row in everyone.values())
    assert any("email" not in row for row in everyone.values())


def test_segments_have_tags_or_none_and_one_is_being_built():
    segments = rows_of("segments")
    assert {type(row["tags"]) for row in segments} == {list, type(None)}
    assert {row["type"] for row in segments} == {"dynamic", "manual"}
    assert [row["progress"] for row in segments if row["state"] != "finished"] == [40]


def test_activities_cover_thirty_days_newest_first_and_their_ids_sort_by_time():
    activities = rows_of("activities")
    times_s = [row["timestamp"] for row in activities]
    assert len(activities) == 1500
    assert times_s == sorted(times_s, reverse=True)
    assert NOW_S - 30 * 86400 < times_s[-1] < NOW_S - 28 * 86400
    ids = [row["id"] for row in activities]
    assert sorted(ids, reverse=True) == ids
    assert {len(id_) for id_ in ids} == {26}


def test_activities_tell_of_messages_as_they_are():
    messages = {row["id"]: row for row in rows_of("messages")}
    told = [row for row in rows_of("activities") if "delivery_id" in row]
    assert len(told) > 300
    for row in told:
        message = messages[row["delivery_id"]]
        name = row["type"].rsplit("_" + message["type"], 1)[0]
        assert message["metrics"][name] == row["timestamp"]
        assert message["customer_identifiers"] == row["customer_identifiers"]
        assert row["data"]["delivery_id"] == message["id"]


def test_activities_are_of_known_people_and_of_many_types():
    people = {row["cio_id"]: row for row in rows_of("segment_membership")}
    activities = rows_of("activities")
    for row in activities:
        assert people[row["customer_identifiers"]["cio_id"]] == row["customer_identifiers"]
        assert row["customer_id"] == row["customer_identifiers"]["id"]
    kinds = Counter(row["type"] for row in activities)
    assert {"event", "attribute_change", "page", "screen", "sent_email", "delivered_email", "opened_email"} <= set(
        kinds
    )
    assert all(row["url"].endswith(row["name"]) for row in activities if row["type"] == "page")
    changes = [change for row in activities if row["type"] == "attribute_change" for change in row["data"].values()]
    assert all(set(change) == {"from", "to"} for change in changes)


def test_texts_hold_quotes_backslashes_and_other_scripts():
    texts = "".join(row["name"] + row["value"] for row in rows_of("snippets"))
    assert all(mark in texts for mark in ('"', "'", "\\", "\t", "挨", "👋", "€"))
    assert len(rows_of("snippets")) == 12
    assert "" in {row["value"] for row in rows_of("snippets")}


@pytest.mark.parametrize(("campaigns", "messages"), [(0, 0), (0, 30), (100, 10)])
def test_small_and_odd_sizes(campaigns, messages):
    assert len(rows_of("activities", campaigns=campaigns, messages=messages)) == 1500
    assert len(rows_of("broadcasts", campaigns=campaigns, messages=messages)) == 8
