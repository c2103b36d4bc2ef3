"""What is missing for a build is named with its Debian package, before the compiler runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cio_fdw.server.errors import ServerError
from cio_fdw.server.needs import check_python


def interpreter(directory: Path, include: str, name: str) -> Path:
    """A program that tells these facts of itself, as python3 without its -dev package does."""
    path = directory / "python3"
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{include}' '/nonexistent' '{name}' '3.11'\n")
    path.chmod(0o755)
    return path


def test_this_interpreter_can_be_built_for():
    check_python(Path(sys.executable))


def test_missing_header_names_the_package(tmp_path):
    with pytest.raises(ServerError, match=r"/nonexistent/Python\.h is missing: apt-get install python3\.11-dev"):
        check_python(interpreter(tmp_path, "/nonexistent", "3.11"))


def test_missing_library_names_the_package(tmp_path):
    (tmp_path / "Python.h").touch()
    with pytest.raises(ServerError, match=r"libpython9\.99\.so is missing .*apt-get install libpython3\.11-dev"):
        check_python(interpreter(tmp_path, str(tmp_path), "9.99"))


def test_interpreter_that_does_not_run_is_named(tmp_path):
    path = tmp_path / "python3"
    path.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    path.chmod(0o755)
    with pytest.raises(ServerError, match="does not run: broken"):
        check_python(path)
