"""Markdown of a run: the machine, tables, and sections of bench/README.md between `<!-- name:begin -->` and `:end`."""

from __future__ import annotations

import os
import platform
import timeit
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from bench.backend import Backend

README = Path(__file__).with_name("README.md")
INCREMENTAL = README.parents[1] / "docs" / "incremental.md"
CPU_INFO = Path("/proc/cpuinfo")


def write_section(name: str, lines: Iterable[str], path: Path = README) -> None:
    """Replaces what is between the marks of a section. Raises ValueError without them."""
    text, begin, end = path.read_text(), f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{path.name} has no section {name}")
    head, tail = text.split(begin)[0], text.split(end)[1]
    path.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)


def machine(url: str) -> Iterator[str]:
    """When and where, and how fast that is today: three lines and an empty one."""
    with Backend(url) as backend:
        version = backend.run("show server_version").result[0][0].split()[0]
    yield f"{datetime.now(timezone.utc):%Y-%m-%d}, {_processor()}, {os.cpu_count()} processors, {platform.system()} "
    yield f"{platform.machine()}; PostgreSQL {version}, Python {platform.python_version()}; "
    yield f"a million additions in Python take {_additions_ms():.0f} ms."
    yield ""


def heading(*titles: str) -> Iterator[str]:
    """The two lines that begin a table."""
    yield row(*titles)
    yield row(*("---" for _ in titles))


def row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _additions_ms() -> float:
    """The best of five: shared machines are not equally fast on all days."""
    return min(timeit.repeat("for number in range(1_000_000): total += number", "total = 0", number=1)) * 1000


def _processor() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
