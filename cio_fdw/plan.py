"""Quals to requests: pure, nothing is sent and no clock is read here.

    plan(messages, [Qual("campaign_id", "=", 7), Qual("created", ">=", …)], settings, now_s)
    -> Plan(chains=(Chain(GET /v1/messages?campaign_id=7&start_ts=…&end_ts=…&limit=1000), …))

A filter is pushed only when the API then returns a superset of the rows that the statement wants;
PostgreSQL checks every qual again. Contradictory quals give a plan without requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Optional
from urllib.parse import quote

from cio_fdw.endpoint import PAGE, Endpoint, Filter
from cio_fdw.options import Settings
from cio_fdw.quals import UNKNOWN, Qual
from cio_fdw.windows import Bound, Range, Windows, covering_range, split

MAX_ID = 2**53
"""The API's ids are JSON numbers: none is larger, and it refuses what does not fit its own type."""

MAX_COMBINATIONS = 50
"""Most chains that IN lists may multiply to; beyond it a list is left to PostgreSQL."""


@dataclass(frozen=True)
class Request:
    """One GET. `target` is what follows the API's root, encoded."""

    path: str
    params: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        query = "&".join(f"{name}={_encode(value)}" for name, value in self.params)
        return f"{self.path}?{query}" if query else self.path

    def with_param(self, name: str, value: str) -> Request:
        """The same request with `name` set to `value`, replacing an earlier one."""
        kept = tuple(param for param in self.params if param[0] != name)
        return replace(self, params=(*kept, (name, value)))


def _encode(value: str) -> str:
    return value if value == str(UNKNOWN) else quote(value, safe="")


def _path_step(value: Any) -> str:
    """An id inside a path. A bare "?" stands for UNKNOWN only: a real one would begin the query string."""
    return str(UNKNOWN) if value is UNKNOWN else quote(str(value), safe="")


@dataclass(frozen=True)
class Chain:
    """Requests that follow each other's cursor, from `first` on."""

    first: Request
    constants: tuple[tuple[str, Any], ...] = ()
    """Column values known from the request: a child's parent id."""
    may_be_missing: bool = False
    """A 404 means no rows: the parent vanished after its list was read (OBSERVED.md)."""
    row_key: str = ""
    """Where the body holds one row instead of a list (`OneRow`)."""
    one_page: bool = False
    """Ends after its first page: the statement named the page."""
    tail: bool = False
    """An open range; see windows. Its second page must not be asked for as it is."""


@dataclass(frozen=True)
class Plan:
    """What a scan will ask. When `parents` is set, each of its rows gives one more chain (`child`)."""

    endpoint: Endpoint
    chains: tuple[Chain, ...]
    parents: Optional[Plan]
    rows: float
    requests: float
    notices: tuple[str, ...] = ()
    windows: int = 0
    child_params: tuple[tuple[str, str], ...] = ()

    def child(self, parent_id: Any) -> Chain:
        """The chain that reads the rows of one parent."""
        parent = self.endpoint.parent
        if parent is None:
            raise ValueError(f"{self.endpoint.name} has no parent")
        path = self.endpoint.path.replace(f"{{{parent.column}}}", _path_step(parent_id))
        return Chain(
            Request(path, self.child_params),
            constants=((parent.column, parent_id),),
            may_be_missing=True,
        )


def plan(
    endpoint: Endpoint,
    quals: Sequence[Qual],
    settings: Settings,
    *,
    now_s: int,
    endpoints: Mapping[str, Endpoint],
) -> Plan:
    """The plan of one scan at `now_s` (unix seconds)."""
    if any(qual.never for qual in quals):
        return Plan(endpoint, (), None, rows=0, requests=0)
    if endpoint.parent:
        return _plan_children(endpoint, quals, settings, now_s=now_s, endpoints=endpoints)
    if endpoint.by_page:
        return _plan_pages(endpoint, quals, settings)
    whole = _plan_lists(endpoint, quals, settings, now_s=now_s)
    named = _plan_one_rows(endpoint, quals)
    return named if named and named.requests <= whole.requests else whole


