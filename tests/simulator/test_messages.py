"""OBSERVED.md, messages: one test for each fact."""

from __future__ import annotations

import base64
import time

import pytest

from cio_fdw.simulator.api import months_before

PATH = "/v1/messages"


def token(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


def ids(response) -> list[str]:
    return [row["id"] for row in response.json()["messages"]]


def test_bounds_are_inclusive_whole_seconds_on_created(api, get):
    at_s = int(time.time()) - 40 * 86400
    rows = api.add_messages(*({"created": at_s + offset} for offset in (-1, 0, 1, 2, 3)))
    try:
        found = ids(get(PATH, start_ts=at_s, end_ts=at_s + 2))
        assert {row["id"] for row in rows[1:4]} <= set(found)
        assert not {rows[0]["id"], rows[4]["id"]} & set(found)
    finally:
        api.delete(*(row["id"] for row in rows))


def test_bounds_test_created_not_the_metrics(api, get):
    at_s = int(time.time()) - 50 * 86400
    [row] = api.add_messages({"created": at_s, "metrics": {"sent": at_s + 5000, "delivered": at_s + 6000}})
    assert row["id"] in ids(get(PATH, start_ts=at_s, end_ts=at_s))
    assert row["id"] not in ids(get(PATH, start_ts=at_s + 4000, end_ts=at_s + 7000, limit=1000))
    api.delete(row["id"])


def test_a_wide_window_is_narrowed_to_its_latest_six_months(api, walk):
    now_s = int(time.time())
    rows = walk(PATH, "messages", start_ts=now_s - 2 * 365 * 86400, end_ts=now_s, limit=1000)
    oldest_s = min(row["created"] for row in api.data("messages"))
    kept_s = months_before(now_s, 6)
    assert oldest_s < kept_s <= min(row["created"] for row in rows)
    assert len(rows) == sum(kept_s <= row["created"] <= now_s for row in api.data("messages"))


def test_no_bounds_give_the_latest_six_months(walk):
    now_s = int(time.time())
    wide = walk(PATH, "messages", start_ts=1, end_ts=now_s, limit=1000)
    assert [row["id"] for row in walk(PATH, "messages", limit=1000)] == [row["id"] for row in wide]


def test_only_a_start_ends_now_and_is_narrowed_then(walk):
    everything = walk(PATH, "messages", limit=1000)
    assert walk(PATH, "messages", start_ts=1, limit=1000) == everything


def test_only_an_end_gives_the_six_months_before_it(api, walk):
    end_s = int(time.time()) - 120 * 86400
    rows = walk(PATH, "messages", end_ts=end_s, limit=1000)
    assert {row["id"] for row in rows} == {row["id"] for row in api.data("messages") if row["created"] <= end_s}


def test_rows_older_than_six_months_come_when_the_window_is_theirs(api, walk):
    oldest_s = min(row["created"] for row in api.data("messages"))
    assert walk(PATH, "messages", start_ts=oldest_s, end_ts=oldest_s)


def test_an_inverted_window_is_empty(get):
    now_s = int(time.time())
    assert get(PATH, start_ts=now_s, end_ts=now_s - 10).json() == {"messages": [], "next": ""}


def test_the_default_page_has_50_rows(get):
    assert len(ids(get(PATH))) == 50


@pytest.mark.parametrize("limit", [1001, 5000])
def test_a_limit_above_1000_is_answered_200_with_1000_rows(get, limit):
    response = get(PATH, limit=limit)
    assert (response.status_code, len(ids(response))) == (200, 1000)


def test_tokens_are_base64_of_v20_and_the_offset(get):
    assert get(PATH, limit=7).json()["next"] == token("v20:7")
    assert get(PATH, limit=7, start=token("v20:7")).json()["next"] == token("v20:14")


@pytest.mark.parametrize(
    "bad", ["x", "%%%", "djIwOjUw=", token("v20:-1"), token("v21:50"), token("v20:"), token("v20:050"), token("v20:5 ")]
)
def test_a_malformed_token_is_refused(get, bad):
    response = get(PATH, start=bad)
    assert response.status_code == 400
    assert response.json()["errors"][0]["status"] == "400"


def test_a_token_of_another_endpoint_is_refused(api, get):
    campaign = next(row for row in api.data("campaigns") if len(row["actions"]) > 10)
    path = f"/v1/campaigns/{campaign['id']}/actions"
    foreign = get(path).json()["next"]
    assert get(PATH, start=foreign).status_code == 400
    assert get(path, start=token("v20:10")).status_code == 400
    assert get(PATH, start=token("50")).status_code == get(PATH, start=token("0:50")).status_code == 400


def test_the_last_page_has_an_empty_next(get):
    total = len(get(PATH, limit=1000, type="in_app").json()["messages"])
    assert total > 3
    last = get(PATH, limit=total - 1, type="in_app", start=token(f"v20:{total - 1}")).json()
    assert (len(last["messages"]), last["next"]) == (1, "")


def test_a_list_that_just_fills_its_page_ends_there(get):
    total = len(get(PATH, limit=1000, type="in_app").json()["messages"])
    assert get(PATH, limit=total, type="in_app").json()["next"] == ""


@pytest.mark.parametrize("beyond", [0, 1, 10**6])
def test_a_token_past_the_end_restarts_at_page_one_with_its_next(get, beyond):
    total = len(get(PATH, limit=1000, type="in_app").json()["messages"])
    first = get(PATH, limit=3, type="in_app")
    assert first.json()["next"] == token("v20:3")
    assert get(PATH, limit=3, type="in_app", start=token(f"v20:{total + beyond}")).json() == first.json()


def test_an_empty_list_is_an_empty_list(get):
    assert get(PATH, campaign_id=999999).json() == {"messages": [], "next": ""}


def test_paging_is_by_offset_over_the_live_set(api, get):
    now_s = int(time.time())
    params = {"start_ts": now_s - 30 * 86400, "limit": 5}
    first = get(PATH, **params)
    [added] = api.add_messages({"created": now_s})
    second = get(PATH, **params, start=first.json()["next"])
    api.delete(added["id"])
    assert ids(second)[0] == ids(first)[-1], "newest first: a new row pushes the last one to the next page"


def test_a_window_that_ends_in_the_past_is_frozen(api, get):
    params = {"end_ts": int(time.time()) - 86400, "limit": 5}
    first = get(PATH, **params)
    before = ids(get(PATH, **params, start=first.json()["next"]))
    rows = api.add_messages(count=3)
    assert ids(get(PATH, **params, start=first.json()["next"])) == before
    api.delete(*(row["id"] for row in rows))


def test_the_order_is_stable_from_call_to_call(get):
    assert ids(get(PATH, limit=1000)) == ids(get(PATH, limit=1000))


def test_rows_carry_msg_template_id_and_the_undeclared_transactional_id(api):
    rows = api.data("messages")
    assert all(isinstance(row["msg_template_id"], int) and "message_template_id" not in row for row in rows)
    assert any("transactional_message_id" in row for row in rows)
    assert any("transactional_message_id" not in row for row in rows)


def test_metrics_hold_only_what_happened_with_open_link_keys(api):
    rows = api.data("messages")
    assert all(isinstance(at_s, int) and at_s > 0 for row in rows for at_s in row["metrics"].values())
    keys = {key for row in rows for key in row["metrics"]}
    assert {"sent", "delivered", "opened", "human_opened", "clicked", "bounced", "link:1", "human_link:1"} <= keys


def test_deduplicate_id_is_the_newest_metric_and_moves_forward(api, get):
    rows = api.data("messages")
    for row in rows:
        assert row["deduplicate_id"] == f"{row['id']}:{max(row['metrics'].values(), default=row['created'])}"
    now_s = int(time.time())
    row = api.touch(rows[0]["id"], opened=now_s)
    assert row["deduplicate_id"] == f"{row['id']}:{now_s}"
    assert get(f"{PATH}/{row['id']}").json()["message"] == row


def test_drafts_are_given_instead_of_the_sent_rows(api, walk):
    drafts, sent = walk(PATH, "messages", drafts="true", limit=1000), walk(PATH, "messages", limit=1000)
    assert drafts
    assert all("drafted" in row["metrics"] for row in drafts)
    assert not any("drafted" in row["metrics"] for row in sent)
    assert not {row["id"] for row in drafts} & {row["id"] for row in sent}


@pytest.mark.parametrize("column", ["campaign_id", "newsletter_id", "action_id", "type"])
def test_filters_give_exactly_the_rows_with_that_value(walk, column):
    everything = walk(PATH, "messages", limit=1000)
    value = next(row[column] for row in everything if row[column] is not None)
    assert walk(PATH, "messages", limit=1000, **{column: value}) == [r for r in everything if r[column] == value]


def test_filters_and_a_window_combine(walk):
    everything = walk(PATH, "messages", limit=1000)
    newest = next(row for row in everything if row["campaign_id"] and row["type"] == "email")
    params = {"campaign_id": newest["campaign_id"], "type": "email", "metric": "delivered"}
    params |= {"start_ts": newest["created"] - 20 * 86400, "end_ts": newest["created"]}
    assert walk(PATH, "messages", limit=3, **params) == [
        row
        for row in everything
        if (row["campaign_id"], row["type"]) == (newest["campaign_id"], "email")
        and params["start_ts"] <= row["created"] <= params["end_ts"]
        and "delivered" in row["metrics"]
    ]


def test_metric_selects_rows_in_which_it_happened_at_all(walk):
    rows = walk(PATH, "messages", metric="sent", limit=1000)
    assert any("opened" in row["metrics"] for row in rows)
    assert len(rows) == sum("sent" in row["metrics"] for row in walk(PATH, "messages", limit=1000))


@pytest.mark.parametrize("unknown", ["sort", "broadcast_id", "customer_id", "get_tracked_responses", "page"])
def test_unknown_parameters_are_ignored_with_200(get, unknown):
    response = get(PATH, **{unknown: "7"})
    assert response.status_code == 200
    assert response.json() == get(PATH).json()


@pytest.mark.parametrize(
    "params", [{"limit": "many"}, {"start_ts": "2026-01-01"}, {"campaign_id": "x"}, {"type": "pigeon"}, {"metric": "x"}]
)
def test_malformed_values_are_refused(get, params):
    assert get(PATH, **params).status_code == 400


def test_one_message_by_id(api, get):
    row = next(row for row in api.data("messages") if row["id"].endswith("="))
    assert get(f"{PATH}/{row['id']}").json() == {"message": row}
    assert get(f"{PATH}/{row['id'].replace('=', '%3D')}").json() == {"message": row}


def test_a_missing_message_is_a_structured_404(get):
    response = get(f"{PATH}/nope=")
    [error] = response.json()["errors"]
    assert (response.status_code, error["status"]) == (404, "404")
    assert error["detail"].startswith("not found (reference ")
