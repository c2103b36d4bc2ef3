"""psql: what its describe commands show of the foreign objects. Skipped where the server's programs lack psql."""

from __future__ import annotations

import subprocess

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.simulator.client import Simulator
from tests.doors import is_multicorn
from tests.sql.helpers import asked

TABLE_COMMENT = ENDPOINTS["messages"].doc
SECOND_DOOR = {
    r"\dew+": ["multicorn", "multicorn_handler", "multicorn_validator"],
    r"\dx": ["multicorn", "Python"],
}
"""What Multicorn2 shows of itself instead."""
COLUMN_COMMENT = next(column.doc for column in ENDPOINTS["messages"].columns if column.name == "deduplicate_id")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (r"\d customerio.*", ['Foreign table "customerio.messages"', "raw | jsonb", "Server: customerio"]),
        (r"\d+ customerio.campaigns", ["Foreign table", "id | bigint", "Server: customerio", "endpoint 'campaigns'"]),
        (r"\d+ customerio.messages", ["created | timestamp with time zone", "Description", COLUMN_COMMENT]),
        (r"\dE+ customerio.*", ["customerio | messages | foreign table", TABLE_COMMENT]),
        (r"\det+ customerio.*", ["customerio | messages", "customerio | _requests", "endpoint 'messages'"]),
        (r"\dew+", ["cio_fdw", "cio_fdw_handler", "cio_fdw_validator"]),
        (r"\des+", ["customerio", "cio_fdw", "base_url"]),
        (r"\dx", ["cio_fdw"]),
    ],
)
def test_describe(psql: str, database: str, sim: Simulator, command: str, shown: list[str]) -> None:
    if is_multicorn():
        shown = SECOND_DOOR.get(command, shown)
    done = subprocess.run(
        [psql, "-X", "-P", "pager=off", "-c", command, database], capture_output=True, text=True, check=True, timeout=60
    )
    text = " ".join(done.stdout.split())
    assert [part for part in shown if part not in text] == []
    assert asked(sim) == []


def test_describing_mappings_does_not_show_the_key_to_others(psql: str, database: str, simulator: Simulator) -> None:
    done = subprocess.run(
        [psql, "-X", "-c", "create role psql_guest", "-c", "set role psql_guest", "-c", r"\deu+",
         "-c", "reset role", "-c", "drop role psql_guest", database],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "customerio" in done.stdout
    assert simulator.key not in done.stdout
