"""Rescans and caught errors leave nothing behind in the backend."""

from __future__ import annotations

import pytest

from cio_fdw.simulator.client import Simulator
from tests.native.backend import Connection, scalar, vitals

MAX_GROWTH_KB = 1024

# No row can be above infinity, so these scans evaluate their conditions, start and end without a request.
RESCANS = """
    select count(x.id) from generate_series(1, 2500) n left join lateral (
        select * from customerio.messages
        where created > 'infinity' and type = any (array[repeat('x', 500) || n, 'b', null])
    ) x on true"""
ERRORS = """
    do $$ begin
        for i in 1..12 loop
            begin
                perform 1 / (campaign_id - campaign_id) from customerio.campaign_actions where campaign_id = 1;
            exception when division_by_zero then null;
            end;
        end loop;
    end $$"""
PLANNING_ERRORS = """
    do $$ begin
        for i in 1..1000 loop
            begin
                perform 1 from native_wrong;
            exception when others then null;
            end;
        end loop;
    end $$"""


@pytest.mark.parametrize("query", [RESCANS, ERRORS, PLANNING_ERRORS], ids=["rescans", "errors", "planning errors"])
def test_no_growth(db: Connection, sim: Simulator, query: str) -> None:
    db.execute("""
        create foreign table if not exists native_wrong (id bigint, no_such_column text)
        server customerio options (endpoint 'campaigns')""")
    try:
        db.execute("set enable_material = off; set jit = off")
        for _ in range(2):
            db.execute(query)
        before = vitals(db)
        for _ in range(2):
            db.execute(query)
        after = vitals(db)
    finally:
        db.execute("drop foreign table native_wrong")
    assert after.memory_kb - before.memory_kb < MAX_GROWTH_KB
    assert after.threads == 1
    assert scalar(db, "select count(*) from customerio.campaigns") > 0
