"""The Markdown pages: each link leads to a file and a heading that exist, and docs/README.md names every page."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^( *)```.*?^\1```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
OUTSIDE = re.compile(r"\w+:")


def pages() -> list[Path]:
    """Every page of the checkout; hidden directories and virtual environments are not of it."""
    found = []
    for at, directories, names in os.walk(ROOT):
        directories[:] = [name for name in directories if not name.startswith(".") and name not in ("venv", "build")]
        found += [Path(at, name) for name in names if name.endswith(".md")]
    return sorted(found)


def links(text: str) -> list[str]:
    """Targets of the links in a page, without those that are only shown as code."""
    return LINK.findall(CODE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchor of each heading as GitHub makes it: lower case, hyphens for blanks, a number when it comes again."""
    seen: Counter[str] = Counter()
    made = set()
    for title in re.findall(r"^#{1,6} +(.+?) *$", re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made


def complaint(page: Path, target: str) -> str:
    """What is wrong with a link of a page; empty when it leads somewhere."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: no such file"
    if anchor and anchor not in anchors(file.read_text()):
        return f"{target}: no such heading"
    return ""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    inside = [target for target in links(page.read_text()) if not OUTSIDE.match(target)]
    assert [wrong for wrong in (complaint(page, target) for target in inside) if wrong] == []


def test_every_page_is_in_the_index() -> None:
    named = [(DOCS / target.partition("#")[0]).resolve() for target in links((DOCS / "README.md").read_text())]
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= set(named)
    assert ROOT / "bench" / "README.md" in named
    assert len(set(named)) == len(named)


def test_the_front_page_leads_to_the_index() -> None:
    assert "docs/README.md" in links((ROOT / "README.md").read_text())


def test_a_link_astray_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`, three\n\n## Again\n\n## Again\n\n```text\n# Code\n```\n\n[x](other.md) `[y](z.md)`\n")
    assert links(page.read_text()) == ["other.md"]
    assert anchors(page.read_text()) == {"one-two-three", "again", "again-1"}
    assert complaint(page, "other.md") == "other.md: no such file"
    assert complaint(page, "#code") == "#code: no such heading"
    assert complaint(page, "page.md#again-1") == ""
