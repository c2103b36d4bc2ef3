"""EXPLAIN in every format, of plans with every kind of parameter, by hand and by auto_explain."""

from __future__ import annotations

import itertools
import json
from xml.dom import minidom

import pytest
from psycopg.types.string import TextLoader

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar

FORMATS = ("text", "json", "xml", "yaml")
OPTIONS = ("", "analyze, verbose, buffers, settings, wal,")
PARAMETERS = (
    ("bigint", "campaign_id = $1", "3"),
    ("bigint[]", "campaign_id = any ($1)", "'{3,null}'"),
    ("timestamptz", "created > $1", "now()"),
    ("date", "created >= $1 and campaign_id = 3", "current_date"),
    ("text", "type = $1 and campaign_id = 3", "'email'"),
    ("text", "type = $1", "null"),
    ("numeric", "campaign_id = 3 and campaign_id = $1", "3"),
    ("uuid", "campaign_id = 3 and raw ->> 'id' = $1::text", "null"),
    ("bool", "campaign_id = 3 and forgotten = $1", "true"),
)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: f"{parameter[0]} {parameter[2]}")
def test_prepared_statements(db: Connection, sim: Simulator, parameter: tuple[str, str, str], mode: str) -> None:
    type_name, condition, argument = parameter
    db.prepare_threshold = None
    # Of several equal keys, Python's reader would show one.
    db.adapters.register_loader("json", TextLoader)
    db.execute(f"set plan_cache_mode = {mode}")
    db.execute(f"prepare p ({type_name}) as select id from customerio.messages where {condition}")
    for options, form in itertools.product(OPTIONS, FORMATS):
        found = scalar(db, f"explain ({options} format {form}) execute p ({argument})")
        if form == "json":
            assert len(json.loads(found)) == 1
            # A condition that is known to be NULL leaves no scan at all.
            assert "API Request" in found or argument == "null"
        elif form == "xml":
            minidom.parseString(found)


def test_generic_plan_option(db: Connection, sim: Simulator) -> None:
    if db.info.server_version < 160000:
        pytest.skip("EXPLAIN (GENERIC_PLAN) needs PostgreSQL 16")
    rows = db.execute("explain (generic_plan) select id from customerio.messages where campaign_id in ($1, $2)", None)
    assert any("campaign_id=?" in row[0] for row in rows)


def test_auto_explain_of_nested_statements(db: Connection, sim: Simulator) -> None:
    db.prepare_threshold = None
    db.execute("""
        load 'auto_explain';
        set auto_explain.log_min_duration = 0;
        set auto_explain.log_nested_statements = on;
        set client_min_messages = log;
        create function pg_temp.nested(one bigint, many bigint[], since timestamptz) returns bigint
        language plpgsql as $$
        declare
            n bigint;
            r record;
        begin
            select count(*) into n from customerio.messages where campaign_id = one and created > since;
            perform 1 from customerio.messages where campaign_id = any (many);
            for r in select * from customerio.campaign_actions where campaign_id = one loop exit; end loop;
            begin
                perform 1 / (id - id) from customerio.campaigns where id = one;
            exception when division_by_zero then null;
            end;
            return n;
        end $$""")
    messages: list[str] = []
    db.add_notice_handler(lambda notice: messages.append(notice.message_primary or ""))
    for analyze in ("off", "on"):
        db.execute(f"set auto_explain.log_analyze = {analyze}")
        for form in FORMATS:
            db.execute(f"set auto_explain.log_format = {form}")
            assert scalar(db, "select pg_temp.nested(3, array[3, null], now() - interval '100 days')") > 0
    assert sum("GET /v1/messages?campaign_id=3" in text for text in messages) >= 16
