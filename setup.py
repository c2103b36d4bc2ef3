"""Builds the package; pyproject.toml describes it.

The C sources and SQL of the extension travel inside the package, as cio_fdw/_host/{host,sql}, so that an installed
package can build the extension on any server: `cio-fdw install --pg-config PATH`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BUILT = shutil.ignore_patterns("*.o", "*.so", "*.bc", "*.d", "*.gcda", "*.gcno", "__pycache__")


class BuildWithHost(build_py):
    """build_py that also copies host/ and sql/ into the built package."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in ("host", "sql"):
            target = Path(self.build_lib) / "cio_fdw" / "_host" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / name, target, ignore=BUILT)


setup(cmdclass={"build_py": BuildWithHost})
