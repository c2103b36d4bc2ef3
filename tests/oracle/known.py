"""Values that the data hold, by table and column, for statements that hit rows.

known_of(db, "truth")[("messages", "campaign_id")] -> (7, 8, 9)
"""

from __future__ import annotations

from typing import Any

import psycopg

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Column
from tests.oracle.sources import TABLES
from tests.oracle.writer import Known

MOST = 24
"""Values per column."""
_VALUES = {
    "bigint": "select distinct {c} from {t} where {c} is not null",
    "text": "select distinct {c} from {t} where {c} is not null",
    "timestamptz": "select distinct floor(extract(epoch from {c}))::bigint from {t} where {c} is not null",
    "text[]": "select distinct unnest({c}) from {t}",
    "jsonb": "select distinct jsonb_object_keys({c}) from {t} where jsonb_typeof({c}) = 'object'",
}


def known_of(db: psycopg.Connection[Any], schema: str) -> Known:
    return {
        (table, column.name): _values(db, f"{schema}.{table}", column)
        for table in TABLES
        for column in ENDPOINTS[table].all_columns
    }


def _values(db: psycopg.Connection[Any], table: str, column: Column) -> tuple[Any, ...]:
    template = _VALUES.get(column.type)
    if template is None:
        return ()
    query = template.format(c=f'"{column.name}"', t=table)
    # Sorted by hash: a sample that is the same in each run, and no run of neighbours.
    rows = db.execute(f"select v from ({query}) s (v) order by md5(v::text) limit {MOST}").fetchall()
    return tuple(value for (value,) in rows)