def _plan_one_rows(endpoint: Endpoint, quals: Sequence[Qual]) -> Optional[Plan]:
    """One request for each id that the quals name; None when they name none, or there is no such read."""
    ids = allowed_values(quals, "id") if endpoint.one_row else None
    if endpoint.one_row is None or ids is None:
        return None
    chains = tuple(
        Chain(
            Request(endpoint.one_row.path.replace("{id}", _path_step(id_))),
            may_be_missing=True,
            row_key=endpoint.one_row.row_key,
        )
        for id_ in ids
        if _fills_a_path(id_)
    )
    return Plan(endpoint, chains, None, rows=len(chains), requests=len(chains))


def _plan_pages(endpoint: Endpoint, quals: Sequence[Qual], settings: Settings) -> Plan:
    """One request for each page that the quals name by its cursor, or a walk over all pages."""
    paging, tokens = endpoint.paging, allowed_values(quals, PAGE)
    if paging is None:
        raise ValueError(f"{endpoint.name} has no pages")
    first = Request(endpoint.path, (*endpoint.fixed_params, *_size_params(endpoint, settings)))
    rows = _page_size(endpoint, settings)
    if tokens is None:
        requests = 1 + endpoint.typical_rows // rows
        return Plan(endpoint, (Chain(first),), None, rows=endpoint.typical_rows, requests=requests)
    chains = [Chain(first.with_param(paging.param, str(t)) if t else first, one_page=True) for t in tokens]
    return Plan(endpoint, tuple(chains), None, rows=rows * len(chains), requests=len(chains))


def _plan_children(
    endpoint: Endpoint,
    quals: Sequence[Qual],
    settings: Settings,
    *,
    now_s: int,
    endpoints: Mapping[str, Endpoint],
) -> Plan:
    """One chain per parent that the quals name, or one per row of the parent's table."""
    parent = endpoint.parent
    if parent is None:
        raise ValueError(f"{endpoint.name} has no parent")
    pages = max(endpoint.typical_rows / _page_size(endpoint, settings), 1) if endpoint.paging else 1.0
    params = (*endpoint.fixed_params, *_size_params(endpoint, settings))
    ids = allowed_values(quals, parent.column)
    if ids is None:
        parents = plan(endpoints[parent.endpoint], (), settings, now_s=now_s, endpoints=endpoints)
        rows, requests = parents.rows * endpoint.typical_rows, parents.requests + parents.rows * pages
        return Plan(endpoint, (), parents, rows=rows, requests=requests, child_params=params)
    possible = [value for value in ids if _fills_a_path(value)]
    count = len(possible)
    named = Plan(endpoint, (), None, rows=count * endpoint.typical_rows, requests=count * pages, child_params=params)
    return replace(named, chains=tuple(named.child(value) for value in possible))


def _fills_a_path(value: Any) -> bool:
    """False for what no object, hence no row, has: the API's ids are positive, and fill one step of a path."""
    return 0 < value <= MAX_ID if isinstance(value, int) else value not in ("", ".", "..")


def allowed_values(quals: Sequence[Qual], column: str) -> Optional[tuple[Any, ...]]:
    """The values that "=" and "in" quals leave to `column`, in order; None when they say nothing."""
    allowed: Optional[tuple[Any, ...]] = None
    unknown = False
    for qual in quals:
        if qual.column != column or qual.op not in ("=", "in"):
            continue
        if UNKNOWN in qual.values:
            unknown = True
        else:
            allowed = qual.values if allowed is None else tuple(v for v in allowed if v in qual.values)
    return (UNKNOWN,) if allowed is None and unknown else allowed


def _plan_lists(endpoint: Endpoint, quals: Sequence[Qual], settings: Settings, *, now_s: int) -> Plan:
    """One chain per combination of pushed filter values and window."""
    windows = Windows((), None, 0)
    if endpoint.window:
        wanted: Range = covering_range(quals, endpoint.window.column)
        windows = split(endpoint.window, wanted, now_s=now_s, anchor_s=settings.anchor_s)
        if not windows.frozen and not windows.tail:
            return Plan(endpoint, (), None, rows=0, requests=0, notices=_notices(endpoint, windows, settings))
    pushed = _pushed_filters(endpoint, quals, windows, settings)
    if pushed is None:
        return Plan(endpoint, (), None, rows=0, requests=0)
    chains = tuple(
        chain
        for values in itertools.product(*(values for _, values in pushed))
        for chain in _window_chains(
            endpoint,
            [pair for (f, _), v in zip(pushed, values) for pair in ((f.param, str(v)), *f.also)],
            windows,
            settings,
        )
    )
    rows = _expected_rows(endpoint, windows, pushed)
    return Plan(
        endpoint,
        chains,
        None,
        rows=rows,
        requests=len(chains) + rows // _page_size(endpoint, settings) if endpoint.paging else len(chains),
        notices=_notices(endpoint, windows, settings),
        windows=len(windows.frozen),
    )


