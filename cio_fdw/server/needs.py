"""What building the host needs of an interpreter: its header and its library, looked for before make runs.

    check_python(Path("/usr/bin/python3"))      # returns, or raises ServerError with the Debian package

A compiler's "Python.h: No such file" names no package; this does.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from cio_fdw.server.errors import ServerError

FACTS = (
    "import sysconfig as s, sys; get = s.get_config_var; "
    "print(s.get_path('include'), get('LIBDIR') or '', get('LDVERSION') or '', "
    "'%d.%d' % sys.version_info[:2], sep='\\n')"
)
PROBE_TIMEOUT_S = 60


def check_python(python: Path) -> None:
    """Raises ServerError when the header or the library of `python` is missing."""
    done = subprocess.run(
        [str(python), "-I", "-c", FACTS], capture_output=True, text=True, check=False, timeout=PROBE_TIMEOUT_S
    )
    if done.returncode:
        raise ServerError(f"the interpreter {python} does not run: {done.stderr.strip()[-500:]}")
    include, library_dir, name, version = done.stdout.split("\n")[:4]
    if not (Path(include) / "Python.h").is_file():
        raise ServerError(f"{include}/Python.h is missing: apt-get install python{version}-dev")
    if not _links(library_dir, name):
        raise ServerError(f"libpython{name}.so is missing for {python}: apt-get install libpython{version}-dev")


def _links(library_dir: str, name: str) -> bool:
    """Whether the linker finds the library: it knows directories that the interpreter does not tell."""
    command = ["gcc", "-shared", "-x", "c", "/dev/null", "-o", "/dev/null", f"-L{library_dir}", f"-lpython{name}"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=PROBE_TIMEOUT_S)
    return done.returncode == 0
