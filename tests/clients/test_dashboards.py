"""The SQL shapes that dashboards write for date filters and group-bys, and the requests they cause.

Filters that reach the API have twins that must not: the rows stay right, the request is the wide one. No dashboard
runs here. Sources: the cast to a date is in metabase/metabase#4192, the filter on a grain in apache/superset#3538, the
text filter in apache/superset#5871. The other shapes are written after the manner of the tools, not recorded from them.
"""

from __future__ import annotations

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, epoch, params, rows

FROM, TO = "2026-10-05 00:00:00", "2026-10-06 00:00:00"
FORM = "'YYYY-MM-DD HH24:MI:SS.US'"
METABASE = (
    'SELECT DATE_TRUNC(\'hour\', "customerio"."messages"."created") AS "created", COUNT(*) AS "count" '
    'FROM "customerio"."messages" '
    f'WHERE ("customerio"."messages"."created" >= timestamp with time zone \'{FROM}.000Z\') '
    f'AND ("customerio"."messages"."created" < timestamp with time zone \'{TO}.000Z\') '
    'GROUP BY DATE_TRUNC(\'hour\', "customerio"."messages"."created") ORDER BY 1 ASC'
)
SUPERSET = (
    "SELECT DATE_TRUNC('hour', created) AS created, COUNT(*) AS count FROM customerio.messages "
    f"WHERE created >= TO_TIMESTAMP('{FROM}.000000', {FORM}) AND created < TO_TIMESTAMP('{TO}.000000', {FORM}) "
    "GROUP BY DATE_TRUNC('hour', created) ORDER BY 1 LIMIT 1000"
)
TABLEAU = (
    'SELECT DATE_TRUNC( \'HOUR\', CAST("messages"."created" AS TIMESTAMP) ) AS "thr:created:ok", '
    'COUNT(1) AS "cnt:messages:ok" FROM "customerio"."messages" "messages" '
    f'WHERE (("messages"."created" >= (TIMESTAMP \'{FROM}.000\')) '
    f'AND ("messages"."created" < (TIMESTAMP \'{TO}.000\'))) '
    "GROUP BY 1 ORDER BY 1"
)
POWER_BI = (
    'select "rows"."created" as "created", count(1) as "a0" '
    'from (select date_trunc(\'hour\', "_"."created") as "created" '
    'from "customerio"."messages" "_" '
    f'where "_"."created" >= timestamp \'{FROM}\' and "_"."created" < timestamp \'{TO}\') "rows" '
    'group by "created" order by 1'
)
SHAPES = [("metabase", METABASE), ("superset", SUPERSET), ("tableau", TABLEAU), ("power bi", POWER_BI)]
ON_EXPRESSIONS = [
    ("cast to date", "cast(created as date) = date '2026-10-05'"),
    ("grain", "date_trunc('day', created) = timestamptz '2026-10-05 00:00:00Z'"),
    ("cast to timestamp", f"cast(created as timestamp) >= timestamp '{FROM}' "
     f"and cast(created as timestamp) < timestamp '{TO}'"),
]  # fmt: skip
TWINS = [
    ("parts", "extract(year from created) = 2026 and extract(doy from created) = 278"),
    ("text", "to_char(created, 'YYYY-MM-DD') = '2026-10-05'"),
]


@pytest.fixture(autouse=True)
def utc(db: Connection) -> None:
    db.execute("set timezone = 'UTC'")


@pytest.mark.parametrize(("tool", "query"), SHAPES, ids=[name for name, _ in SHAPES])
def test_date_filter_is_one_narrow_request(db: Connection, sim: Simulator, tool: str, query: str) -> None:
    found = rows(db, query)
    (target,) = asked(sim)
    asked_for = params(target)
    assert (asked_for["start_ts"], asked_for["end_ts"]) == (str(epoch("2026-10-05")), str(epoch("2026-10-06")))
    assert sum(row[1] for row in found) == day_count(db)


def day_count(db: Connection) -> int:
    found = rows(db, f"select count(*) from customerio.messages where created >= '{FROM}Z' and created < '{TO}Z'")
    assert found[0][0] > 0
    return int(found[0][0])


@pytest.mark.parametrize(("shape", "condition"), ON_EXPRESSIONS, ids=[name for name, _ in ON_EXPRESSIONS])
def test_filter_on_a_bucket_is_narrow(db: Connection, sim: Simulator, shape: str, condition: str) -> None:
    counted = rows(db, f"select count(*) from customerio.messages where {condition}")
    (target,) = asked(sim)
    asked_for = params(target)
    assert (asked_for["start_ts"], asked_for["end_ts"]) == (str(epoch("2026-10-05")), str(epoch("2026-10-06")))
    assert counted == [(day_count(db),)]


@pytest.mark.parametrize(("shape", "condition"), TWINS, ids=[name for name, _ in TWINS])
def test_filter_on_parts_or_text_reads_wide_and_stays_right(
    db: Connection, sim: Simulator, shape: str, condition: str
) -> None:
    counted = rows(db, f"select count(*) from customerio.messages where {condition}")
    starts = {params(target).get("start_ts") for target in asked(sim)}
    assert len(starts) > 0
    assert str(epoch("2026-10-05")) not in starts
    assert counted == [(day_count(db),)]
