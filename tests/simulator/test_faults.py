"""Each kind of fault, as a client meets it, and which requests a rule hits."""

from __future__ import annotations

import json
import socket
import time
import zlib
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest
import requests

from cio_fdw.simulator.client import SimulatorError
from cio_fdw.simulator.faults import KINDS

PATH = "/v1/messages"


@pytest.fixture
def fault(api):
    """fault("status", status=503) sets one rule for the next request."""

    def fault(kind, match=None, times=1, **fields):
        api.faults([{"match": match or {}, "times": times, "action": {"kind": kind, **fields}}])

    return fault


def raw_answer(api, path: str, timeout_s: float = 5.0) -> tuple[bytes, str]:
    """Everything that one plain socket receives, and how it ended: fin, rst or timeout."""
    url = urlsplit(api.url)
    received = b""
    with socket.create_connection((url.hostname, url.port), timeout_s) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n\r\n".encode())
        try:
            while chunk := sock.recv(65536):
                received += chunk
        except ConnectionResetError:
            return received, "rst"
        except OSError:
            return received, "timeout"
    return received, "fin"


def test_status_with_the_default_body(fault, get):
    fault("status", status=503)
    response = get(PATH)
    assert response.status_code == 503
    assert response.json() == {"errors": [{"detail": "simulated 503", "status": "503"}]}
    assert get(PATH).status_code == 200


def test_status_with_body_and_headers(fault, get):
    fault("status", status=429, body={"odd": True}, headers={"Retry-After": "7"})
    response = get(PATH)
    assert (response.status_code, response.json(), response.headers["Retry-After"]) == (429, {"odd": True}, "7")
    fault("status", status=502, body="<html>Bad gateway")
    assert (get(PATH).text, get(PATH).status_code) == ("<html>Bad gateway", 200)


def test_hang_never_answers(fault, api):
    fault("hang")
    received, end = raw_answer(api, PATH, timeout_s=0.5)
    assert (received, end) == (b"", "timeout")
    deadline_s = time.monotonic() + 3
    while api.stats()["in_flight"] and time.monotonic() < deadline_s:
        time.sleep(0.02)
    [entry] = api.log()
    assert entry["status"] is None
    assert 400 < entry["ms"] < 3000, "it ends when the client goes away"


def test_reset_sends_rst_before_any_header(fault, api):
    fault("reset")
    assert raw_answer(api, PATH) == (b"", "rst")


@pytest.mark.parametrize(("end", "expected"), [(None, "rst"), ("fin", "fin")])
def test_cut_promises_more_than_it_sends(fault, api, get, end, expected):
    whole = get(PATH).content
    fault("cut", bytes=100, **({"end": end} if end else {}))
    received, how = raw_answer(api, PATH)
    head, body = received.split(b"\r\n\r\n", 1)
    assert how == expected
    assert body == whole[:100]
    assert b"content-length: %d" % len(whole) in head.lower()


def test_cut_never_sends_the_whole_body(fault, api):
    fault("cut", bytes=10**9)
    received, how = raw_answer(api, PATH)
    assert how == "rst"
    with pytest.raises(ValueError, match=r".*"):
        json.loads(received.split(b"\r\n\r\n", 1)[1])


def test_a_client_sees_a_cut_as_an_error(fault, get):
    fault("cut", bytes=100)
    with pytest.raises(requests.RequestException):
        get(PATH)


def test_drip_sends_the_body_slowly(fault, get):
    size = len(get(PATH, limit=1).content)
    fault("drip", bytes_per_s=size * 2)
    started_s = time.monotonic()
    assert len(get(PATH, limit=1).content) == size
    assert 0.4 < time.monotonic() - started_s < 3


def test_slow_headers_wait_before_the_first_byte(fault, get):
    fault("slow_headers", seconds=0.4)
    response = get(PATH)
    assert response.status_code == 200
    assert 0.4 <= response.elapsed.total_seconds() < 3


def test_html(fault, get):
    fault("html")
    response = get(PATH)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!doctype html>")


def test_redirect(fault, get):
    fault("redirect", location="http://127.0.0.1:9/elsewhere")
    response = get(PATH)
    assert (response.status_code, response.headers["location"]) == (302, "http://127.0.0.1:9/elsewhere")


def test_bad_json_is_whole_as_http_and_broken_as_json(fault, get):
    whole = get(PATH).content
    fault("bad_json", bytes=77)
    response = get(PATH)
    assert response.content == whole[:77]
    assert response.headers["content-length"] == "77"
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_loop_repeats_next(fault, get):
    fault("loop", times=None)
    first = get(PATH, limit=5).json()["next"]
    assert get(PATH, limit=5, start=first).json()["next"] == first


def test_empty_with_next(fault, get):
    fault("empty_with_next")
    body = get(PATH, type="in_app", limit=1000).json()
    assert body["messages"] == []
    assert body["next"]


def test_hollow_pages_lose_nothing(fault, get):
    whole = get(PATH, limit=1000).json()["messages"]
    fault("hollow", times=None)
    first = get(PATH, limit=1000).json()
    second = get(PATH, limit=1000, start=first["next"]).json()
    assert (first["messages"], second["messages"]) == ([], [])
    assert first["next"] != second["next"]
    fault("hollow", match={"path": "nothing"})
    assert get(PATH, limit=1000, start=second["next"]).json()["messages"] == whole


