"""Names and values that mean something in SQL or in a URL are quoted and encoded, and arrive as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, asked, params, rows

ODD = (
    "a+b@example.com", "50%", "%41", "a/b/../c", "what?x=1&y=2#z", "naïve ключ 名前 🙂", "it's \"quoted\"",
    "back\\slash", "semi;colon, comma", " leading and trailing ", "tab\there", "new\nline", "https://user:pw@host/",
    "=cmd|' /C'!A0",
)  # fmt: skip


@pytest.fixture
def odd_schema(db: Connection) -> Iterator[str]:
    """A schema of foreign tables whose names need quotes, as do those of server and schema."""
    server, schema = 'we"ird; drop server customerio --', 'o\'dd "scheme" ✓'
    quoted_server, quoted_schema = (name.replace('"', '""') for name in (server, schema))
    options = rows(db, "select string_agg(format('%s %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') "
                   "from pg_foreign_server, unnest(srvoptions) o where srvname = 'customerio'")[0][0]  # fmt: skip
    db.execute(f'create server "{quoted_server}" foreign data wrapper cio_fdw options ({options})')
    db.execute(f"create user mapping for current_user server \"{quoted_server}\" options (app_api_key 'test-key')")
    db.execute(f'create schema "{quoted_schema}"')
    db.execute(f'import foreign schema customerio from server "{quoted_server}" into "{quoted_schema}"')
    yield f'"{quoted_schema}"'
    db.execute(f'drop schema "{quoted_schema}" cascade; drop server "{quoted_server}" cascade')


def test_names_in_sql(db: Connection, sim: Simulator, odd_schema: str) -> None:
    assert len(rows(db, f"select id from {odd_schema}.campaigns")) == len(sim.data("campaigns"))
    assert rows(db, "select 1 from pg_foreign_server where srvname = 'customerio'") == [(1,)]


@pytest.mark.parametrize("text", ODD)
def test_values_in_a_query(db: Connection, sim: Simulator, text: str) -> None:
    found = rows(db, "select id from customerio.activities where customer_id = %s", [text])
    assert found == []
    (target,) = asked(sim)
    assert params(target)["customer_id"] == text
    assert "#" not in target
    assert target.isascii()
    assert " " not in target


@pytest.mark.parametrize("text", ODD)
def test_a_row_with_such_a_value_is_found(db: Connection, sim: Simulator, text: str) -> None:
    row = {**sim.data("activities")[0], "id": "odd-activity", "type": "event", "name": text}
    sim.put_rows("activities", [row])
    try:
        found = rows(db, "select id from customerio.activities where type = 'event' and name = %s", [text])
        assert found == [("odd-activity",)]
    finally:
        sim.delete_row("activities", "odd-activity")
