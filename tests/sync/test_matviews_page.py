"""docs/matviews.md: its SQL runs as it stands, and each view refreshes concurrently and is not wiped."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.sync.helpers import Sync

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "matviews.md").read_text()
NOTHING = [{"match": {"path": "/v1/"}, "times": None, "action": {"kind": "null_rows"}}]


def statements() -> list[str]:
    blocks = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [statement for block in blocks for statement in re.split(r";\s*\n", block) if statement.strip()]


def test_the_page(mirror_db: Sync) -> None:
    s = mirror_db
    for statement in statements():
        s.db.execute(statement)
    views = s.rows("select format('%I.%I', schemaname, matviewname), definition from pg_matviews order by 1")
    assert len(views) == 6
    for view, definition in views:
        before = s.rows(f"select * from {view} order by 1, 2")
        assert before, view
        s.sim.reset()
        s.db.execute(f"refresh materialized view concurrently {view}")
        assert s.rows(f"select * from {view} order by 1, 2") == before
        assert s.rows(f"select * from cio.refresh_matview('{view}')") == [(len(before), len(before))]
        is_remote = "customerio." in definition
        assert bool(s.requests()) == is_remote
        if is_remote:
            s.sim.faults(NOTHING)
            with pytest.raises(psycopg.Error, match=f"would leave 0 of {len(before)} rows"):
                s.db.execute(f"select * from cio.refresh_matview('{view}')")
            s.sim.faults([])
            assert s.rows(f"select * from {view} order by 1, 2") == before
