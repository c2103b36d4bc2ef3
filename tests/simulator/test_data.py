"""The made-up workspace: the same seed gives the same bytes, and the figures are believable."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from cio_fdw.simulator.client import Simulator
from cio_fdw.simulator.data import make_workspace

NOW_S = 1_790_000_000


def rows_of(seed: int, table: str, messages: int = 500, now_s: int = NOW_S):
    return [row for row, _ in make_workspace(seed, now_s, 40, messages).rows[table]]


@pytest.fixture(scope="module")
def messages():
    return rows_of(1, "messages", 20000)


@pytest.mark.parametrize("table", ["campaigns", "campaign_actions", "messages"])
def test_the_same_seed_and_now_give_the_same_bytes(table):
    assert orjson.dumps(rows_of(7, table)) == orjson.dumps(rows_of(7, table))
    assert orjson.dumps(rows_of(7, table)) != orjson.dumps(rows_of(8, table))


def test_two_processes_give_the_same_bytes():
    with Simulator(messages=300, now=NOW_S, seed=5) as one, Simulator(messages=300, now=NOW_S, seed=5) as two:
        for table in ("campaigns", "campaign_actions", "messages"):
            assert one.data(table) == two.data(table)


def test_ids_are_unique(messages):
    assert len({row["id"] for row in messages}) == len(messages) == 20000
    actions = rows_of(1, "campaign_actions")
    assert len({row["id"] for row in actions}) == len(actions)


def test_about_six_and_a_half_months_and_nothing_in_the_future(messages):
    times_s = [row["created"] for row in messages]
    assert 195 * 86400 < NOW_S - min(times_s) <= 198 * 86400
    assert NOW_S - 86400 < max(times_s) <= NOW_S
    assert all(row["created"] <= at_s <= NOW_S for row in messages for at_s in row["metrics"].values())


def test_rates_are_believable(messages):
    emails = [row["metrics"] for row in messages if row["type"] == "email" and "drafted" not in row["metrics"]]
    delivered = sum("delivered" in metrics for metrics in emails)

    def per_cent(metric: str, of: int) -> float:
        return 100 * sum(metric in metrics for metrics in emails) / of

    assert 95 < per_cent("delivered", len(emails)) < 99
    assert 1 < per_cent("bounced", len(emails)) < 2
    assert 30 < per_cent("opened", delivered) < 40
    assert per_cent("human_opened", delivered) < per_cent("opened", delivered)
    assert 3 < per_cent("clicked", delivered) < 5.5
    assert 0.05 < per_cent("unsubscribed", delivered) < 0.4


def test_failures_have_a_reason_and_only_they(messages):
    failures = {"bounced", "dropped", "failed", "undeliverable"}
    for row in messages:
        assert not (failures & set(row["metrics"])) or row["failure_message"]
    assert sum(bool(row["failure_message"]) for row in messages) < len(messages) * 0.03


def test_weekdays_are_busier_than_weekends_and_days_than_nights(messages):
    everyday = [row["created"] for row in messages if row["newsletter_id"] is None]
    weekdays = Counter((at_s // 86400 + 3) % 7 for at_s in everyday)
    hours = Counter(at_s % 86400 // 3600 for at_s in everyday)
    assert max(weekdays[5], weekdays[6]) < min(weekdays[day] for day in range(5))
    assert sum(hours[h] for h in range(5)) < sum(hours[h] for h in range(9, 14)) / 5


def test_newsletters_go_out_as_blasts(messages):
    newsletter = Counter(row["newsletter_id"] for row in messages if row["newsletter_id"]).most_common(1)[0][0]
    times_s = [row["created"] for row in messages if row["newsletter_id"] == newsletter]
    assert len(times_s) > 20
    assert max(times_s) - min(times_s) < 3600


def test_messages_have_one_source_and_campaign_messages_an_action(messages):
    actions = {row["id"]: row for row in rows_of(1, "campaign_actions")}
    for row in messages:
        sources = (row["campaign_id"], row["newsletter_id"], row.get("transactional_message_id"))
        assert sum(source is not None for source in sources) == 1
        if row["campaign_id"] is not None:
            action = actions[row["action_id"]]
            assert (action["campaign_id"], action["type"]) == (row["campaign_id"], row["type"])


def test_people_have_a_long_tail_and_some_lack_an_id_or_email(messages):
    people = Counter(row["customer_identifiers"]["cio_id"] for row in messages)
    assert people.most_common(1)[0][1] > 50 * min(people.values())
    identifiers = [row["customer_identifiers"] for row in messages]
    assert any(ids["id"] is None for ids in identifiers)
    assert any("email" not in ids for ids in identifiers)
    assert any("email" in ids and ids["email"] is None for ids in identifiers)


def test_texts_hold_quotes_backslashes_and_other_scripts(messages):
    subjects = "".join({row["subject"] or "" for row in messages})
    assert all(mark in subjects for mark in ('"', "'", "\\", "¿", "新", "🎂"))
    assert "{name}" not in subjects
    assert "{{customer" not in subjects
    assert any('"' in row["name"] for row in rows_of(1, "campaigns"))


def test_campaigns_have_one_to_fourteen_actions_and_some_need_two_pages():
    sizes = [len(row["actions"]) for row in rows_of(1, "campaigns")]
    assert min(sizes) == 1
    assert 12 <= max(sizes) <= 14
    assert len(rows_of(2, "campaigns")[0]["actions"]) == 12, "whatever the seed, the first one does"


@pytest.mark.parametrize(("campaigns", "messages"), [(0, 0), (0, 50), (1, 1), (100, 10)])
def test_small_and_odd_sizes(campaigns, messages):
    workspace = make_workspace(3, NOW_S, campaigns, messages)
    assert len(list(workspace.rows["messages"])) == messages
    assert len(list(workspace.rows["campaigns"])) == campaigns
