"""The second door: a wrapper class for Multicorn2.

    CREATE SERVER customerio FOREIGN DATA WRAPPER multicorn
        OPTIONS (wrapper 'cio_fdw.multicorn.CustomerIO', region 'us');

It leads to the code behind the native door. What it adds are answers to what Multicorn2 does differently, each in
its own module; docs/multicorn.md tells what a user can see of them.
"""

from __future__ import annotations

from cio_fdw.multicorn import encodings
from cio_fdw.multicorn.wrapper import CustomerIO

encodings.register()

__all__ = ["CustomerIO"]
