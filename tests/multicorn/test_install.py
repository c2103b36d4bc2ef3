"""The steps of docs/multicorn.md from a wheel to rows: packages where the server's Python finds them, then SQL."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.server.postgres import Installation, installation
from cio_fdw.simulator.client import Simulator
from tests.install.test_pip import fresh_environment, place
from tests.multicorn import door

__all__ = ["fresh_environment", "place"]

MULTICORN = os.environ.get("PYTHONPATH", "")
"""Where Multicorn's own package is, when it is not installed for all."""


@pytest.fixture(scope="module")
def server() -> Installation:
    path = door.under_test()
    if not door.is_installed(path):
        pytest.skip(f"Multicorn2 is not installed in the PostgreSQL of {path}")
    return installation(path)


def test_from_a_wheel_to_rows(server: Installation, fresh_environment: Path, sim: Simulator) -> None:
    (packages,) = fresh_environment.glob("lib/python*/site-packages")
    # The last one stands for what pip would have fetched; there is a cio_fdw in it too, which comes too late.
    path = os.pathsep.join(place for place in (str(packages), MULTICORN, sysconfig.get_path("purelib")) if place)
    with Cluster(server.bin_dir, settings=THROW_AWAY, env={"PYTHONPATH": path}) as cluster:
        door.set_up(cluster.socket_url(), {"base_url": sim.url}, Secret(sim.key))
        with psycopg.connect(cluster.socket_url(), autocommit=True) as db:
            assert db.execute("select count(*) from customerio.campaigns").fetchone() == (12,)
            # The package that answers is the one of the wheel.
            (packages / "cio_fdw" / "multicorn" / "wrapper.py").unlink()
        with psycopg.connect(cluster.socket_url(), autocommit=True) as db, pytest.raises(psycopg.Error) as caught:
            db.execute("select count(*) from customerio.campaigns")
        assert "No module named 'cio_fdw.multicorn.wrapper'" in str(caught.value)


def test_without_the_package_the_server_says_so(server: Installation) -> None:
    with (
        Cluster(server.bin_dir, settings=THROW_AWAY, env={"PYTHONPATH": MULTICORN}) as cluster,
        psycopg.connect(cluster.socket_url(), autocommit=True) as db,
    ):
        db.execute("create extension multicorn")
        with pytest.raises(psycopg.Error) as caught:
            db.execute(f"create server s foreign data wrapper multicorn options (wrapper '{door.WRAPPER}')")
        assert "No module named 'cio_fdw'" in str(caught.value)
