"""Writes figures between the marks of their section in bench/README.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

README = Path(__file__).with_name("README.md")


def write_section(name: str, lines: Iterable[str]) -> None:
    """Replaces what is between `<!-- name:begin -->` and `<!-- name:end -->`. Raises ValueError without them."""
    text, begin, end = README.read_text(), f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{README.name} has no section {name}")
    head, tail = text.split(begin)[0], text.split(end)[1]
    README.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)
