"""Plans of the catalog and of two endpoints with text parents and filters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Column, Endpoint, Filter, OneRow, Paging, Parent
from cio_fdw.options import resolve
from cio_fdw.plan import Plan, plan
from cio_fdw.quals import Qual
from cio_fdw.ranges import US

NOW_S = 1_767_312_000
DEFAULTS = resolve({})
SEARCH = Endpoint(
    name="search",
    doc="A table with text filters.",
    path="/v1/search",
    rows_key="search",
    key=("id",),
    columns=(Column("id", "bigint", "."), Column("name", "text", "."), Column("kind", "text", ".")),
    filters=(Filter("name", "name"), Filter("kind", "kind", known=frozenset(("a", "b")))),
    fixed_params=(("hidden", "true"),),
    sample={"search": []},
)
MEMBERS = Endpoint(
    name="members",
    doc="A child with text parents and a page size.",
    path="/v1/search/{name}/members",
    rows_key="members",
    key=("id",),
    columns=(Column("id", "bigint", "."), Column("name", "text", ".")),
    parent=Parent("search", "name", "name"),
    paging=Paging(size_param="limit", page_size=100, max_size=300),
    fixed_params=(("all", "1"),),
    typical_rows=250,
    sample={"members": []},
)
# Long lists with a one-row read by a text id: the catalog has none at present.
DELIVERIES = replace(ENDPOINTS["messages"], name="deliveries", one_row=OneRow("/v1/messages/{id}", "message"))
WORLD = {**ENDPOINTS, "search": SEARCH, "members": MEMBERS, "deliveries": DELIVERIES}


def planned(table: str, *quals: tuple[str, str, Any], **options: str) -> Plan:
    settings_ = resolve(options) if options else DEFAULTS
    return plan(WORLD[table], [Qual(*qual) for qual in quals], settings_, now_s=NOW_S, endpoints=WORLD)


def targets(table: str, *quals: tuple[str, str, Any], **options: str) -> list[str]:
    return [chain.first.target for chain in planned(table, *quals, **options).chains]


LAST_MINUTE = ("created", ">=", (NOW_S - 60) * US)
UNTIL_EARLIER = ("created", "<=", (NOW_S - 30) * US)
RANGE = (LAST_MINUTE, UNTIL_EARLIER)
TIMES = f"start_ts={NOW_S - 60}&end_ts={NOW_S - 30}&limit=1000"
