"""`python -m cio_fdw` is the command line `cio-fdw`."""

from __future__ import annotations

import sys

from cio_fdw.cli import main

if __name__ == "__main__":
    sys.exit(main())
