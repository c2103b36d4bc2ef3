"""The pipeline reads from the bottom up: a module imports only lower layers (DESIGN.md, section 1)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import cio_fdw

LAYERS = (
    ("errors",),
    ("secret", "quals", "endpoint", "state", "threads", "histogram", "describing"),
    ("options", "ranges", "request", "statefile", "lanes", "traffic"),
    ("catalog", "own_tables", "recordfile"),
    (
        "windows",
        "splitting",
        "ddl",
        "convert",
        "stats",
        "journal",
        "sizes",
        "densities",
        "resolving",
        "joining",
    ),
    ("plan", "throttle", "decoder", "exchange"),
    ("transport", "explain", "pages", "rows"),
    ("cache", "connections"),
    ("fetch", "walk", "seeing"),
    ("dividing", "cutting"),
    ("scan",),
    ("sample",),
    ("native",),
    ("multicorn",),
)
BESIDE = {"simulator", "server", "cli", "listing", "demo", "__main__", "__init__"}
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cio_fdw":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("cio_fdw.")}
    return found - {"__version__"}


def modules() -> list[tuple[str, Path]]:
    root = Path(cio_fdw.__file__).parent
    names = []
    for path in sorted(root.rglob("*.py")):
        top = path.relative_to(root).parts[0].removesuffix(".py")
        if top not in BESIDE:
            names.append((top, path))
    return names


def test_every_module_has_a_layer() -> None:
    assert {name for name, _ in modules()} == set(RANK)


def test_no_module_imports_its_own_layer_or_a_higher_one() -> None:
    wrong = [
        f"{path.name} imports {other}"
        for name, path in modules()
        for other in sorted(imports(path))
        if other != name and RANK.get(other, 99) >= RANK[name]
    ]
    assert not wrong


def test_the_page_shows_these_layers() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text()
    (table,) = re.findall(r"<!-- layers:begin -->\n(.*?)<!-- layers:end -->", page, re.DOTALL)
    shown = re.findall(r"^\| (\d+) \| (.*?) \|", table, re.MULTILINE)
    assert [number for number, _ in shown] == [str(rank) for rank, _ in enumerate(LAYERS, start=1)]
    assert tuple(tuple(re.findall(r"`(\w+)`", names)) for _, names in shown) == LAYERS
