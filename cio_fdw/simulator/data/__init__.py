"""The made-up workspace: Kettle & Finch, a coffee subscription, its campaigns and what it sent.

    make_workspace(seed=7, now_s=1767312000, campaigns=40, messages=20000)

The same seed and now give the same rows, byte for byte.
"""

from __future__ import annotations

from cio_fdw.simulator.data.workspace import Workspace, make_workspace

__all__ = ["Workspace", "make_workspace"]
