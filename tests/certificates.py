"""Certificates of tests.

with certificates() as make: own = make("localhost")     own.certificate, own.key: PEM files, readable by everybody
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

Make = Callable[[str], "Own"]


class Own(NamedTuple):
    """A certificate that signs itself, so it is its own authority."""

    certificate: Path
    key: Path


@contextmanager
def certificates() -> Iterator[Make]:
    """Makes certificates of host names. Raises LookupError without the program openssl."""
    program = shutil.which("openssl")
    if program is None:
        raise LookupError("the openssl program is not installed: it makes the certificate of this test")
    with tempfile.TemporaryDirectory(prefix="cio_fdw-tls-") as name:
        Path(name).chmod(0o755)

        def make(host: str) -> Own:
            place = Path(tempfile.mkdtemp(dir=name))
            place.chmod(0o755)
            own = Own(place / "certificate.pem", place / "key.pem")
            kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            subject = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
            files = ["-keyout", own.key, "-out", own.certificate]
            subprocess.run([program, "req", *kind, *subject, *files], check=True, capture_output=True)
            return own

        yield make
