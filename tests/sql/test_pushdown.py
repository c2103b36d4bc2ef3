"""What WHERE becomes, request by request; each pushdown has a twin that must not push."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import psycopg
import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, epoch, params, rows, server_option, value

DAY = "created >= '2026-10-05 00:00+00' and created < '2026-10-06 00:00+00'"
DAY_PARAMS = {"start_ts": str(epoch("2026-10-05")), "end_ts": str(epoch("2026-10-06")), "limit": "1000"}


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


def one_day(db: Connection, sim: Simulator, condition: str) -> dict[str, str]:
    """The parameters of the only request of a query over one day and `condition`, without those of the day."""
    rows(db, f"select id from customerio.messages where {DAY} and {condition}")
    (target,) = asked(sim)
    found = params(target)
    assert {name: found.pop(name) for name in DAY_PARAMS} == DAY_PARAMS
    return found


@pytest.mark.parametrize(
    ("condition", "pushed"),
    [
        ("campaign_id = 7", {"campaign_id": "7"}),
        ("7 = campaign_id", {"campaign_id": "7"}),
        ("campaign_id = 7::smallint", {"campaign_id": "7"}),
        ("campaign_id = (select 7)", {"campaign_id": "7"}),
        ("campaign_id in (7)", {"campaign_id": "7"}),
        ("newsletter_id = 3", {"newsletter_id": "3"}),
        ("action_id = 71", {"action_id": "71"}),
        ("type = 'email'", {"type": "email"}),
        ("type = 'email'::varchar", {"type": "email"}),
        ("type = 'email  '::bpchar", {"type": "email"}),
        ("type = any (array['email', null])", {"type": "email"}),
        ("type = 'email' and campaign_id = 7", {"type": "email", "campaign_id": "7"}),
        ("campaign_id in (7, 8) and campaign_id in (8, 9)", {"campaign_id": "8"}),
    ],
)  # fmt: skip
def test_equality_is_pushed(db: Connection, sim: Simulator, condition: str, pushed: dict[str, str]) -> None:
    assert one_day(db, sim, condition) == pushed


@pytest.mark.parametrize(
    "condition",
    [
        "campaign_id <> 7",
        "campaign_id > 7",
        "not campaign_id = 7",
        "campaign_id is not distinct from 7",
        "campaign_id + 0 = 7",
        "campaign_id = 7.0",
        "campaign_id = action_id",
        "campaign_id = 0",
        "campaign_id = -7",
        "campaign_id = 9223372036854775807",
        "(campaign_id = 7 or type = 'email')",
        "type <> 'email'",
        "type = 'carrier_pigeon'",
        "type = 'Email'",
        "type like 'email'",
        "lower(type) = 'email'",
        "type || '' = 'email'",
        "campaign_id = (random() * 0)::int + 7",
        "subject = 'Welcome'",
        "campaign_id is not null",
        "customer_id = 'u-1'",
        "raw->>'type' = 'email'",
    ],
)
def test_not_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    assert one_day(db, sim, condition) == {}


def test_nondeterministic_collation_is_not_pushed(db: Connection, sim: Simulator) -> None:
    options = "provider = icu, locale = 'und-u-ks-level2', deterministic = false"
    try:
        db.execute(f"create collation if not exists public.ci ({options})")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU, which nondeterministic collations need")
    assert one_day(db, sim, "type = 'EMAIL' collate public.ci") == {}
    sim.reset()
    with_collation = value(
        db, f"select count(*) from customerio.messages where {DAY} and type = 'EMAIL' collate public.ci"
    )
    assert with_collation == value(db, f"select count(*) from customerio.messages where {DAY} and type = 'email'") > 0


def test_in_list_is_one_chain_per_value(db: Connection, sim: Simulator) -> None:
    found = rows(db, "select distinct campaign_id from customerio.messages where created >= '2026-06-10' "
                     "and created < '2026-11-01' and campaign_id in (2, 3, 2, null)")  # fmt: skip
    assert sorted(params(target)["campaign_id"] for target in asked(sim)) == ["2", "3"]
    assert sorted(row[0] for row in found) == [2, 3]


def test_in_list_that_costs_more_than_reading_all_is_not_pushed(db: Connection, sim: Simulator) -> None:
    assert one_day(db, sim, "campaign_id in (1, 2, 3, 4, 5, 6)") == {}


@pytest.mark.parametrize(
    "condition",
    [
        "campaign_id = null",
        "campaign_id = (select null::bigint)",
        "campaign_id in (null)",
        "campaign_id = any ('{}'::bigint[])",
        "campaign_id = 7 and campaign_id = 8",
        "type = 'email' and type = 'push'",
        "created > '2026-10-05' and created < '2026-10-05'",
        "created > '2026-10-06' and created < '2026-10-05'",
        "created < '-infinity'",
        "created > 'infinity'",
        "created = null",
    ],
)
def test_contradictions_ask_nothing(db: Connection, sim: Simulator, condition: str) -> None:
    assert rows(db, f"select id from customerio.messages where {condition}") == []
    assert asked(sim) == []


def bounds(sim: Simulator) -> tuple[str, str]:
    """start_ts and end_ts of the only request."""
    (target,) = asked(sim)
    found = params(target)
    return found["start_ts"], found["end_ts"]


DAY_BOUNDS = (DAY_PARAMS["start_ts"], DAY_PARAMS["end_ts"])


@pytest.mark.parametrize(
    "condition",
    [
        "created between '2026-10-05' and '2026-10-06'",
        "created >= date '2026-10-05' and created <= date '2026-10-06'",
        "created >= timestamp '2026-10-05' and created < timestamp '2026-10-06'",
        "created >= '2026-10-05 02:00+02' and created < '2026-10-05 20:00-04'",
        "'2026-10-05' <= created and '2026-10-06' > created",
        "created > '2026-10-05 00:00:00.75' and created < '2026-10-05 23:59:59.25'",
        "created >= (select '2026-10-05'::date) and created < (select '2026-10-06'::date)",
        "created >= '2026-10-05' and created >= '2026-01-01' and created < '2026-10-06' and created < 'infinity'",
        "created >= '2026-10-05'::timestamptz + interval '0' and created < to_timestamp(1791244800)",
        "created = any (array['2026-10-05'::timestamptz, '2026-10-06'])",
    ],
)
def test_bounds_are_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    rows(db, f"select id from customerio.messages where {condition}")
    assert bounds(sim) == DAY_BOUNDS


def test_bounds_follow_the_time_zone_of_the_session(db: Connection, sim: Simulator) -> None:
    db.execute("set timezone = 'America/New_York'")
    rows(db, "select id from customerio.messages where created >= '2026-10-05' and created < date '2026-10-06'")
    assert bounds(sim) == (str(epoch("2026-10-05T04:00:00")), str(epoch("2026-10-06T04:00:00")))


def test_equality_with_a_moment(db: Connection, sim: Simulator) -> None:
    created = sim.data("messages")[-500]["created"]
    found = value(db, f"select count(*) from customerio.messages where created = to_timestamp({created})")
    assert bounds(sim) == (str(created), str(created))
    assert found == sum(row["created"] == created for row in sim.data("messages"))


@pytest.mark.parametrize(
    "condition",
    [
        "created::text >= '2026-10-05'",
        "created <> '2026-10-05'",
        "created > clock_timestamp() - interval '1 day'",
        "sent >= '2026-10-05'",
        "(created > '2026-10-05' or type = 'email')",
    ],
)
def test_bounds_that_are_not_implied_are_not_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    rows(db, f"select id from customerio.messages where {condition} limit 1")
    lowest = min(int(params(target)["start_ts"]) for target in asked(sim))
    assert lowest < epoch("2026-09-30")


@pytest.mark.parametrize(
    "now", ["now()", "current_timestamp", "statement_timestamp()", "(select now())", "localtimestamp"]
)
def test_stable_functions_reach_the_api_as_values(db: Connection, sim: Simulator, now: str) -> None:
    at = value(db, "select extract(epoch from now())::bigint")
    rows(db, f"select id from customerio.messages where created > {now} - interval '1 day'")
    frozen, tail = sorted((params(target) for target in asked(sim)), key=lambda found: found["start_ts"])
    assert abs(int(frozen["start_ts"]) - (at - 86400)) <= 2
    assert int(frozen["end_ts"]) + 1 == int(tail["start_ts"])
    assert abs(int(tail["start_ts"]) - at) <= 3
    assert "end_ts" not in tail


def test_current_date(db: Connection, sim: Simulator) -> None:
    midnight = value(db, "select extract(epoch from current_date::timestamptz)::bigint")
    rows(db, "select id from customerio.messages where created < current_date and created >= current_date - 1")
    assert bounds(sim) == (str(midnight - 86400), str(midnight))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_parameters_of_prepared_statements(db: Connection, sim: Simulator, mode: str) -> None:
    db.execute(f"set plan_cache_mode = {mode}")
    db.execute(
        "prepare p (timestamptz, bigint, text[]) as select id from customerio.messages where created >= $1 "
        "and created < $1 + interval '1 day' and campaign_id = $2 and type = any ($3)"
    )
    db.execute("execute p ('2026-10-05', 7, '{email}')")
    (target,) = asked(sim)
    assert params(target) == {**DAY_PARAMS, "campaign_id": "7", "type": "email"}
    sim.reset()
    assert rows(db, "execute p ('2026-10-05', null, '{email}')") == []
    assert asked(sim) == []


def test_plpgsql_variables_and_views(db: Connection, sim: Simulator) -> None:
    db.execute(f"create or replace temp view of_day as select * from customerio.messages where {DAY}")
    db.execute(
        "do $$ declare c bigint := 7; n int; begin select count(*) into n from of_day where campaign_id = c; end $$"
    )
    (target,) = asked(sim)
    assert params(target) == {**DAY_PARAMS, "campaign_id": "7"}


def test_windows_cover_six_months_and_no_more_than_180_days_each(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.messages")
    windows = {(found["start_ts"], found.get("end_ts")) for found in map(params, asked(sim))}
    frozen = sorted((int(low), int(high)) for low, high in windows if high)
    assert [high + 1 for _, high in frozen[:-1]] == [low for low, _ in frozen[1:]]
    assert all(high - low < 180 * 86400 for low, high in frozen)
    assert frozen[-1][1] - frozen[0][0] >= 183 * 86400
    (tail,) = (int(low) for low, high in windows if not high)
    assert tail == frozen[-1][1] + 1


def test_a_lower_bound_beyond_the_retention_adds_no_rows_and_says_so(db: Connection, sim: Simulator) -> None:
    notices: list[str] = []
    db.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    everything = value(db, "select count(*) from customerio.messages")
    assert notices == []
    assert value(db, "select count(*) from customerio.messages where created >= 'epoch'") == everything
    assert len(notices) == 1
    assert "keeps about 6 months" in notices[0]
    sim.reset()
    assert rows(db, "select id from customerio.messages where created < '2025-12-01'") == []
    assert asked(sim) == []
    assert len(notices) == 2


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
    assert len(rows(db, f"select id from pg_temp.small where {DAY}")) > 0
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


@pytest.mark.parametrize(
    ("column", "prefix", "id_type"), [("customer_email", "", "email"), ("cio_id", "cio_", "cio_id")]
)
def test_activities_of_a_person(db: Connection, sim: Simulator, column: str, prefix: str, id_type: str) -> None:
    key = "email" if column == "customer_email" else "cio_id"
    counts = Counter((row["customer_identifiers"] or {}).get(key) for row in sim.data("activities"))
    person, expected = next((name, count) for name, count in counts.items() if name and count < 100)
    assert rows(db, f"select count(*) from customerio.activities where {column} = %s", [person]) == [(expected,)]
    assert asked(sim) == [f"/v1/activities?customer_id={quote(prefix + person, safe='')}&id_type={id_type}&limit=100"]


def test_two_identifiers_of_a_person_are_one_parameter(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.activities where customer_email = 'a@b.c' and customer_id = 'u-1'")
    assert asked(sim) == ["/v1/activities?customer_id=u-1&id_type=id&limit=100"]


def test_several_addresses_are_not_pushed(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.activities where customer_email in ('a@b.c', 'd@e.f') limit 1")
    assert asked(sim)[0] == "/v1/activities?limit=100"


METRIC = "created >= '2026-10-05 00:00+00' and created < '2026-10-06 00:00+00' and {}"


@pytest.mark.parametrize(
    ("condition", "metric"),
    [
        ("opened is not null", "opened"),
        ("opened > '2026-10-05'", "opened"),
        ("opened is not null and clicked is not null", "clicked"),
        ("(opened is not null or opened > '2026-10-05')", "opened"),
    ],
)
def test_a_trusted_metric_is_pushed(db: Connection, sim: Simulator, condition: str, metric: str) -> None:
    query = f"select count(*) from customerio.messages where {METRIC.format(condition)}"
    untrusted = rows(db, query)
    assert all("metric" not in params(target) for target in asked(sim))
    sim.reset()
    with server_option(db, "trust_metric_filter", "true"):
        assert rows(db, query) == untrusted
    assert [params(target)["metric"] for target in asked(sim)] == [metric]


@pytest.mark.parametrize(
    "condition", ["opened is null", "human_opened is not null", "(opened is not null or clicked is not null)"]
)
def test_what_is_no_metric_filter_is_not_pushed(db: Connection, sim: Simulator, condition: str) -> None:
    with server_option(db, "trust_metric_filter", "true"):
        rows(db, f"select id from customerio.messages where {METRIC.format(condition)}")
    assert all("metric" not in params(target) for target in asked(sim))


def test_a_one_row_read_is_checked_by_the_other_conditions(db: Connection, sim: Simulator) -> None:
    id_ = sim.data("campaigns")[0]["id"]
    assert rows(db, f"select id from customerio.campaigns where id = {id_} and name is null") == []
    assert asked(sim) == [f"/v1/campaigns/{id_}"]


def test_filters_of_activities(db: Connection, sim: Simulator) -> None:
    activity = next(row for row in sim.data("activities") if row.get("customer_id"))
    customer, type_ = activity["customer_id"], activity["type"]
    found = rows(db, "select id from customerio.activities where customer_id = %s and type = %s", [customer, type_])
    assert (activity["id"],) in found
    assert params(asked(sim)[0]) == {"customer_id": customer, "id_type": "id", "type": type_, "limit": "100"}
    sim.reset()
    rows(db, "select id from customerio.activities where delivery_type = 'email' limit 1")
    assert asked(sim)[0] == "/v1/activities?limit=100"


def test_hidden_senders_are_asked_for(db: Connection, sim: Simulator) -> None:
    rows(db, "select id from customerio.sender_identities")
    assert all(params(target)["hidden"] == "true" for target in asked(sim))
