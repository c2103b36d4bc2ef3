"""python -m cio_fdw.simulator: the same command as `cio-fdw simulate`."""

from __future__ import annotations

import sys

from cio_fdw.simulator.command import main

sys.exit(main(sys.argv[1:]))
