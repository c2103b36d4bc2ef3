"""OBSERVED.md, everywhere and campaign actions: one test for each fact."""

from __future__ import annotations

import base64

import pytest


@pytest.fixture
def long_campaign(api):
    """The id of a campaign whose actions need two pages."""
    return next(row["id"] for row in api.data("campaigns") if len(row["actions"]) > 10)


def test_campaigns_come_in_one_response_without_next(api, get):
    body = get("/v1/campaigns").json()
    assert list(body) == ["campaigns"]
    assert body["campaigns"] == api.data("campaigns")
    assert len(body["campaigns"]) == 40


@pytest.mark.parametrize("name", ["limit", "start", "sort"])
def test_paging_parameters_do_nothing_on_campaigns(get, name):
    assert get("/v1/campaigns", **{name: "1"}).content == get("/v1/campaigns").content


def test_every_trigger_kind_with_its_fields(api):
    campaigns = api.data("campaigns")
    fields = {
        "segment": "trigger_segment_ids",
        "event": "event_name",
        "form": "filter_segment_ids",
        "date": "date_attribute",
        "object": "object_type_id",
        "relationship": "audience",
        "webhook": "webhook_id",
    }
    assert {row["type"] for row in campaigns} == set(fields)
    assert all(fields[row["type"]] in row for row in campaigns)
    assert {row["state"] for row in campaigns} == {"running", "draft", "stopped"}


def test_the_actions_inside_a_campaign_are_stubs(api):
    for campaign in api.data("campaigns"):
        assert all(set(action) == {"id", "type"} for action in campaign["actions"])


def test_one_campaign(api, get):
    row = api.data("campaigns")[3]
    assert get(f"/v1/campaigns/{row['id']}").json() == {"campaign": row}


def test_a_missing_campaign_is_a_structured_404(get):
    for path in ("/v1/campaigns/999999", "/v1/campaigns/999999/actions"):
        response = get(path)
        [error] = response.json()["errors"]
        assert (response.status_code, error["status"]) == (404, "404")
        assert error["detail"].startswith("not found (reference ")


def test_a_malformed_campaign_id_is_refused(get):
    assert get("/v1/campaigns/seven").status_code == get("/v1/campaigns/seven/actions").status_code == 400


def test_a_list_of_actions_that_fits_has_no_next(api, get):
    for size in (1, 10):
        campaign = next(row for row in api.data("campaigns") if len(row["actions"]) == size)
        body = get(f"/v1/campaigns/{campaign['id']}/actions").json()
        assert (list(body), len(body["actions"])) == (["actions"], size)


def test_actions_come_ten_a_page_and_the_last_has_no_next(api, get, walk, long_campaign):
    path = f"/v1/campaigns/{long_campaign}/actions"
    first = get(path).json()
    assert len(first["actions"]) == 10
    last = get(path, start=first["next"]).json()
    assert list(last) == ["actions"]
    rows = [row for row in api.data("campaign_actions") if row["campaign_id"] == long_campaign]
    assert walk(path, "actions") == rows == first["actions"] + last["actions"]


def test_limit_is_ignored_on_actions(get, long_campaign):
    path = f"/v1/campaigns/{long_campaign}/actions"
    assert get(path, limit=3).content == get(path).content == get(path, limit="many").content


def test_start_is_validated_on_actions(api, get, long_campaign):
    other = next(row["id"] for row in api.data("campaigns") if row["id"] != long_campaign)
    path = f"/v1/campaigns/{long_campaign}/actions"
    assert get(path, start="garbage").status_code == 400
    foreign = get(path).json()["next"]
    assert get(f"/v1/campaigns/{other}/actions", start=foreign).status_code == 400


def test_actions_are_the_full_form_of_the_stubs(api):
    stubs = {(c["id"], a["id"]): a["type"] for c in api.data("campaigns") for a in c["actions"]}
    assert {(a["campaign_id"], a["id"]): a["type"] for a in api.data("campaign_actions")} == stubs
    types = {"email", "push", "in_app", "twilio", "slack", "whatsapp", "webhook"}
    assert set(stubs.values()) == types


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/messages/", "/v1/nothing", "/v2/messages", "/v1/campaigns/1/x"])
def test_an_unrouted_path_is_a_plain_404(get, path):
    response = get(path)
    assert (response.status_code, response.text) == (404, "404 page not found")
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("key", [None, "Bearer wrong", "wrong", "Basic dGVzdC1rZXk=", "Bearer", "bearer test-key2"])
def test_a_wrong_key_is_401_with_the_structured_body(api, session, key):
    session.headers["Authorization"] = key
    response = session.get(api.url + "/v1/campaigns", timeout=20)
    assert response.status_code == 401
    assert response.json() == {"errors": [{"detail": "unauthorized", "status": "401"}]}


def test_only_get_is_routed(api, session):
    assert session.post(api.url + "/v1/campaigns", timeout=20).status_code == 404


def test_a_deleted_campaign_takes_its_actions_along(api, get):
    api.put_rows("campaigns", [{"id": 5000, "name": "Gone soon", "actions": [{"id": 1, "type": "email"}]}])
    api.put_rows("campaign_actions", [{"id": 1, "campaign_id": 5000, "type": "email"}])
    assert [row["id"] for row in get("/v1/campaigns/5000/actions").json()["actions"]] == [1]
    api.delete_campaign(5000)
    assert get("/v1/campaigns/5000/actions").status_code == 404
    assert 5000 not in {row["campaign_id"] for row in api.data("campaign_actions")}


def test_an_action_token_is_base64_without_padding(get, long_campaign):
    token = get(f"/v1/campaigns/{long_campaign}/actions").json()["next"]
    assert base64.b64decode(token + "=" * (-len(token) % 4)) == b"10:%d" % long_campaign
