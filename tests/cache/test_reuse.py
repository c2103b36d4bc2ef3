"""Which statement finds its answers kept, and which one asks: every test counts requests."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.cache.conftest import ClearCache
from tests.sql.helpers import Connection, asked, plan_lines, refused, rows, server_option, value

WEEK = "select id, created, raw from customerio.messages where created > now() - interval '30 days' order by id"
STATEMENTS = {
    "a whole list": "select id, name from customerio.campaigns order by id",
    "a moving range": WEEK,
    "a range that ends now":
        "select count(*) from customerio.messages where created between now() - interval '9 days' and now()",
    "five months, page by page":
        "select count(*), max(created) from customerio.messages where created > now() - interval '170 days'",
    "children of all parents": "select id, campaign_id from customerio.campaign_actions order by 1, 2",
    "members, page by page": "select segment_id, count(*) from customerio.segment_membership group by 1 order by 1",
    "one row": "select name from customerio.campaigns where id = 1",
    "a limit": "select count(*) from (select from customerio.messages limit 7) few",
    "days":
        "select created::date, count(*) from customerio.messages where created::date >= current_date - 7 "
        "group by 1 order by 1",
}  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_again_costs_nothing(cached: Connection, database: str, sim: Simulator, statement: str) -> None:
    first = rows(cached, statement)
    assert first
    count = len(asked(sim))
    assert count >= 1
    time.sleep(1.1)  # now() is another second
    assert rows(cached, statement) == first
    with psycopg.connect(database) as other:
        assert rows(other, statement) == first
    assert len(asked(sim)) == count


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_without_a_ttl_it_is_asked_again(db: Connection, sim: Simulator, statement: str) -> None:
    first = rows(db, statement)
    count = len(asked(sim))
    assert rows(db, statement) == first
    assert len(asked(sim)) == 2 * count


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_what_is_kept_is_what_is_true(cached: Connection, sim: Simulator, statement: str) -> None:
    rows(cached, statement)
    kept = rows(cached, statement)
    cached.execute("set cio_fdw.cache = off")
    assert rows(cached, statement) == kept


def test_a_session_without_the_cache(cached: Connection, database: str, sim: Simulator) -> None:
    campaigns = STATEMENTS["a whole list"]
    cached.execute("set cio_fdw.cache = off")
    for _ in range(2):
        rows(cached, campaigns)
    assert len(asked(sim)) == 2
    with psycopg.connect(database) as other:
        rows(other, campaigns)
        assert len(asked(sim)) == 3, "it keeps nothing either"
        rows(other, campaigns)
    cached.execute("set cio_fdw.cache = on")
    rows(cached, campaigns)
    assert len(asked(sim)) == 3


def test_new_rows_are_seen_later(cached: Connection, sim: Simulator, clear_cache: ClearCache) -> None:
    week = "select count(*) from customerio.messages where created > now() - interval '7 days'"
    before = value(cached, week)
    sim.add_messages(count=3)
    assert value(cached, week) == before
    clear_cache()
    assert value(cached, week) == before + 3


def test_an_old_answer_is_asked_for_again(db: Connection, sim: Simulator, clear_cache: ClearCache) -> None:
    clear_cache()
    with server_option(db, "cache_ttl", "2"):
        for _ in range(2):
            rows(db, "select id from customerio.segments")
        assert len(asked(sim)) == 1
        time.sleep(2.1)
        rows(db, "select id from customerio.segments")
        assert len(asked(sim)) == 2


def test_other_parameters_are_another_request(cached: Connection, sim: Simulator) -> None:
    for condition in ("campaign_id = 1", "campaign_id = 2", "campaign_id = 2 and type = 'email'"):
        rows(cached, f"select id from customerio.messages where {condition}")
    count = len(asked(sim))
    for condition in ("campaign_id = 1", "campaign_id = 2", "campaign_id = 2 and type = 'email'"):
        rows(cached, f"select id from customerio.messages where {condition}")
    assert len(asked(sim)) == count
    rows(cached, "select id from customerio.messages where campaign_id = 3")
    assert len(asked(sim)) > count


def test_a_page_size_is_a_parameter(cached: Connection, sim: Simulator) -> None:
    members = "select count(*) from customerio.segment_membership where segment_id = 1"
    all_ = value(cached, members)
    count = len(asked(sim))
    with server_option(cached, "page_size", "7"):
        assert value(cached, members) == all_
    assert len(asked(sim)) > count


def test_another_root_of_the_api(cached: Connection, sim: Simulator) -> None:
    rows(cached, "select id from customerio.campaigns")
    with server_option(cached, "base_url", sim.url.replace("127.0.0.1", "localhost")):
        rows(cached, "select id from customerio.campaigns")
    assert len(asked(sim)) == 2
    rows(cached, "select id from customerio.campaigns")
    assert len(asked(sim)) == 2


def test_another_key_gets_nothing_of_this_one(cached: Connection, sim: Simulator) -> None:
    rows(cached, "select id from customerio.campaigns")
    cached.execute(f"alter user mapping for current_user server customerio options (set app_api_key '{sim.key}x')")
    try:
        with refused("28000"):
            rows(cached, "select id from customerio.campaigns")
    finally:
        cached.execute(f"alter user mapping for current_user server customerio options (set app_api_key '{sim.key}')")
    rows(cached, "select id from customerio.campaigns")
    assert len(asked(sim)) == 2


def test_a_table_of_its_own_mind(cached: Connection, sim: Simulator) -> None:
    cached.execute("alter foreign table customerio.segments options (add cache_ttl '0')")
    try:
        for _ in range(2):
            rows(cached, "select id from customerio.segments")
        assert len(asked(sim)) == 2
    finally:
        cached.execute("alter foreign table customerio.segments options (drop cache_ttl)")


def test_only_good_answers_are_kept(cached: Connection, sim: Simulator) -> None:
    gone = "select id from customerio.campaign_actions where campaign_id = 999999"
    for _ in range(2):
        assert rows(cached, gone) == []
    assert len(asked(sim)) == 2, "a 404 is not kept"
    sim.reset()
    bad: dict[str, Any] = {"match": {"path": "/v1/campaigns"}, "times": 1, "action": {"kind": "bad_json"}}
    sim.faults([bad])
    good = rows(cached, "select id from customerio.campaigns order by id")
    assert len(asked(sim)) == 2
    assert rows(cached, "select id from customerio.campaigns order by id") == good
    assert len(asked(sim)) == 2


def test_clear(cached: Connection, database: str, sim: Simulator) -> None:
    rows(cached, "select id from customerio.campaigns")
    rows(cached, "select id from customerio.segments")
    assert value(cached, "select cio_fdw_cache_clear('customerio')") == 2
    assert value(cached, "select cio_fdw_cache_clear()") == 0
    rows(cached, "select id from customerio.campaigns")
    assert len(asked(sim)) == 3


def test_clear_is_not_for_everybody(cached: Connection, database: str) -> None:
    cached.execute("drop role if exists cache_guest; create role cache_guest login")
    cached.execute("grant usage on foreign server customerio to cache_guest")
    try:
        with psycopg.connect(database, user="cache_guest", autocommit=True) as guest:
            for call in ("cio_fdw_cache_clear()", "cio_fdw_cache_clear('customerio')"):
                with refused("42501"):
                    guest.execute(f"select {call}")
    finally:
        cached.execute("drop owned by cache_guest; drop role cache_guest")


def test_explain_tells(cached: Connection, sim: Simulator) -> None:
    def shown() -> dict[str, str]:
        lines = plan_lines(cached, STATEMENTS["a whole list"], "(analyze, costs off, timing off)")
        return dict(line.split(": ", 1) for line in lines if line.startswith("API "))

    first, second = shown(), shown()
    assert (first["API Requests Sent"], first["API Answers From Cache"]) == ("1", "0")
    assert (second["API Requests Sent"], second["API Answers From Cache"]) == ("0", "1")
    assert first["API Rows"] == second["API Rows"] != "0"
    cached.execute("set cio_fdw.cache = off")
    assert "API Answers From Cache" not in shown()


def test_the_journal_has_what_was_sent(cached: Connection, sim: Simulator) -> None:
    began = value(cached, "select clock_timestamp()")
    for _ in range(3):
        rows(cached, STATEMENTS["a whole list"])
    assert rows(cached, "select table_name from customerio._requests where at > %s", [began]) == [("campaigns",)]


def test_analyze_asks_the_api(cached: Connection, sim: Simulator) -> None:
    for times in (1, 2):
        cached.execute("analyze customerio.campaigns")
        assert len(asked(sim)) == times


def test_parents_are_read_once_in_a_statement(db: Connection, sim: Simulator) -> None:
    """Without a cache_ttl. Children are asked for by each scan, their parents' list by the first."""
    twice = "select count(*) from customerio.campaign_actions a, customerio.campaign_actions b where a.id = b.id"
    db.execute("set enable_material = off")
    for times in (1, 2):
        value(db, twice)
        paths = asked(sim)
        assert paths.count("/v1/campaigns") == times, "another statement reads it again"
        assert len(paths) > 2 * times


