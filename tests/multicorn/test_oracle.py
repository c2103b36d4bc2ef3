"""Random statements: the foreign tables and local copies of them give the same rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cio_fdw.simulator.client import Simulator
from tests.clients.days import DAY, EARLY, LATE
from tests.sql.helpers import Connection, rows

STATEMENTS = 250
TABLES = ("messages", "campaigns", "campaign_actions", "newsletters", "segment_membership")
STYLES = ("ISO, MDY", "SQL, DMY", "Postgres, MDY", "German, DMY")
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata")
COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "messages": {
        "created": (DAY, f"{LATE} 00:30+00", f"{EARLY} 12:00:00.5+00", "epoch", "infinity", "-infinity"),
        "campaign_id": ("1", "3", "7", "0", "-5", "9000000000"),
        "type": ("email", "push", "Email", "", "?"),
        "opened": (DAY, LATE),
        "forgotten": ("true", "false"),
    },
    "campaigns": {
        "id": ("1", "2", "3", "99"),
        "name": ("x", ""),
        "active": ("true", "false"),
        "created": ("2026-01-01",),
    },
    "campaign_actions": {"campaign_id": ("1", "2", "999999", "0"), "type": ("email", "webhook"), "id": ("11", "21")},
    "newsletters": {"id": ("1", "2", "3"), "sent_at": (DAY, LATE)},
    "segment_membership": {"segment_id": ("1", "2", "77"), "cio_id": ("x", "")},
}
TYPES = {"created": "timestamptz", "opened": "timestamptz", "sent_at": "timestamptz", "type": "text", "name": "text",
         "cio_id": "text", "forgotten": "bool", "active": "bool"}  # fmt: skip


@pytest.fixture(scope="module")
def copies(database: str, simulator: Simulator) -> Iterator[psycopg.Connection[Any]]:
    """A session in a database with a schema `local` that holds copies."""
    simulator.reset()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create schema local")
        for table in TABLES:
            connection.execute(f"create table local.{table} as select * from customerio.{table}")
        yield connection
        connection.execute("drop schema local cascade")


def literal(rng: random.Random, table: str, column: str) -> str:
    text, type_ = rng.choice(COLUMNS[table][column]), TYPES.get(column, "bigint")
    forms = [f"'{text}'::{type_}", f"(select '{text}'::{type_})", f"'{text}'"]
    if type_ == "timestamptz" and text[0] == "2":
        forms += [f"'{text}'::date", f"'{text}'::timestamp", f"'{text}'::timestamptz::timestamp", "now()::date",
                  "now()::timestamp", "now() - interval '9 days'", "(now() at time zone 'Asia/Tokyo')"]  # fmt: skip
    if rng.random() < 0.05:
        forms = [f"null::{type_}", f"(select null::{type_})"]
    return rng.choice(forms)


def condition(rng: random.Random, table: str, depth: int = 0) -> str:
    column = rng.choice(list(COLUMNS[table]))
    kind = rng.random()
    if kind < 0.15 and depth < 2:
        return f"({condition(rng, table, depth + 1)} or {condition(rng, table, depth + 1)})"
    if kind < 0.22 and depth < 2:
        return f"not ({condition(rng, table, depth + 1)})"
    if kind < 0.32:
        return f"{column} is {rng.choice(('', 'not '))}null"
    if kind < 0.5:
        items = ", ".join(literal(rng, table, column) for _ in range(rng.randint(1, 4)))
        return f"{column} {rng.choice(('', '', 'not '))}in ({items})"
    if TYPES.get(column) == "bool" and kind < 0.7:
        return rng.choice((column, f"not {column}", f"{column} is true", f"{column} is not false"))
    operator = rng.choice(("=", "=", "=", "<", "<=", ">", ">=", "<>"))
    value = literal(rng, table, column)
    return f"{value} {operator} {column}" if rng.random() < 0.2 else f"{column} {operator} {value}"


def statement(schema: str, table: str, where: str, shape: int) -> str:
    source = f"{schema}.{table}"
    return (
        f"select to_jsonb(t)::text from {source} t where {where} order by 1",
        f"select count(*), count(t) from {source} t where {where}",
        f"select md5(string_agg(t::text, ',' order by t::text)) from {source} t where {where}",
        f"select count(*) from (select * from {source} where {where} offset 0) t limit 3",
        f"select exists (select from {source} where {where})",
    )[shape]


def outcome(db: Connection, query: str) -> Any:
    try:
        return rows(db, query)
    except psycopg.errors.DataError as error:
        return error.sqlstate


def test_random_statements(copies: Connection, sim: Simulator) -> None:
    rng = random.Random(11)
    found_some = 0
    for number in range(STATEMENTS):
        table, shape = rng.choice(TABLES), rng.randrange(5)
        where = " and ".join(condition(rng, table) for _ in range(rng.randint(1, 3)))
        style, zone = rng.choice(STYLES), rng.choice(ZONES)
        copies.execute(f"set datestyle = '{style}'; set timezone = '{zone}'")
        expected = outcome(copies, statement("local", table, where, shape))
        assert outcome(copies, statement("customerio", table, where, shape)) == expected, (number, style, zone, where)
        found_some += bool(expected and expected[0][0])
    assert found_some > STATEMENTS / 4


def test_random_statements_in_generic_plans(copies: Connection, sim: Simulator) -> None:
    """Parameters in the place of literals, planned once for all values."""
    rng = random.Random(12)
    copies.execute("reset datestyle; set plan_cache_mode = force_generic_plan")
    for _ in range(STATEMENTS // 4):
        copies.execute(f"set timezone = '{rng.choice(ZONES)}'")
        when, campaign = rng.choice(COLUMNS["messages"]["created"]), rng.choice(COLUMNS["messages"]["campaign_id"])
        kind, operator = rng.choice(COLUMNS["messages"]["type"]), rng.choice(("<", "<=", ">", ">=", "="))
        where = rng.choice(
            (
                f"created {operator} $1 and campaign_id = $2",
                f"created {operator} $1 - interval '1 hour' and type = $3",
                "campaign_id in ($2, $2 + 1) and type in ($3, 'email')",
                f"created {operator} $1::timestamp or campaign_id = $2 and type = $3",
                f"created::timestamp {operator} $1::timestamp and campaign_id = any (array[$2, 3])",
            )
        )
        found = []
        for schema in ("local", "customerio"):
            copies.execute(
                "prepare p (timestamptz, bigint, text) as select count(*), min(id) from "
                f"{schema}.messages where {where} and $1 is not null and $2 is not null and $3 is not null"
            )
            found.append(outcome(copies, f"execute p ('{when}', {campaign}, '{kind}')"))
            copies.execute("deallocate p")
        assert found[0] == found[1], (where, when, campaign, kind)
    copies.execute("reset plan_cache_mode")
