"""The door under test, native or Multicorn2, for the fixtures that make servers and databases of their own.

    make_cluster(bin_dir, settings={…})          a Cluster that can load the door, not started yet
    set_up(address, {"region": "eu"}, key)       a database with the foreign tables, through that door
    create_wrapper(db)                           only the extension; then CREATE SERVER … FOREIGN DATA WRAPPER cio_fdw

`--door multicorn` chooses the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import psycopg

from cio_fdw.secret import Secret
from cio_fdw.server import database
from cio_fdw.server.cluster import Cluster
from tests.multicorn import door

MULTICORN = "multicorn"
NAMES = ("native", MULTICORN)
_chosen = NAMES[0]


def choose(name: str) -> None:
    """Before the first test: `name` is one of NAMES."""
    global _chosen  # noqa: PLW0603 - one run, one door
    _chosen = name


def is_multicorn() -> bool:
    return _chosen == MULTICORN


def door_environment() -> dict[str, str]:
    """What the server needs in its environment to load the door."""
    return door.environment() if is_multicorn() else {}


def make_cluster(
    bin_dir: Path,
    *,
    settings: Mapping[str, str],
    env: Optional[Mapping[str, str]] = None,
    data_dir: Optional[Path] = None,
) -> Cluster:
    return Cluster(bin_dir, data_dir=data_dir, settings=settings, env={**door_environment(), **(env or {})})


def create_wrapper(db: psycopg.Connection[Any]) -> None:
    """In this database, servers of the wrapper cio_fdw are of the door."""
    if is_multicorn():
        db.execute("create extension multicorn")
        db.execute(door.AS_CIO_FDW)
    else:
        db.execute("create extension cio_fdw")


def set_up(address: str, server_options: Mapping[str, str], key: Secret) -> None:
    prepare = door.set_up if is_multicorn() else database.set_up
    prepare(address, server_options, key)