@pytest.mark.parametrize("ttl", [0, 60])
def test_each_scan_of_a_statement_has_its_own_columns_of_a_list_that_is_read_once(
    db: Connection, sim: Simulator, clear_cache: ClearCache, ttl: int
) -> None:
    scans = [
        "select count(id) from customerio.campaigns",
        "select string_agg(name, ',' order by id) from customerio.campaigns",
        "select max(created)::text from customerio.campaigns",
        "select string_agg(raw ->> 'id', ',' order by id) from customerio.campaigns",
        "select string_agg(tags::text, ',' order by id) from customerio.campaigns",
        "select count(*) from customerio.campaigns",
        "select count(distinct campaign_id) from customerio.campaign_actions",
    ]
    expected = [value(db, scan) for scan in scans]
    clear_cache()
    sim.reset()
    for order in (scans, scans[::-1]):
        with server_option(db, "cache_ttl", str(ttl)):
            found = rows(db, "select " + ", ".join(f"({scan})" for scan in order))
        assert [list(row) for row in found] == [expected if order is scans else expected[::-1]]
    assert asked(sim).count("/v1/campaigns") == (1 if ttl else 2)


def test_a_failed_statement_leaves_nothing_to_the_next(db: Connection, sim: Simulator) -> None:
    children = "select count(*) from customerio.campaign_actions"
    for times in range(1, 6):
        broken = {"match": {"path": "/v1/campaigns/"}, "times": 1, "action": {"kind": "status", "status": 403}}
        sim.faults([broken])
        with refused("42501"):
            value(db, children)
        assert asked(sim).count("/v1/campaigns") == times
    db.execute("""do $$ begin
        for i in 1..5 loop
            begin
                perform count(*) from customerio.campaign_actions where 1 / (campaign_id - campaign_id) = i;
            exception when division_by_zero then null;
            end;
        end loop;
    end $$""")
    assert asked(sim).count("/v1/campaigns") == 10
