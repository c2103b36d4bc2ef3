"""Writes figures between the marks of their section in bench/README.md, or in another page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

README = Path(__file__).with_name("README.md")
INCREMENTAL = README.parents[1] / "docs" / "incremental.md"


def write_section(name: str, lines: Iterable[str], path: Path = README) -> None:
    """Replaces what is between `<!-- name:begin -->` and `<!-- name:end -->`. Raises ValueError without them."""
    text, begin, end = path.read_text(), f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{path.name} has no section {name}")
    head, tail = text.split(begin)[0], text.split(end)[1]
    path.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)
