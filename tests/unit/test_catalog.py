"""The catalog as a whole, and against the description of the API that CIO_API_SPEC names (app-api.yaml)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import pytest
import yaml

from cio_fdw import catalog
from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import CatalogError, Column, Endpoint, Parent

SPEC = os.environ.get("CIO_API_SPEC", "")
needs_spec = pytest.mark.skipif(not SPEC, reason="CIO_API_SPEC does not name app-api.yaml: shapes are not compared")
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=list(ENDPOINTS))

SQL_OF_JSON = {"integer": {"bigint", "timestamptz"}, "string": {"text"}, "boolean": {"bool"}, "number": {"float8"}}
MAX_LIMIT = {"messages": 1000}
"""OBSERVED.md, messages: never send more."""


def entry(name: str, **changes: Any) -> Endpoint:
    return Endpoint(name=name, doc=".", path=f"/v1/{name}", rows_key=name, key=("id",), sample={name: []},
                    columns=(Column("id", "bigint", "."), Column("up_id", "bigint", ".")), **changes)  # fmt: skip


def collected(monkeypatch: pytest.MonkeyPatch, *entries: Endpoint) -> Any:
    """What the catalog makes of a package whose one module holds `entries`."""
    module = ModuleType("cio_fdw.catalog.fake")
    module.__dict__.update({f"E{i}": value for i, value in enumerate(entries)})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    info = type("Info", (), {"name": "fake"})
    monkeypatch.setattr(catalog.pkgutil, "iter_modules", lambda _path: [info])
    return catalog._collect()


def test_two_entries_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CatalogError, match=r"^two catalog entries are named things$"):
        collected(monkeypatch, entry("things"), entry("things"))


@pytest.mark.parametrize("parent", [Parent("nobody", "id", "up_id"), Parent("ups", "no", "up_id")])
def test_a_missing_parent_is_refused(monkeypatch: pytest.MonkeyPatch, parent: Parent) -> None:
    child = replace(entry("things"), path="/v1/ups/{up_id}/things", parent=parent)
    with pytest.raises(CatalogError, match=rf"^catalog entry things: no parent {parent.endpoint}\.{parent.key}$"):
        collected(monkeypatch, entry("ups"), child)


def test_a_good_package_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    found = collected(monkeypatch, entry("ups"), entry("things"))
    assert list(found) == ["ups", "things"]


def test_the_catalog_is_read_only() -> None:
    with pytest.raises(TypeError):
        ENDPOINTS["x"] = ENDPOINTS["messages"]  # type: ignore[index]


@every_endpoint
def test_samples_are_plain_json(endpoint: Endpoint) -> None:
    assert json.loads(json.dumps(endpoint.sample)) == endpoint.sample
    assert endpoint.sample[endpoint.rows_key], "an empty sample shows nothing"


@every_endpoint
def test_samples_have_no_key_that_no_column_reads(endpoint: Endpoint) -> None:
    read = {path[0] for column in endpoint.columns for path in (column.key_path, column.fallback.split("."))}
    for record in endpoint.sample[endpoint.rows_key]:
        assert set(record) <= read


@every_endpoint
def test_estimates_are_positive(endpoint: Endpoint) -> None:
    assert endpoint.typical_rows > 0
    assert endpoint.row_bytes > 0
    assert all(0 < filter_.selectivity <= 1 for filter_ in endpoint.filters)


def test_windows_are_under_180_days() -> None:
    assert all(endpoint.window.max_days <= 180 for endpoint in ENDPOINTS.values() if endpoint.window)


def test_limits_stay_under_what_the_api_promises() -> None:
    for name, limit in MAX_LIMIT.items():
        paging = ENDPOINTS[name].paging
        assert paging is not None
        assert paging.page_size <= paging.max_size <= limit


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return yaml.safe_load(Path(SPEC).read_text())


def resolved(spec: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = spec
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def operation(spec: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    return spec["paths"][endpoint.path]["get"]


def record_schema(spec: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    schema = operation(spec, endpoint)["responses"]["200"]["content"]["application/json"]["schema"]
    rows = resolved(spec, resolved(spec, schema)["properties"][endpoint.rows_key])
    return resolved(spec, rows["items"])["properties"]


def schema_at(spec: dict[str, Any], properties: dict[str, Any], path: tuple[str, ...]) -> Optional[dict[str, Any]]:
    node: Optional[dict[str, Any]] = {"properties": properties}
    for key in path:
        node = (node or {}).get("properties", {}).get(key)
        node = resolved(spec, node) if node else None
    return node


def fitting_types(schema: dict[str, Any]) -> set[str]:
    kinds = schema.get("type", [])
    names = {kinds} if isinstance(kinds, str) else set(kinds)
    names.discard("null")
    if schema.get("format") == "unix-timestamp":
        return {"timestamptz"}
    fits = set().union(*(SQL_OF_JSON.get(name, {"jsonb"}) for name in names)) if len(names) == 1 else {"jsonb"}
    if names - {"string"} == {"array"} and schema.get("items", {}).get("type") == "string":
        fits.add("text[]")
    return fits


def columns_of(*names: str) -> Iterator[Any]:
    for name in names:
        for column in ENDPOINTS[name].columns:
            yield pytest.param(ENDPOINTS[name], column, id=f"{name}.{column.name}")


COMPARED = tuple(ENDPOINTS)
OWN = {"activities_by_page": {"page", "next_page"}, "segment_membership": {"segment_id"}}
"""Columns that say where in the API a row was found; its record does not hold them."""
ONLY_OBSERVED = {
    "messages": {"transactional_message_id"},
    "message_drafts": {"transactional_message_id"},
    "segments": {"conditions"},
    "transactional_messages": {"trigger_name"},
    "broadcast_actions": {"parent_action_id"},
}
"""Undeclared keys, seen in answers (OBSERVED.md); the actions of broadcasts have the columns of those of campaigns."""
PAGED_AS_OBSERVED = {"broadcast_actions"}
"""Declared without paging; OBSERVED.md says that `next` is absent at the end, as for the actions of campaigns."""


@needs_spec
@pytest.mark.parametrize(("endpoint", "column"), list(columns_of(*COMPARED)))
def test_column_types_fit_the_description(spec: dict[str, Any], endpoint: Endpoint, column: Column) -> None:
    schema = schema_at(spec, record_schema(spec, endpoint), column.key_path)
    if column.name in ONLY_OBSERVED.get(endpoint.name, set()) | OWN.get(endpoint.name, set()):
        assert schema is None
        return
    assert schema is not None, "the description has no such key"
    assert column.type in fitting_types(schema)


@needs_spec
@pytest.mark.parametrize("name", COMPARED)
def test_every_described_key_is_a_column(spec: dict[str, Any], name: str) -> None:
    endpoint = ENDPOINTS[name]
    read = {path[0] for column in endpoint.columns for path in (column.key_path, column.fallback.split("."))}
    assert set(record_schema(spec, endpoint)) <= read


@needs_spec
@pytest.mark.parametrize("name", COMPARED)
def test_parameters_are_described(spec: dict[str, Any], name: str) -> None:
    endpoint = ENDPOINTS[name]
    described = {
        parameter["name"]: parameter
        for parameter in (resolved(spec, node) for node in operation(spec, endpoint).get("parameters", []))
    }
    sent = {filter_.param for filter_ in endpoint.filters} | {param for param, _ in endpoint.fixed_params}
    if endpoint.window:
        sent |= {endpoint.window.start_param, endpoint.window.end_param}
    if endpoint.paging and name not in PAGED_AS_OBSERVED:
        sent |= {endpoint.paging.param} | ({endpoint.paging.size_param} - {""})
    assert sent <= {param for param, node in described.items() if node["in"] == "query"}
    assert set(endpoint.holes) == {param for param, node in described.items() if node["in"] == "path"}
    for filter_ in endpoint.filters:
        if filter_.known:
            described_values = described[filter_.param]["schema"]
            known = set(described_values.get("enum") or described_values.get("x-values") or ())
            assert filter_.known <= known


@needs_spec
@pytest.mark.parametrize("name", COMPARED)
def test_paging_is_as_described(spec: dict[str, Any], name: str) -> None:
    paging, described = ENDPOINTS[name].paging, operation(spec, ENDPOINTS[name])["x-fdw"]
    assert described["rows"] == ENDPOINTS[name].rows_key
    if name in PAGED_AS_OBSERVED:
        assert (paging is None, described["paging"]) == (False, "none")
        return
    assert (paging is None) == (described["paging"] == "none")
    if paging:
        assert paging.next_key == described["next"].split()[0]
        if not paging.size_param:
            assert paging.page_size == described["page_fixed"]
