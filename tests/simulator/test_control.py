"""The control side: log, figures, rows that change, latency, gzip, live messages."""

from __future__ import annotations

import threading
import time

import pytest

from cio_fdw.simulator.client import Simulator, SimulatorError

PATH = "/v1/messages"


def test_the_log_names_each_request(api, get):
    before_s = time.time()
    get(PATH, limit=3, campaign_id=7)
    get("/v1/campaigns/999999")
    first, second = api.log()
    assert (first["method"], first["path"], first["query"], first["status"]) == (
        "GET",
        PATH,
        "limit=3&campaign_id=7",
        200,
    )
    assert (second["path"], second["status"], second["query"]) == ("/v1/campaigns/999999", 404, "")
    assert first["connection"] == second["connection"], "one session keeps its connection"
    assert first["t"] < second["t"]
    assert before_s - 1 < first["epoch_s"] < time.time() + 1
    assert 0 <= first["ms"] < 5000


def test_latency_is_added_to_each_answer(api, get):
    api.set_latency(150)
    assert 0.15 <= get(PATH).elapsed.total_seconds() < 2
    api.set_latency(0)
    assert get(PATH).elapsed.total_seconds() < 0.15


def test_requests_wait_at_the_same_time(api, get):
    api.set_latency(300)
    threads = [threading.Thread(target=get, args=(PATH,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (api.stats()["max_in_flight"], api.stats()["in_flight"]) == (3, 0)


def test_data_of_messages_and_of_pages_agree(api, walk):
    kept = api.data("messages")
    pages = walk(PATH, "messages", start_ts=kept[0]["created"], end_ts=kept[0]["created"] + 170 * 86400, limit=999)
    assert pages == [row for row in reversed(kept) if row["created"] <= kept[0]["created"] + 170 * 86400]


def test_data_by_parent_names_the_parent(api):
    pairs = api.data_by_parent("campaign_actions")
    assert pairs
    assert all(parent == row["campaign_id"] for parent, row in pairs)
    assert [row for _, row in pairs] == api.data("campaign_actions")


def test_messages_are_added_touched_and_deleted(api, get, walk):
    now_s = int(time.time())
    before = len(walk(PATH, "messages", campaign_id=7, limit=1000))
    [row] = api.add_messages({"campaign_id": 7, "subject": "Hi", "created": now_s - 5, "metrics": {"sent": now_s - 4}})
    assert (row["campaign_id"], row["newsletter_id"], row["action_id"]) == (7, None, None)
    assert row["deduplicate_id"] == f"{row['id']}:{now_s - 4}"
    assert len(walk(PATH, "messages", campaign_id=7, limit=1000)) == before + 1
    assert row["id"] not in {r["id"] for r in walk(PATH, "messages", metric="clicked", limit=1000)}
    touched = api.touch(row["id"], {"subject": "Ho"}, clicked=now_s)
    assert (touched["subject"], touched["deduplicate_id"]) == ("Ho", f"{row['id']}:{now_s}")
    assert touched in walk(PATH, "messages", metric="clicked", limit=1000)
    assert api.delete(row["id"], "nope") == 1
    assert get(f"{PATH}/{row['id']}").status_code == 404
    assert len(walk(PATH, "messages", campaign_id=7, limit=1000)) == before


def test_messages_made_up_by_count_are_sent_now(api, walk):
    now_s = int(time.time())
    rows = api.add_messages(count=20)
    found = {row["id"] for row in walk(PATH, "messages", start_ts=now_s - 2, limit=1000)}
    assert {row["id"] for row in rows} <= found
    assert api.delete(*(row["id"] for row in rows)) == 20


def test_touching_a_missing_message_is_refused(api):
    with pytest.raises(SimulatorError, match="HTTP 400"):
        api.touch("nope", opened=1)


def test_unknown_tables_and_rows_are_refused(api):
    with pytest.raises(SimulatorError, match="HTTP 400"):
        api.data("nothing")
    with pytest.raises(SimulatorError, match="HTTP 404"):
        api.delete_row("campaigns", 424242)


def test_gzip_for_those_who_accept_it(session):
    with Simulator(messages=200, rate=0, gzip=True) as api:
        session.headers["Authorization"] = f"Bearer {api.key}"
        plain = session.get(api.url + PATH, headers={"Accept-Encoding": "identity"}, timeout=9)
        packed = session.get(api.url + PATH, headers={"Accept-Encoding": "gzip"}, timeout=9)
        small = session.get(api.url + f"{PATH}?limit=1", headers={"Accept-Encoding": "gzip"}, timeout=9)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.content == plain.content
    assert "content-encoding" not in small.headers


def test_live_messages_appear_and_their_metrics_land():
    with Simulator(messages=100, rate=0, live_per_minute=6000) as api:
        before = {row["id"]: row["deduplicate_id"] for row in api.data("messages")}
        seen: dict[str, set[str]] = {}
        for _ in range(10):
            time.sleep(0.25)
            for row in api.data("messages"):
                if row["id"] not in before:
                    seen.setdefault(row["id"], set()).add(row["deduplicate_id"])
                    assert row["created"] <= time.time()
    assert len(seen) > 20
    assert any(len(versions) > 1 for versions in seen.values())


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_the_order_option(session, order):
    with Simulator(messages=600, rate=0, order=order) as api:
        session.headers["Authorization"] = f"Bearer {api.key}"

        def page(start: str) -> dict:
            return session.get(f"{api.url}{PATH}?limit=100&start={start}", timeout=9).json()

        rows, start = [], ""
        while True:
            body = page(start)
            rows, start = rows + body["messages"], body["next"]
            if not start:
                break
        assert page("") == page("")
    times_s = [row["created"] for row in rows]
    assert len({row["id"] for row in rows}) == len(rows) > 400
    assert (times_s == sorted(times_s)) == (order == "oldest")
    assert (times_s == sorted(times_s, reverse=True)) == (order == "newest")
