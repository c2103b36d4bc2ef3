"""A PostgreSQL of one's own: the server under test, copied, so that installing into it disturbs nobody.

PostgreSQL finds its directories relative to its programs, so a copy with the same layout works as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from cio_fdw.server.postgres import Installation, is_embedded

ASKED = ("--bindir", "--pkglibdir", "--sharedir", "--pkgincludedir", "--includedir-server")


def relocated(server: Installation, target: Path) -> Path:
    """pg_config of a copy below `target` that has none of our extensions."""
    pg_config = _embedded(server, target) if is_embedded(server.pg_config) else _system(server, target)
    for pattern in ("cio_fdw*.so", "cio_fdw[.-]*", "cio_sync[.-]*"):
        for path in target.rglob(pattern):
            if path.is_file():
                path.unlink()
    return pg_config


def _embedded(server: Installation, target: Path) -> Path:
    package = server.pg_config.resolve().parents[2]
    _copy(package, target / package.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        _copy(libraries, target / libraries.name)
    return target / package.name / "pginstall" / "bin" / "pg_config"


def _system(server: Installation, target: Path) -> Path:
    told = subprocess.run([server.pg_config, *ASKED], capture_output=True, text=True, check=True, timeout=30)
    directories = sorted(Path(line) for line in told.stdout.splitlines())
    prefix = Path(os.path.commonpath(directories))
    for directory in directories:
        _copy(directory, target / directory.relative_to(prefix))
    return target / server.bin_dir.relative_to(prefix) / "pg_config"


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=_link, symlinks=True, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    """A second name is as good as a copy: an installation replaces files, and does not write into them."""
    if Path(target).exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
