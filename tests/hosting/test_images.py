"""The images themselves, built and run by Docker through testcontainers, where there is an engine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from testcontainers.compose import DockerCompose

DOCKER = Path(__file__).resolve().parents[2] / "docker"
PORTS = {"database": 5432, "multicorn": 5433}
CAMPAIGNS = 40


def _fails(*command: str) -> str:
    """Why the command does not work, empty when it does."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it says nothing"])[-1]


@pytest.fixture(scope="module")
def stack() -> Iterator[DockerCompose]:
    for command in (("docker", "info"), ("docker", "compose", "version")):
        if reason := _fails(*command):
            pytest.skip(f"`{' '.join(command)}` does not work, so no image can be built: {reason}")
    with DockerCompose(DOCKER, compose_file_name="compose.yaml", profiles=["multicorn"], build=True, wait=True) as up:
        yield up


@pytest.mark.parametrize("service", PORTS)
def test_the_quick_start_in_the_image(stack: DockerCompose, service: str) -> None:
    # Both databases live in the network of the simulator, which publishes their ports.
    host, port = stack.get_service_host_and_port("simulator", PORTS[service])
    address = f"postgresql://postgres:postgres@{host}:{port}/postgres"
    with psycopg.connect(address, autocommit=True, connect_timeout=60) as db:
        rows = db.execute("select id, name from customerio.campaigns").fetchall()
        assert len(rows) == CAMPAIGNS
        wrapper = db.execute("select fdwname from pg_foreign_data_wrapper").fetchall()
        assert wrapper == [("multicorn" if service == "multicorn" else "cio_fdw",)]
