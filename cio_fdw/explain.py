"""What EXPLAIN prints of a foreign scan: what will be asked, and, after a run, what was.

    before(plan, 1.0)  -> [("API Request", ("GET /v1/messages?start_ts=…&end_ts=…&limit=1000",), ""), …]
    after(stats)       -> [("API Requests Sent", 3, ""), ("API Throttled", 0.12, "s"), …]

Each property is (label, value, unit). Values come from the statement's own literals and from counters;
the key is in neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from cio_fdw.plan import Plan
from cio_fdw.stats import Stats

Property = tuple[str, Union[tuple[str, ...], int, float], str]

SHOWN_REQUESTS = 5
"""More first requests than this are counted, not listed."""


def before(plan: Plan, requests: float) -> list[Property]:
    """What will be asked; `requests` is how many are expected in one run."""
    properties: list[Property] = [("API Request", tuple(_requests(plan)), "")]
    if not plan.chains and not plan.parents:
        return properties
    if plan.windows:
        properties.append(("API Windows", plan.windows, ""))
    if plan.endpoint.parent and not plan.parents:
        properties.append(("API Parents", len(plan.chains), ""))
    properties.append(("API Requests Estimated", max(round(requests), 1), ""))
    return properties


def _requests(plan: Plan) -> Iterator[str]:
    """The first request of each chain."""
    if plan.parents:
        for chain in plan.parents.chains:
            yield f"GET {chain.first.target}"
        if plan.endpoint.parent:
            yield f"GET {plan.endpoint.path} for each row of {plan.parents.endpoint.name}"
        else:
            yield f"GET {plan.endpoint.path} for the second of {plan.names} that it tells"
    elif not plan.chains:
        yield "none, as no row can match"
    for chain in plan.chains[:SHOWN_REQUESTS]:
        yield f"GET {chain.first.target}"
    if len(plan.chains) > SHOWN_REQUESTS:
        yield f"and {len(plan.chains) - SHOWN_REQUESTS} more of this kind"


def after(stats: Stats) -> list[Property]:
    cached: list[Property] = [("API Answers From Cache", stats.cached, "")] if stats.caching or stats.cached else []
    cut: list[Property] = [("API Ranges Read", stats.ranges, "")] if stats.ranges > 1 else []
    return [
        *cut,
        ("API Requests Sent", stats.requests, ""),
        *cached,
        ("API Retries", stats.retries, ""),
        ("API Rate Limited", stats.rate_limited, ""),
        ("API Throttled", stats.throttled_s, "s"),
        ("API Time", stats.api_s, "s"),
        ("API Rows", stats.rows, ""),
        ("API Bytes", stats.bytes, ""),
    ]
