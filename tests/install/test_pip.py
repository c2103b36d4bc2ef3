"""From a wheel to rows and away again: pip install, cio-fdw install, CREATE EXTENSION, a query, cio-fdw uninstall."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cio_fdw.secret import Secret
from cio_fdw.server.account import server_account
from cio_fdw.server.cluster import THROW_AWAY, Cluster
from cio_fdw.server.database import set_up
from cio_fdw.server.postgres import installation
from cio_fdw.simulator.client import Simulator
from tests.install.relocated import relocated
from tests.install.test_sdist import ROOT, build

TIMEOUT_S = 300


def run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, cwd="/")
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the server's user can read."""
    path = server_account().new_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def fresh_environment(place: Path, tmp_path: Path) -> Path:
    """A new virtual environment with the wheel of this checkout in it, and the wheels it needs from here."""
    source = tmp_path / "source"
    for name in ("cio_fdw", "host", "sql"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.o", "*.so", "__pycache__"))
    for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source)
    wheel = build("wheel", source, tmp_path / "dist")
    environment = place / "venv"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check", wheel)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import cio_fdw; print(cio_fdw.__file__)").strip()
    assert Path(where) == packages / "cio_fdw" / "__init__.py"
    return environment


def test_install_use_and_uninstall(fresh_environment: Path, place: Path, pg_config: Path, sim: Simulator) -> None:
    own = relocated(installation(pg_config), place / "server")
    server = installation(own)
    assert server.version == installation(pg_config).version
    assert str(server.library).startswith(str(place))
    command = fresh_environment / "bin" / "cio-fdw"
    told = run(command, "install", "--pg-config", own)
    assert told.startswith(f"installed into PostgreSQL {server.version}: {server.library}\nnext, in ")
    with Cluster(server.bin_dir, settings=THROW_AWAY) as cluster:
        address = cluster.socket_url()
        set_up(address, {"base_url": sim.url}, Secret(sim.key))
        with psycopg.connect(address, autocommit=True) as db:
            assert db.execute("select count(*) from customerio.campaigns").fetchone() == (12,)
            # Nobody says which Python: the library knows the one that it was installed from.
            setting = db.execute("show cio_fdw.python").fetchone()
            assert setting == (str(fresh_environment / "bin" / "python"),)
            db.execute("create extension cio_sync")
        # Once more: nothing is built, and sessions go on.
        run(command, "install", "--pg-config", own)
        removed = run(command, "uninstall", "--pg-config", own).splitlines()
        assert {Path(line.removeprefix("removed ")).suffix for line in removed} == {".so", ".sql", ".control"}
        assert list(server.extension_dir.glob("cio_*")) == []
        assert not server.library.exists()
        again = run(command, "uninstall", "--pg-config", own)
        assert again == f"nothing of cio_fdw is installed in the PostgreSQL of {own}\n"
        with psycopg.connect(address, autocommit=True) as db:
            with pytest.raises(psycopg.Error, match=r"could not (access file|load library)"):
                db.execute("select count(*) from customerio.campaigns")
            # What is left in the catalog can still be dropped.
            db.execute("drop extension cio_sync; drop extension cio_fdw cascade")
            assert db.execute("select count(*) from pg_foreign_server").fetchone() == (0,)
