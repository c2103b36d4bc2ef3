"""A tiny model of the API: do the planned requests bring every row that the statement wants, and none twice?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.catalog.messages import MESSAGE_TYPES
from cio_fdw.options import resolve
from cio_fdw.plan import Plan, plan
from cio_fdw.quals import AnyOf, Condition, Qual
from cio_fdw.ranges import US
from cio_fdw.request import Chain
from cio_fdw.windows import DAY_S

NOW_S = 1_767_312_000
TYPES = ("email", "push", "sms", "?", "")
messages = st.fixed_dictionaries(
    {
        "id": st.sampled_from(("a", "b", "c/d")),
        "campaign_id": st.sampled_from((None, 1, 2, 3)),
        "action_id": st.sampled_from((None, 1, 2)),
        "type": st.sampled_from((None, *TYPES)),
        "created": st.integers(NOW_S - 400 * DAY_S, NOW_S) | st.integers(NOW_S - 6, NOW_S),
    }
)
ids = st.sampled_from((-1, 0, 1, 2, 3, None))
times = st.builds(
    lambda s, us: s * US + us,
    st.integers(NOW_S - 400 * DAY_S, NOW_S + 9) | st.integers(NOW_S - 6, NOW_S + 1),
    st.sampled_from((0, 1, 999_999)),
) | st.sampled_from((math.inf, -math.inf, None))
equal, listed, compared = st.just("="), st.just("in"), st.sampled_from(("=", "<", "<=", ">", ">="))
model_quals = st.one_of(
    st.builds(Qual, st.sampled_from(("campaign_id", "action_id")), compared, ids),
    st.builds(Qual, st.sampled_from(("campaign_id", "action_id")), listed, st.lists(ids, max_size=4).map(tuple)),
    st.builds(Qual, st.just("id"), equal, st.sampled_from(("a", "b", "", "?", None))),
    st.builds(Qual, st.just("id"), listed, st.lists(st.sampled_from(("a", "c/d", "..")), max_size=3).map(tuple)),
    st.builds(Qual, st.just("type"), equal, st.sampled_from((*TYPES, None))),
    st.builds(Qual, st.just("type"), listed, st.lists(st.sampled_from(TYPES), max_size=3).map(tuple)),
    st.builds(Qual, st.just("created"), compared, times),
    st.builds(Qual, st.just("created"), listed, st.lists(times, max_size=3).map(tuple)),
    st.builds(Qual, st.sampled_from(("campaign_id", "type")), st.sampled_from(("is null", "is not null")), st.none()),
)


conditions = st.recursive(
    model_quals,
    lambda inner: st.builds(
        AnyOf, st.lists(st.lists(inner, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)


def matches(row: dict[str, Any], qual: Condition) -> bool:
    if isinstance(qual, AnyOf):
        return any(all(matches(row, part) for part in branch) for branch in qual.branches)
    value = row[qual.column]
    if qual.op in ("is null", "is not null"):
        return (value is None) == (qual.op == "is null")
    if value is None or qual.value is None:
        return False
    if qual.column == "created":
        value *= US
    if qual.op == "in":
        return value in [one for one in qual.value if one is not None]
    compare = {"=": "__eq__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
    return getattr(float(value), compare[qual.op])(qual.value) if qual.column == "created" else getattr(
        value, compare[qual.op]
    )(qual.value)  # fmt: skip


def brings(chain: Chain, row: dict[str, Any]) -> bool:
    """Whether the API, as OBSERVED.md has it, answers this chain with this row."""
    if chain.row_key:
        return chain.first.path == f"/v1/messages/{quote(row['id'], safe='')}"
    for name, value in chain.first.params:
        if name == "start_ts" and row["created"] < int(value):
            return False
        if name == "end_ts" and row["created"] > int(value):
            return False
        if name == "type" and value not in MESSAGE_TYPES:
            return False  # refused, or another filter than it seems
        if name in row and str(row[name]) != value:
            return False
    return True


def chains_of(made: Plan, rows: list[dict[str, Any]]) -> Iterator[Chain]:
    """All chains of the plan: a read by id tells the second of a row, whichever table holds it."""
    yield from made.chains
    if made.parents:
        found = {row["created"] for row in rows for chain in made.parents.chains if brings(chain, row)}
        for second in found:
            yield from made.children(second * US)


@settings(max_examples=300, deadline=None)
@given(st.lists(messages, max_size=12), st.lists(conditions, max_size=4), st.sampled_from((None, "2025-12-01")))
def test_requests_bring_every_wanted_row_exactly_once(rows: Any, quals: list[Condition], anchor: Any) -> None:
    options = {"anchor_date": anchor} if anchor else {}
    made = plan(ENDPOINTS["messages"], quals, resolve(options), now_s=NOW_S, endpoints=ENDPOINTS)
    shown_from_s = max(NOW_S - 184 * DAY_S, resolve(options).anchor_s or 0)
    chains = list(chains_of(made, rows))
    for row in rows:
        times_brought = sum(brings(chain, row) for chain in chains)
        assert times_brought <= 1
        if all(matches(row, qual) for qual in quals) and row["created"] >= shown_from_s:
            assert times_brought == 1
        if row["created"] < shown_from_s:
            assert times_brought == 0
