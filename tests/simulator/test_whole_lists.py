"""OBSERVED.md, everywhere, actions, sender_identities and segments: lists that come whole, and reads of one row."""

from __future__ import annotations

import pytest

WHOLE = {
    "broadcasts": ("/v1/broadcasts", "broadcasts"),
    "campaigns": ("/v1/campaigns", "campaigns"),
    "collections": ("/v1/collections", "collections"),
    "segments": ("/v1/segments", "segments"),
    "snippets": ("/v1/snippets", "snippets"),
    "subscription_topics": ("/v1/subscription_topics", "topics"),
    "transactional_messages": ("/v1/transactional", "messages"),
}
ONE = {
    "broadcasts": ("/v1/broadcasts", "broadcast"),
    "collections": ("/v1/collections", "collection"),
    "newsletters": ("/v1/newsletters", "newsletter"),
    "segments": ("/v1/segments", "segment"),
    "sender_identities": ("/v1/sender_identities", "sender_identity"),
    "transactional_messages": ("/v1/transactional", "message"),
}


@pytest.mark.parametrize("table", sorted(WHOLE))
def test_a_whole_list_has_its_own_envelope_key_and_no_next(api, get, table):
    path, rows_key = WHOLE[table]
    body = get(path).json()
    assert body == {rows_key: api.data(table)}
    assert len(body[rows_key]) > 1


@pytest.mark.parametrize("table", sorted(WHOLE))
@pytest.mark.parametrize("param", ["limit", "start", "sort"])
def test_paging_parameters_do_nothing_on_a_whole_list(get, table, param):
    path, _ = WHOLE[table]
    assert get(path, **{param: "1"}).content == get(path, **{param: "desc"}).content == get(path).content


@pytest.mark.parametrize("table", sorted(ONE))
def test_one_row_under_its_own_key(api, get, table):
    path, key = ONE[table]
    for row in api.data(table)[:3]:
        assert get(f"{path}/{row['id']}").json() == {key: row}


@pytest.mark.parametrize("table", sorted(ONE))
def test_a_missing_row_is_a_structured_404(get, table):
    response = get(f"{ONE[table][0]}/999999")
    [error] = response.json()["errors"]
    assert (response.status_code, error["status"]) == (404, "404")
    assert error["detail"].startswith("not found (reference ")


@pytest.mark.parametrize("path", ["/v1/snippets/footer", "/v1/subscription_topics/1", "/v1/activities/01J"])
def test_snippets_topics_and_activities_have_no_read_of_one(get, path):
    assert get(path).text == "404 page not found"


@pytest.mark.parametrize(("table", "empty"), [("collections", b"null"), ("snippets", b"[]")])
def test_an_empty_list_of_collections_is_null_and_others_are_not(api, get, table, empty):
    path, rows_key = WHOLE[table]
    rows = api.data(table)
    key = "id" if table == "collections" else "name"
    for row in rows:
        api.delete_row(table, row[key])
    try:
        assert get(path).content == b'{"%s":%s}' % (rows_key.encode(), empty)
    finally:
        api.put_rows(table, rows)
    assert api.data(table) == rows


def test_broadcast_actions_that_fit_have_no_next_and_ignore_limit(api, get):
    sizes = set()
    for broadcast in api.data("broadcasts"):
        path = f"/v1/broadcasts/{broadcast['id']}/actions"
        body = get(path).json()
        assert list(body) == ["actions"]
        assert [{"id": a["id"], "type": a["type"]} for a in body["actions"]] == broadcast["actions"]
        assert get(path, limit=1).content == get(path).content
        sizes.add(len(body["actions"]))
    assert min(sizes) == 0, "one has none"
    assert max(sizes) == 4


def test_start_is_validated_on_broadcast_actions(api, get):
    assert get(f"/v1/broadcasts/{api.data('broadcasts')[0]['id']}/actions", start="garbage").status_code == 400


def test_actions_of_a_missing_broadcast_are_a_structured_404(api, get):
    assert "errors" in get("/v1/broadcasts/999999/actions").json()
    campaign = api.data("campaigns")[0]["id"]
    assert get(f"/v1/broadcasts/{campaign}/actions").status_code == 404, "a campaign is no broadcast"


def test_a_deleted_broadcast_takes_its_actions_along(api, get):
    api.put_rows("broadcasts", [{"id": 7000, "name": "Gone soon"}])
    api.put_rows("broadcast_actions", [{"id": 1, "broadcast_id": 7000, "type": "email"}])
    assert len(get("/v1/broadcasts/7000/actions").json()["actions"]) == 1
    api.delete_row("broadcasts", 7000)
    assert get("/v1/broadcasts/7000/actions").status_code == 404
    assert 7000 not in {row["broadcast_id"] for row in api.data("broadcast_actions")}


def test_hidden_senders_come_only_with_hidden_true(api, get, walk):
    path = "/v1/sender_identities"
    everyone = walk(path, "sender_identities", hidden="true")
    assert everyone == api.data("sender_identities")
    assert sum(row["hidden"] for row in everyone) == 2
    shown = [row for row in everyone if not row["hidden"]]
    assert walk(path, "sender_identities") == walk(path, "sender_identities", hidden="false") == shown


def test_senders_come_in_pages(get, walk):
    path = "/v1/sender_identities"
    first = get(path, hidden="true", limit=4).json()
    assert len(first["sender_identities"]) == 4
    last = get(path, hidden="true", limit=4, start=first["next"]).json()
    assert (len(last["sender_identities"]), last["next"]) == (2, "")


def test_segments_have_timestamps_that_end_in_at_and_campaigns_and_broadcasts_do_not(api):
    for row in api.data("segments"):
        assert {"created_at", "updated_at"} <= set(row)
        assert "created" not in row
    for row in api.data("campaigns") + api.data("broadcasts"):
        assert {"created", "updated"} <= set(row)
        assert "created_at" not in row
    for row in api.data("subscription_topics") + api.data("sender_identities"):
        assert not {"created", "created_at", "updated", "updated_at"} & set(row)


def test_keys_that_the_description_lacks(api):
    assert all(row["trigger_name"] for row in api.data("transactional_messages"))
    assert {"conditions" in row for row in api.data("segments")} == {True, False}


def test_drafts_are_rows_of_messages_that_messages_does_not_show(api, get, walk):
    drafts = walk("/v1/messages", "messages", drafts="true", limit=1000)
    assert drafts
    listed = {row["id"] for row in api.data("message_drafts")}
    assert {row["id"] for row in drafts} <= listed
    assert not listed & {row["id"] for row in walk("/v1/messages", "messages", limit=1000)}
    assert get(f"/v1/messages/{drafts[0]['id']}").json() == {"message": drafts[0]}
