"""OBSERVED.md, newsletters and segment membership; NOTES.md, activities: one test for each fact."""

from __future__ import annotations

import base64

import pytest

NEWSLETTERS = "/v1/newsletters"
ACTIVITIES = "/v1/activities"
EVERYONE, PAYING, EMPTY = 1, 2, 21


def token(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


def text_of(token_: str) -> str:
    return base64.b64decode(token_ + "=" * (-len(token_) % 4)).decode()


def members(segment: int) -> str:
    return f"/v1/segments/{segment}/membership"


def test_newsletters_hand_out_next_with_the_last_row_and_then_an_empty_page(api, get):
    rows = api.data("newsletters")
    body = get(NEWSLETTERS, limit=100).json()
    assert body["newsletters"] == rows
    assert text_of(body["next"]) == str(len(rows))
    assert get(NEWSLETTERS, limit=100, start=body["next"]).json() == {"newsletters": [], "next": ""}


def test_limit_works_on_newsletters_and_a_token_is_base64_of_the_offset(api, get, walk):
    body = get(NEWSLETTERS, limit=7).json()
    assert (len(body["newsletters"]), text_of(body["next"])) == (7, "7")
    assert walk(NEWSLETTERS, "newsletters", limit=7) == api.data("newsletters")


def test_newsletters_far_past_the_end_are_empty_and_do_not_restart(get):
    assert get(NEWSLETTERS, start=token("500000")).json() == {"newsletters": [], "next": ""}


def test_membership_has_ids_and_segment_id_beside_the_rows(api, get):
    body = get(members(EVERYONE)).json()
    assert list(body) == ["identifiers", "ids", "segment_id", "next"]
    assert body["identifiers"] == [row for segment, row in api.data_by_parent("segment_membership") if segment == 1]
    assert body["ids"] == [row["id"] or "" for row in body["identifiers"]]
    assert "" in body["ids"], "people without an id"
    assert (body["segment_id"], body["next"]) == (EVERYONE, "")


def test_limit_works_on_membership_and_a_token_is_base64_of_zero_and_the_offset(get, walk):
    body = get(members(EVERYONE), limit=40).json()
    assert (len(body["identifiers"]), len(body["ids"]), text_of(body["next"])) == (40, 40, "0:40")
    everyone = get(members(EVERYONE)).json()["identifiers"]
    assert walk(members(EVERYONE), "identifiers", limit=40) == everyone
    assert len({row["cio_id"] for row in everyone}) == len(everyone)


def test_membership_pages_have_1000_rows_unless_asked_and_30001_is_answered(api, get):
    people = [{"id": f"p-{n}", "cio_id": f"ff{n:06d}"} for n in range(1003)]
    api.put_rows("segments", [{"id": 900, "name": "Big"}])
    api.put_rows("segment_membership", people, parent=900)
    try:
        body = get(members(900)).json()
        assert (len(body["identifiers"]), text_of(body["next"])) == (1000, "0:1000")
        for limit in (30000, 30001):
            whole = get(members(900), limit=limit)
            assert whole.status_code == 200
            assert (len(whole.json()["identifiers"]), whole.json()["next"]) == (1003, "")
    finally:
        api.delete_row("segments", 900)


def test_empty_membership_is_null(get):
    expected = {"identifiers": None, "ids": None, "segment_id": EMPTY, "next": ""}
    assert get(members(EMPTY)).json() == expected


def test_a_token_of_another_segment_gives_null_lists(get):
    foreign = get(members(EVERYONE), limit=13).json()["next"]
    expected = {"identifiers": None, "ids": None, "segment_id": PAYING, "next": ""}
    assert get(members(PAYING), start=foreign).json() == expected
    own = get(members(PAYING), limit=13).json()["next"]
    assert get(members(PAYING), start=own).json()["identifiers"]


def test_a_malformed_membership_token_and_a_missing_segment_are_refused(get):
    assert get(members(EVERYONE), start="garbage").status_code == 400
    assert "errors" in get(members(999)).json()


def test_a_deleted_segment_takes_its_members_along(api, get):
    api.put_rows("segments", [{"id": 901, "name": "Gone soon"}])
    api.put_rows("segment_membership", [{"id": "p", "cio_id": "ff01"}], parent=901)
    assert get(members(901)).json()["ids"] == ["p"]
    api.delete_row("segments", 901)
    assert get(members(901)).status_code == 404
    assert 901 not in {segment for segment, _ in api.data_by_parent("segment_membership")}


@pytest.mark.parametrize(("limit", "size"), [(None, 10), (3, 3), (100, 100), (101, 100)])
def test_activities_come_ten_a_page_and_at_most_a_hundred(get, limit, size):
    params = {} if limit is None else {"limit": limit}
    assert len(get(ACTIVITIES, **params).json()["activities"]) == size


def test_the_last_page_of_activities_has_an_empty_next(api, walk, get):
    rows = api.data("activities")[::-1]
    assert walk(ACTIVITIES, "activities", limit=100) == rows
    assert get(ACTIVITIES, type="no such type").json() == {"activities": [], "next": ""}


@pytest.mark.parametrize("kind", ["event", "attribute_change", "page", "sent_email"])
def test_activities_of_one_type(api, walk, kind):
    expected = [row for row in api.data("activities")[::-1] if row["type"] == kind]
    assert expected
    assert walk(ACTIVITIES, "activities", type=kind, limit=100) == expected


def test_the_name_of_activities_is_of_an_event_or_of_a_changed_attribute(api, walk):
    rows = api.data("activities")[::-1]
    events = walk(ACTIVITIES, "activities", name="order_placed", limit=100)
    assert events == [row for row in rows if row.get("name") == "order_placed"]
    changes = walk(ACTIVITIES, "activities", name="plan", limit=100)
    assert changes == [row for row in rows if row["type"].endswith("attribute_change") and "plan" in row["data"]]
    assert events
    assert changes


def test_activities_of_one_person_by_each_kind_of_identifier(api, walk):
    rows = api.data("activities")[::-1]
    person = next(
        r["customer_identifiers"] for r in rows if r["customer_id"] and r["customer_identifiers"].get("email")
    )
    expected = [row for row in rows if row["customer_identifiers"]["cio_id"] == person["cio_id"]]

    def found(**params: str):
        return walk(ACTIVITIES, "activities", limit=100, **params)

    assert found(customer_id=person["id"]) == found(customer_id=person["id"], id_type="id") == expected
    assert found(customer_id=person["email"], id_type="email") == expected
    assert found(customer_id=f"cio_{person['cio_id']}", id_type="cio_id") == expected
    assert found(customer_id=person["cio_id"], id_type="cio_id") == [], "without the prefix"
    assert found(customer_id=person["email"]) == [], "id_type is id when absent"
    assert found(customer_id=person["id"], type="event") == [row for row in expected if row["type"] == "event"]


def test_a_wrong_id_type_is_refused(get):
    assert get(ACTIVITIES, customer_id="u-1", id_type="phone").status_code == 400


def test_no_list_takes_the_token_of_another(api, get):
    paths = {
        "/v1/messages": {},
        NEWSLETTERS: {},
        ACTIVITIES: {},
        members(EVERYONE): {},
        "/v1/sender_identities": {"hidden": "true"},
    }
    for path, params in paths.items():
        following = get(path, limit=2, **params).json()["next"]
        for other, others_params in paths.items():
            status = get(other, start=following, **others_params).status_code
            assert status == (200 if other == path else 400), (path, other)