Pushed = list[tuple[Filter, tuple[Any, ...]]]


def _pushed_filters(
    endpoint: Endpoint, quals: Sequence[Qual], windows: Windows, settings: Settings
) -> Optional[Pushed]:
    """The filters to push with their values; None when no row can match.

    A list of several values costs a chain each, so it is pushed only while that is fewer requests
    than reading everything.
    """
    pushed: Pushed = []
    for filter_ in endpoint.filters:
        values = allowed_values(quals, filter_.column)
        if values is None:
            continue
        if not values:
            return None
        if not all(_is_pushable(filter_, value) for value in values):
            continue
        more = [*pushed, (filter_, values)]
        if len(values) == 1 or _requests(endpoint, windows, more, settings) < _requests(
            endpoint, windows, pushed, settings
        ):
            pushed = more
    return pushed


def _is_pushable(filter_: Filter, value: Any) -> bool:
    """Whether the API is known to take this value; another might be refused, or ignored."""
    if value is UNKNOWN:
        return True
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return False
    if filter_.known:
        return value in filter_.known
    return 0 < value <= MAX_ID if isinstance(value, int) else value != ""


def _requests(endpoint: Endpoint, windows: Windows, pushed: Pushed, settings: Settings) -> float:
    combinations = 1
    for _, values in pushed:
        combinations *= len(values)
    if combinations > MAX_COMBINATIONS:
        return float("inf")
    walks = combinations * max(len(windows.frozen) + bool(windows.tail), 1)
    return walks + _expected_rows(endpoint, windows, pushed) / _page_size(endpoint, settings)


def _expected_rows(endpoint: Endpoint, windows: Windows, pushed: Pushed) -> float:
    """Rows expected from typical sizes of the catalog; the API tells no counts."""
    rows = endpoint.typical_rows * (max(windows.days, 0.01) if endpoint.window else 1)
    for filter_, values in pushed:
        rows *= min(filter_.selectivity * len(values), 1)
    return max(rows, 1)


def _page_size(endpoint: Endpoint, settings: Settings) -> int:
    paging = endpoint.paging
    if paging is None:
        return endpoint.typical_rows
    if not paging.size_param or settings.page_size is None:
        return paging.page_size
    return min(settings.page_size, paging.max_size)


def _size_params(endpoint: Endpoint, settings: Settings) -> tuple[tuple[str, str], ...]:
    if endpoint.paging and endpoint.paging.size_param:
        return ((endpoint.paging.size_param, str(_page_size(endpoint, settings))),)
    return ()


def _window_chains(
    endpoint: Endpoint, filters: list[tuple[str, str]], windows: Windows, settings: Settings
) -> list[Chain]:
    size = _size_params(endpoint, settings)
    head = [*endpoint.fixed_params, *filters]
    if not endpoint.window:
        return [Chain(Request(endpoint.path, (*head, *size)))]
    chains = []
    ranges: list[tuple[Bound, Bound]] = [*windows.frozen, *([windows.tail] if windows.tail else [])]
    for low_s, high_s in ranges:
        bounds = [(endpoint.window.start_param, str(low_s))]
        if high_s is not None:
            bounds.append((endpoint.window.end_param, str(high_s)))
        is_tail = (low_s, high_s) == windows.tail
        chains.append(Chain(Request(endpoint.path, (*head, *bounds, *size)), tail=is_tail))
    return chains


def _notices(endpoint: Endpoint, windows: Windows, settings: Settings) -> tuple[str, ...]:
    if windows.missing_before_s is None:
        return ()
    day = datetime.fromtimestamp(windows.missing_before_s, timezone.utc).date().isoformat()
    if windows.missing_before_s == settings.anchor_s:
        return (f"{endpoint.name}: rows created before {day} are not read, as the option anchor_date says",)
    return (f"{endpoint.name}: Customer.io keeps about 6 months; rows created before {day} are not there",)
