"""What conditions on columns become, request by request; each pushdown has a twin that must not push."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.days import DAY_PARAMS, ONE_DAY, dated
from tests.sql.helpers import Connection, asked, params, rows, server_option, value


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


def one_day(db: Connection, sim: Simulator, condition: str) -> dict[str, str]:
    """The parameters of the only request of a query over one day and `condition`, without those of the day."""
    rows(db, f"select id from customerio.messages where {ONE_DAY} and {condition}")
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
    count = f"select count(*) from customerio.messages where {ONE_DAY} and type = "
    assert value(db, f"{count}'EMAIL' collate public.ci") == value(db, f"{count}'email'") > 0


def test_in_list_is_one_chain_per_value(db: Connection, sim: Simulator) -> None:
    found = rows(db, dated("select distinct campaign_id from customerio.messages where created >= '{early}' "
                           "and created < '{late}' and campaign_id in (2, 3, 2, null)"))  # fmt: skip
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
        "created > '{day}' and created < '{day}'",
        "created > '{next}' and created < '{day}'",
        "created < '-infinity'",
        "created > 'infinity'",
        "created = null",
    ],
)
def test_contradictions_ask_nothing(db: Connection, sim: Simulator, condition: str) -> None:
    assert rows(db, f"select id from customerio.messages where {dated(condition)}") == []
    assert asked(sim) == []


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


@pytest.mark.parametrize(
    ("condition", "metric"),
    [
        ("opened is not null", "opened"),
        ("opened > '{day}'", "opened"),
        ("opened is not null and clicked is not null", "clicked"),
        ("(opened is not null or opened > '{day}')", "opened"),
    ],
)
def test_a_trusted_metric_is_pushed(db: Connection, sim: Simulator, condition: str, metric: str) -> None:
    query = f"select count(*) from customerio.messages where {ONE_DAY} and {dated(condition)}"
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
        rows(db, f"select id from customerio.messages where {ONE_DAY} and {dated(condition)}")
    assert all("metric" not in params(target) for target in asked(sim))


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
