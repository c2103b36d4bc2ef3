"""docs/contributing.md tells of each read of the API whether an entry can express it: held against the description.

What "one entry" means is tried: an Endpoint is made of the description's path and schema, and the catalog accepts it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import CatalogError, Column, Endpoint, Paging, Parent

SPEC = os.environ.get("CIO_API_SPEC", "")
pytestmark = pytest.mark.skipif(not SPEC, reason="CIO_API_SPEC does not name app-api.yaml: reads are not compared")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "contributing.md"
TYPES = {"integer": "bigint", "string": "text", "boolean": "bool", "number": "float8"}
OF_PARENT = {path: e.name for e in ENDPOINTS.values() for path in [e.path] if not e.holes and not e.fixed_params}


@pytest.fixture(scope="module")
def spec() -> Any:
    return yaml.safe_load(Path(SPEC).read_text())


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """{path: what an entry needs} as the page says it."""
    (table,) = re.findall(r"<!-- reads:begin -->\n(.*?)<!-- reads:end -->", PAGE.read_text(), re.DOTALL)
    rows = [line.strip("| \n").split(" | ") for line in table.splitlines()[2:]]
    pairs = [(path, needed) for paths, needed in rows for path in re.findall(r"`(/v1/[^`]+)`", paths)]
    assert len(dict(pairs)) == len(pairs), "a read is told of twice"
    return dict(pairs)


def resolved(spec: Any, schema: Any) -> Any:
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def parameters(spec: Any, operation: Any) -> list[Any]:
    found = [*operation.get("parameters", [])]
    return [spec["components"]["parameters"][p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in found]


def column(name: str, schema: Any) -> Column:
    kinds = schema.get("type", "object")
    kind = next((k for k in ([kinds] if isinstance(kinds, str) else kinds) if k != "null"), "object")
    if "unix" in str(schema.get("format", "")):
        return Column(name, "timestamptz", ".")
    return Column(name, TYPES.get(kind, "jsonb"), ".")


def entry(spec: Any, path: str) -> Optional[Endpoint]:
    """The entry that the description's path and schema make; None when the words of Endpoint do not suffice."""
    operation = spec["paths"][path]["get"]
    asked = [p for p in parameters(spec, operation) if p["in"] == "query"]
    body = resolved(spec, operation["responses"]["200"]["content"]["application/json"]["schema"])
    parts = {key: resolved(spec, value) for key, value in body.get("properties", {}).items()}
    paging = Paging(page_size=100) if parts.pop("next", {}).get("type") == "string" else None
    if len(parts) != 1 or any(p.get("required") or p["name"] == "start_ts" for p in asked):
        return None
    ((rows_key, rows),) = parts.items()
    record = resolved(spec, rows.get("items", {})).get("properties")
    above, hole, _ = re.fullmatch(r"([^{]*?)(?:/\{(\w+)\}(.*))?", path).groups()  # type: ignore[union-attr]
    if not record or (hole and above not in OF_PARENT):
        return None
    columns = [column(name, resolved(spec, schema)) for name, schema in record.items() if name != hole]
    if hole:
        columns.append(Column(hole, "bigint", "."))
    key = columns[0].name
    parent = Parent(OF_PARENT[above], "id", hole) if hole else None
    try:
        return Endpoint(
            name="tried", doc=".", path=path, rows_key=rows_key, key=(key,), columns=tuple(columns), paging=paging,
            parent=parent, sample={rows_key: []},
        )  # fmt: skip
    except CatalogError:
        return None


def test_every_read_of_the_description_is_a_table_or_told_of(spec: Any, told: dict[str, str]) -> None:
    def shape(path: str) -> str:
        return re.sub(r"{\w+}", "{}", path)

    reads = {path for path, operations in spec["paths"].items() if "get" in operations}
    lists = {shape(e.path) for e in ENDPOINTS.values()}
    ones = {shape(e.one_row.path) for e in ENDPOINTS.values() if e.one_row}
    assert set(told) == {path for path in reads if shape(path) not in lists | ones}
    text = " ".join(PAGE.read_text().split())
    assert f"{len(lists)} are the lists behind the tables of today, and {len(ones)} read one row" in text


def test_one_entry_is_said_of_what_an_entry_can_express(spec: Any, told: dict[str, str]) -> None:
    assert {path for path, needed in told.items() if needed.startswith("one entry")} == {
        path for path in told if entry(spec, path)
    }


def test_the_rule_knows_the_tables_of_today(spec: Any) -> None:
    """Lists without parameters of their own come out as entries, so that a rule that refuses all would be seen."""
    simple = {e.path for e in ENDPOINTS.values() if not e.window and not e.filters and e.incremental == "snapshot"}
    assert {path for path in simple & set(spec["paths"]) if entry(spec, path)} >= {
        "/v1/campaigns", "/v1/broadcasts", "/v1/campaigns/{campaign_id}/actions", "/v1/snippets", "/v1/segments",
    }  # fmt: skip
