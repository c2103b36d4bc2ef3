"""Bars as SVG, in bench/images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

IMAGES = Path(__file__).with_name("images")
WIDTH, LABEL_WIDTH, VALUE_WIDTH = 760, 170, 110
BAR, GAP, TITLE, MARGIN = 18, 6, 30, 16
OURS, OTHERS = "#1f6feb", "#9aa4b2"
FIRST = "cio_fdw"


class Bars(NamedTuple):
    """A group under one title: (label, length, text at the end of the bar). `whole`: what the full width stands for,
    by default the longest. `ours`: every bar is one of cio_fdw."""

    title: str
    bars: Sequence[tuple[str, float, str]]
    whole: float = 0.0
    ours: bool = False


def write_bars(name: str, title: str, groups: Sequence[Bars]) -> Path:
    """images/<name>.svg; each group has a scale of its own."""
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"{name}.svg"
    path.write_text(_svg(title, groups))
    return path


def _svg(title: str, groups: Sequence[Bars]) -> str:
    parts: list[str] = []
    y = MARGIN + 20
    parts.append(_text(MARGIN, y, title, "bold"))
    for group in groups:
        y += TITLE
        parts.append(_text(MARGIN, y, group.title, "normal"))
        y += GAP + 4
        whole = group.whole or max((length for _, length, _ in group.bars), default=0.0) or 1.0
        for label, length, text in group.bars:
            width = max((WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN) * length / whole, 1.0)
            fill = OURS if group.ours or label.startswith(FIRST) else OTHERS
            parts.append(_text(LABEL_WIDTH - 8, y + BAR - 5, label, "normal", "end"))
            parts.append(f'<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{fill}"/>')
            parts.append(_text(LABEL_WIDTH + width + 6, y + BAR - 5, text, "normal"))
            y += BAR + GAP
    height = y + MARGIN
    # White behind it, as pages are dark for some.
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#1f2328">'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    )
    return "\n".join((head, *parts, "</svg>")) + "\n"


def _text(x: float, y: float, text: str, weight: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
