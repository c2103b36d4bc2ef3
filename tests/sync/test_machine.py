"""The randomised machine: CIO_MACHINE_STEPS steps for each seed of CIO_MACHINE_SEEDS (nightly: 1000)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.doors import make_cluster, set_up
from tests.sync.helpers import Sync
from tests.sync.machine import Machine, describe

STEPS = int(os.environ.get("CIO_MACHINE_STEPS", "80"))
SEEDS = [int(text) for text in os.environ.get("CIO_MACHINE_SEEDS", "1 2").split()]


@pytest.fixture
def own_cluster(pg_config: Path, cluster: Cluster) -> Iterator[Cluster]:
    """A server that may be killed: its own, with the settings of the other."""
    # A commit that was confirmed must outlive a crash of the server, though not one of the machine.
    settings = {**cluster.settings, "restart_after_crash": "on", "synchronous_commit": "on"}
    with make_cluster(installation(pg_config).bin_dir, settings=settings) as running:
        yield running


@pytest.mark.parametrize("seed", SEEDS)
def test_machine(own_cluster: Cluster, seed: int) -> None:
    with Simulator(messages=300, campaigns=3, rate=0, seed=seed) as sim:
        options = {"base_url": sim.url, "requests_per_second": "1000", "max_retries": "0"}
        set_up(own_cluster.socket_url(), options, Secret(sim.key))
        with Sync(own_cluster.socket_url(), sim) as sync:
            sync.db.execute("create extension cio_sync")
            sync.db.execute("import foreign schema customerio limit to (activities_by_page) "
                            "from server customerio into customerio")  # fmt: skip
            machine = Machine(sync, own_cluster, random.Random(seed))
            try:
                for _ in range(STEPS):
                    machine.step()
                machine.converge()
            except BaseException as error:
                raise AssertionError(f"seed {seed}: {error}\n{describe(machine.now, machine.log)}") from error
