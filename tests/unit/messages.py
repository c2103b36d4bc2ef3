"""The messages that the product can raise, read out of its sources, each with three dots where a value stands.

python_messages()  {"OptionNameError": {'invalid option "…" for a …'}, …}
host_messages()    {"could not start Python: …", …}
sync_messages()    {"cio: … is not a mirror", …}
notices()          {"…: rows created before … are not read, as the option anchor_date says", …}
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from cio_fdw import errors
from cio_fdw.errors import CioError, RequestError

ROOT = Path(__file__).resolve().parents[2]
HOLE = "…"
CLASSES = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, CioError) and not issubclass(value, RequestError)
}
PRINTF = re.compile(r"%[.\d]*[a-zA-Z]")


def python_messages() -> dict[str, set[str]]:
    """By the name of the class; only texts that stand where the error is made."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "cio_fdw").rglob("*.py")):
        # The simulator and the commands have errors of their own.
        if path.relative_to(ROOT / "cio_fdw").parts[0] in ("simulator", "server"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES):
                continue
            if node.args and (text := _template(node.args[0])):
                found[node.func.id].add(text)
    return found


def _template(node: ast.expr) -> str:
    """A text with its holes; empty for an expression that is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
    return ""


def host_messages() -> set[str]:
    """Texts of ereport in the native host."""
    found = set()
    for path in sorted((ROOT / "host").glob("*.c")):
        for text in re.findall(r'\berrmsg\("((?:[^"\\]|\\.)*)"', path.read_text()):
            found.add(PRINTF.sub(HOLE, text.replace('\\"', '"')))
    return found


def sync_messages() -> set[str]:
    """Texts of RAISE in cio_sync, of every level."""
    found = set()
    for path in sorted((ROOT / "sql" / "cio_sync").glob("*.sql")):
        for text in re.findall(r"\braise (?:exception|warning|notice) '((?:''|[^'])*)'", path.read_text()):
            found.add(text.replace("''", "'").replace("%", HOLE))
        for text in re.findall(r"\bcio\._bad\((?:format\()?'((?:''|[^'])*)'", path.read_text()):
            found.add("cio: " + re.sub(r"%[sIL]", HOLE, text.replace("''", "'")))
    # These two pass on what was said elsewhere.
    return found - {HOLE, f"cio: {HOLE}"}


def notices() -> set[str]:
    """Texts that a scan tells without failing: those of the plan, and those of the scan."""
    found = set()
    for name, function in (("plan.py", "_notices"), ("scan.py", "notice_once")):
        tree = ast.parse((ROOT / "cio_fdw" / name).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == function:
                texts = [
                    part for returned in ast.walk(node) if isinstance(returned, ast.Tuple) for part in returned.elts
                ]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == function:
                texts = node.args
            else:
                continue
            found |= {_template(text) for text in texts}
    return found - {""}
