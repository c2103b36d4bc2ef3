"""Builds the native host and installs it into one PostgreSQL.

    build_and_install(Path("/usr/bin/pg_config"), Path(sys.executable), Path("/var/tmp/build"))

The sources are copied to the build directory first: a checkout may be read-only, have a space in its path, or be built
for two servers. Nothing is done when sources, server, interpreter and the installed library are those of the last time.
Errors: ServerError, with the compiler's last lines and what to install.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cio_fdw.server.errors import ServerError
from cio_fdw.server.needs import check_python
from cio_fdw.server.postgres import Installation, installation, is_embedded

EXTENSIONS = ("cio_fdw", "cio_sync")
OLDEST_MAJOR = 14
MAX_SHOWN_LINES = 25
MAKE_TIMEOUT_S = 600.0
SOURCE_NAMES = ("*.c", "*.h", "*.control", "*.sql", "Makefile")
EMBEDDED_CFLAGS = "-O2 -g -Wall -Wextra -fno-strict-aliasing -fwrapv -fexcess-precision=standard -Wno-unused-parameter"
"""Instead of the wheel's own flags, which are those of the newer compiler that made it."""

NEEDED = "apt-get install gcc libc6-dev make python3-dev"


def source_dirs() -> dict[str, Path]:
    """{"host": …, "sql": …, "sql/cio_sync": …}: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for base in (package / "_host", package.parent):
        if (base / "host" / "Makefile").is_file():
            return {name: base / name for name in ("host", "sql", "sql/cio_sync")}
    raise ServerError("the C sources of the extension are missing from this installation of cio_fdw")


def build_and_install(pg_config: Path, python: Path, build_dir: Path) -> None:
    """Makes the extension of this package, for `python`, the one installed in the server of `pg_config`."""
    server = installation(pg_config)
    _check(server, python, build_dir)
    build_dir.mkdir(parents=True, exist_ok=True)
    with _locked(build_dir / "lock"):
        flags = _make_flags(server, python)
        wanted = _digest(server, flags)
        stamp = build_dir / "stamp"
        if stamp.is_file() and stamp.read_text() == wanted + _installed_digest(server):
            return
        _check_writable(server)
        tree = build_dir / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        for name, source in source_dirs().items():
            _copy_sources(source, tree / name)
        _make(tree / "host", flags)
        stamp.write_text(wanted + _installed_digest(server))


def uninstall(pg_config: Path) -> list[Path]:
    """Removes the extension's files from the server of `pg_config`; returns them."""
    server = installation(pg_config)
    files = [server.library, *_extension_files(server)]
    found = [path for path in files if path.is_file()]
    if found:
        _check_writable(server)
    for path in found:
        path.unlink()
    return found


def _extension_files(server: Installation) -> list[Path]:
    return sorted(path for name in EXTENSIONS for path in server.extension_dir.glob(f"{name}[.-]*"))


def is_writable(server: Installation) -> bool:
    """Whether this process may install into the server, making directories that its packages did not make."""
    return all(os.access(_nearest(path), os.W_OK) for path in (server.pkglib_dir, server.extension_dir))


def _nearest(path: Path) -> Path:
    """The path itself or the first directory above it that is there: with the headers alone, there is no extension/."""
    return next(one for one in (path, *path.parents) if one.exists())


def _check(server: Installation, python: Path, build_dir: Path) -> None:
    for what, path in (("build directory", build_dir), ("pg_config", server.pg_config), ("interpreter", python)):
        if any(character.isspace() for character in str(path)):
            raise ServerError(f"the {what} {str(path)!r} has a space in its path, which make cannot handle")
    if server.major < OLDEST_MAJOR:
        raise ServerError(f"PostgreSQL {server.version} is too old: the extension needs {OLDEST_MAJOR} or newer")
    # Debian's server brings pgxs.mk, and its headers are a package of their own.
    for path in (server.pgxs, server.include_dir / "postgres.h"):
        if not path.is_file():
            package = f"postgresql-server-dev-{server.major}"
            raise ServerError(f"{path} is missing: install the server's headers (apt-get install {package})")
    for program in ("make", "gcc"):
        if shutil.which(program) is None:
            raise ServerError(f"{program} is missing: {NEEDED}")
    check_python(python)


def _check_writable(server: Installation) -> None:
    if not is_writable(server):
        raise ServerError(f"installing into {server.pkglib_dir} needs root: run the same command with sudo")


def _make_flags(server: Installation, python: Path) -> list[str]:
    # Bitcode is for inlining into JIT code, which a foreign data wrapper never is; it would need clang.
    flags = [f"PG_CONFIG={server.pg_config}", f"CIO_PYTHON={python}", "with_llvm=no"]
    if is_embedded(server.pg_config):
        flags += ["CC=gcc", f"CFLAGS={EMBEDDED_CFLAGS}"]
    return flags


def _digest(server: Installation, flags: list[str]) -> str:
    """What one build depends on, as a hash."""
    digest = hashlib.sha256(f"{server.version}\0{flags}\0{_python_version(flags)}\0".encode())
    for name, directory in sorted(source_dirs().items()):
        for path in _sources_in(directory):
            digest.update(f"{name}/{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources_in(directory: Path) -> list[Path]:
    return sorted(path for pattern in SOURCE_NAMES for path in directory.glob(pattern))


def _copy_sources(source: Path, target: Path) -> None:
    """Copies what is in the files, not their modes: the copy of a read-only checkout must be writable."""
    target.mkdir(parents=True)
    for path in _sources_in(source):
        shutil.copyfile(path, target / path.name)


def _python_version(flags: list[str]) -> str:
    python = next(flag for flag in flags if flag.startswith("CIO_PYTHON=")).partition("=")[2]
    done = subprocess.run(
        [python, "-I", "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise ServerError(f"the interpreter {python} does not run: {done.stderr.strip()[-500:]}")
    return done.stdout


def _installed_digest(server: Installation) -> str:
    """Tells whether the installed files are still those of our build: another checkout may have put its own there."""
    digest = hashlib.sha256()
    for path in [server.library, *_extension_files(server)]:
        digest.update(path.read_bytes() if path.is_file() else b"missing")
    return digest.hexdigest()


def _make(host: Path, flags: list[str]) -> None:
    # Settings of an outer make (-n, variables given on its command line) must not leak into this one.
    env = {name: text for name, text in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    try:
        done = subprocess.run(
            ["make", "-C", str(host), f"-j{os.cpu_count() or 1}", *flags, "install"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=MAKE_TIMEOUT_S,
            env={**env, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"building the extension took longer than {MAKE_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-MAX_SHOWN_LINES:])
        raise ServerError(f"the extension could not be built:\n{last}\nIf a program or header is missing: {NEEDED}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
