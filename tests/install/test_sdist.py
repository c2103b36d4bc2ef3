"""The source distribution and the wheel: what is in them, and that the one is made from the other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = {".gitignore"}
"""Tracked, and of no use in a distribution."""
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"


def build(what: str, source: Path, target: Path) -> Path:
    """The file that the build backend makes of `source`, without the network."""
    target.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, what, str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of the checkout that git knows and that are there."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip(f"{ROOT} is not a git checkout, or there is no git: what is tracked is not known")
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def sdist(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from a copy, with what a build in the checkout leaves behind: the backend writes into its source."""
    base = tmp_path_factory.mktemp("sdist")
    for name in tracked:
        (base / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, base / "checkout" / name)
    for name in ("sql/cio_sync--9.9.9.sql", "host/fdw.o", "cio_fdw/__pycache__/secret.cpython-311.pyc"):
        (base / "checkout" / name).parent.mkdir(exist_ok=True)
        (base / "checkout" / name).write_text("of a build")
    return build("sdist", base / "checkout", base / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(base)
    (source,) = base.iterdir()
    return build("wheel", source, base / "dist")


def test_sdist_holds_every_tracked_file_and_nothing_built(sdist: Path, tracked: set[str]) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert tracked - UNPACKED - names == set()
    extra = {name for name in names - tracked if ".egg-info/" not in name}
    assert extra == {"PKG-INFO", "setup.cfg"}


def test_wheel_holds_the_package_and_the_sources_of_the_extension(wheel: Path, tracked: set[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {name for name in tracked if name.startswith("cio_fdw/")}
    sources = {f"cio_fdw/_host/{name}" for name in tracked if name.startswith(("host/", "sql/"))}
    assert names == package | sources