def test_restart_answers_page_one_to_every_cursor(fault, get):
    first = get(PATH, limit=5).json()
    fault("restart")
    assert get(PATH, limit=5, start=first["next"]).json() == first


def test_headers_of_the_true_answer(fault, get):
    fault("headers", headers={"Content-Type": "text/plain", "X-Odd": "1"})
    answer = get(PATH, limit=5)
    assert (answer.headers["Content-Type"], answer.headers["X-Odd"]) == ("text/plain", "1")
    assert len(answer.json()["messages"]) == 5


def test_gzip_good_and_damaged(fault, get, api):
    fault("gzip")
    answer = get(PATH, limit=5)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.json()["messages"]) == 5
    fault("gzip", damage="garbage")
    with pytest.raises(requests.exceptions.ContentDecodingError):
        get(PATH, limit=5)
    fault("gzip", damage="cut")
    received, end = raw_answer(api, f"{PATH}?limit=50", 1.0)
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert not zlib.decompressobj(31).decompress(body).endswith(b"}")
    assert end == "timeout"


def test_skew_moves_the_clock_of_the_api(fault, get, api):
    hour_s = 3600
    ahead = api.add_messages({"created": int(time.time()) + hour_s})[0]["id"]
    try:
        assert ahead not in {row["id"] for row in get(PATH, limit=50).json()["messages"]}
        fault("skew", seconds=2 * hour_s)
        answer = get(PATH, limit=1000)
        assert ahead in {row["id"] for row in answer.json()["messages"]}
        shown_s = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
        assert shown_s == pytest.approx(2 * hour_s, abs=3)
    finally:
        api.delete(ahead)


def test_null_rows(fault, get):
    fault("null_rows")
    assert get("/v1/campaigns").json() == {"campaigns": None}


def test_drop_rows_key(fault, get):
    fault("drop_rows_key")
    body = get(PATH, limit=5).json()
    assert list(body) == ["next"]


def test_body(fault, get):
    fault("body", json={"messages": [{"id": 5}], "next": ""})
    assert get(PATH).json() == {"messages": [{"id": 5}], "next": ""}
    fault("body", text='{"messages": [NaN')
    assert get(PATH).text == '{"messages": [NaN'


def test_every_kind_is_tested_here():
    tested = {name[len("test_") :] for name in globals() if name.startswith("test_")}
    assert all(any(name.startswith(kind) for name in tested) for kind in KINDS)


def test_path_and_nth_and_times(api, get):
    match = {"path": "/actions$", "nth": 2}
    api.faults([{"match": match, "times": 2, "action": {"kind": "status", "status": 500}}])
    assert get("/v1/campaigns").status_code == 200
    assert [get("/v1/campaigns/1/actions").status_code for _ in range(5)] == [200, 500, 500, 200, 200]


def test_param(api, get):
    match = {"param": {"campaign_id": "7", "start": ""}}
    api.faults([{"match": match, "times": None, "action": {"kind": "status", "status": 500}}])
    assert get(PATH, campaign_id=7).status_code == 200
    assert get(PATH, campaign_id=8, start="djIwOjE").status_code == 200
    assert get(PATH, campaign_id=7, start="djIwOjE").status_code == 500


def test_fresh_hits_each_target_once(api, get):
    api.faults([{"match": {"fresh": True}, "times": None, "action": {"kind": "status", "status": 503}}])
    asked = [get(PATH, limit=limit).status_code for limit in (1, 1, 2, 2, 1)]
    assert asked == [503, 200, 503, 200, 200]


def test_chance_hits_a_share(api, get):
    api.faults([{"match": {"chance": 0.5}, "times": None, "action": {"kind": "status", "status": 503}}])
    assert {get("/v1/topics").status_code for _ in range(60)} >= {503}
    api.faults([{"match": {"chance": 0}, "times": None, "action": {"kind": "status", "status": 503}}])
    assert 503 not in {get("/v1/topics").status_code for _ in range(20)}


def test_the_first_rule_that_hits_decides_and_all_count(api, get):
    rules = [
        {"match": {"nth": nth}, "action": {"kind": "status", "status": status}} for nth, status in ((1, 500), (2, 502))
    ]
    api.faults(rules)
    assert [get(PATH).status_code for _ in range(3)] == [500, 502, 200]


def test_reset_clears_faults_and_log(api, get):
    api.faults([{"times": None, "action": {"kind": "status", "status": 500}}])
    assert get(PATH).status_code == 500
    api.reset()
    assert api.log() == []
    assert get(PATH).status_code == 200


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({}, "a JSON list"),
        ([{"action": {"kind": "explode"}}], "no fault kind 'explode'; there are: bad_json, body"),
        ([{"action": {"kind": "status"}}], "fault status needs status"),
        ([{"action": {"kind": "hang", "seconds": 3}}], "has no field 'seconds'"),
        (
            [{"match": {"paht": "x"}, "action": {"kind": "hang"}}],
            "match has no field 'paht'; there are: path, nth, param",
        ),
        ([{"match": {"path": "("}, "action": {"kind": "hang"}}], "unterminated"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_right(api, get, rules, said):
    with pytest.raises(SimulatorError, match="HTTP 400") as caught:
        api.faults(rules)
    assert said in str(caught.value)
    assert get(PATH).status_code == 200
