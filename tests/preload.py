"""Libraries that are put before the system's, for what tests cannot bring about otherwise.

with preloadable(Path("resolver.c")) as library: make_cluster(…, env={"LD_PRELOAD": library})
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def preloadable(source: Path, *flags: str) -> Iterator[str]:
    """The path of `source`, compiled, where the server's user can read it. Raises LookupError without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise LookupError(f"no C compiler: {source.name} cannot be built")
    with tempfile.TemporaryDirectory(prefix="cio_fdw-preload-") as name:
        Path(name).chmod(0o755)
        library = f"{name}/{source.stem}.so"
        subprocess.run([compiler, "-shared", "-fPIC", *flags, "-o", library, str(source), "-ldl"], check=True)
        yield library
