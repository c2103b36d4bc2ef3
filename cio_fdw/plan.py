"""Quals to requests: pure, nothing is sent and no clock is read here.

    plan(messages, [Qual("campaign_id", "=", 7), Qual("created", ">=", …)], settings, now_s)
    -> Plan(chains=(Chain(GET /v1/messages?campaign_id=7&start_ts=…&end_ts=…&limit=1000), …))

A filter is pushed only when the API then returns a superset of the rows that the statement wants;
PostgreSQL checks every qual again. Contradictory quals give a plan without requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Optional

from cio_fdw.endpoint import PAGE, Endpoint, Filter, OneRow
from cio_fdw.options import Settings
from cio_fdw.quals import UNKNOWN, AnyOf, Condition, allowed_values, simplified
from cio_fdw.ranges import US, Bound, Range, wanted_ranges
from cio_fdw.request import MAX_SURE_ID, Chain, Request, fills_a_path, is_large, path_step
from cio_fdw.windows import Windows, frozen_until_s, windows_for

MAX_COMBINATIONS = 50
"""Most chains that IN lists may multiply to; beyond it a list is left to PostgreSQL."""


@dataclass(frozen=True)
class Known:
    """What PostgreSQL's statistics tell (ANALYZE): rows of the table, and what each column's quals keep of them.
    `seen`: what earlier scans found, rows of a whole table, or of a day of a window."""

    total_rows: Optional[float] = None
    selectivity: Mapping[str, float] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """A question to plan: `conditions` hold together; `limit` rows are enough when every condition is pushed."""

    endpoint: Endpoint
    conditions: tuple[Condition, ...]
    settings: Settings
    now_s: int
    endpoints: Mapping[str, Endpoint]
    known: Known = Known()
    limit: Optional[int] = None


@dataclass(frozen=True)
class Plan:
    """What a scan will ask. When `parents` is set, each of its rows gives more chains (`children`)."""

    endpoint: Endpoint
    chains: tuple[Chain, ...]
    parents: Optional[Plan]
    rows: float
    """Rows that the requests bring, expected."""
    requests: float
    notices: tuple[str, ...] = ()
    windows: int = 0
    covers: float = 0.0
    """What the requests read without any other condition: days of a window, 1 for a whole table, else 0."""
    pushed: frozenset[str] = frozenset()
    """Columns whose conditions the requests carry."""
    names: str = ""
    """The column of the parents' rows that `children` takes."""
    ask: Optional[Ask] = field(default=None, repr=False, compare=False)

    def children(self, value: Any) -> tuple[Chain, ...]:
        """The chains that one row of the parents leads to; none when the row is not of this table."""
        if self.ask is None:
            raise ValueError(f"{self.endpoint.name}: a plan without parents has no children")
        if self.endpoint.parent:
            return (_child(self.ask, value),)
        second_s = value // US
        windows = _windows(self.ask, (Range(second_s, second_s),))
        if windows.open_from_s is None:
            return tuple(_window_chains(self.ask, [], windows))
        # Rows may still come into being in it. All that is newer would have the rows of other children, too.
        chains = _window_chains(self.ask, [], Windows(((second_s, second_s),), None, 0))
        return tuple(replace(chain, open=True, range_s=None) for chain in chains)


def plan(
    endpoint: Endpoint,
    conditions: Sequence[Condition],
    settings: Settings,
    *,
    now_s: int,
    endpoints: Mapping[str, Endpoint],
    known: Known = Known(),
    limit: Optional[int] = None,
) -> Plan:
    """The plan of one scan at `now_s` (unix seconds)."""
    ask = Ask(endpoint, simplified(conditions), settings, now_s, endpoints, known, limit)
    if any(condition.never for condition in ask.conditions):
        return Plan(endpoint, (), None, rows=0, requests=0)
    if endpoint.parent:
        return _plan_children(ask)
    if endpoint.by_page:
        return _plan_pages(replace(ask, limit=None))
    whole = _plan_lists(ask)
    named = _plan_one_rows(ask)
    best = named if named and named.requests <= whole.requests else whole
    if limit is None:
        return best
    return replace(best, rows=min(best.rows, limit), requests=min(best.requests, max(limit / page_size(ask), 1)))


def _plan_one_rows(ask: Ask) -> Optional[Plan]:
    """A request or two for each id that the conditions name; None when they name none, or there is no such read."""
    one_row = ask.endpoint.one_row
    ids = allowed_values(ask.conditions, "id") if one_row else None
    if one_row is None or ids is None or any("/" in str(id_) for id_ in ids):
        # Not every server takes an encoded slash for a part of one step; the list is sure to tell.
        return None
    chains = tuple(_named_chain(one_row, id_) for id_ in ids if fills_a_path(id_))
    count = len(chains)
    pushed = frozenset(("id",))
    if not one_row.confirmed:
        return Plan(ask.endpoint, chains, None, rows=count, requests=count, pushed=pushed)
    column = ask.endpoint.window.column if ask.endpoint.window else ""
    lookups = Plan(ask.endpoint, chains, None, rows=count, requests=count)
    parents = lookups if chains else None
    return Plan(ask.endpoint, (), parents, rows=count, requests=2 * count, pushed=pushed, names=column, ask=ask)


def _named_chain(one_row: OneRow, id_: Any) -> Chain:
    path = one_row.path.replace("{id}", path_step(id_))
    chain = Chain(Request(path), may_be_missing=True, row_key=one_row.row_key, leads=one_row.confirmed)
    return replace(chain, may_be_malformed=is_large(id_))


def _plan_pages(ask: Ask) -> Plan:
    """One request for each page that the conditions name by its cursor, or a walk over all pages."""
    endpoint, tokens = ask.endpoint, allowed_values(ask.conditions, PAGE)
    paging = endpoint.paging
    if paging is None:
        raise ValueError(f"{endpoint.name} has no pages")
    first = Request(endpoint.path, (*endpoint.fixed_params, *_size_params(ask)))
    rows = page_size(ask)
    if tokens is None:
        all_ = _typical(ask, endpoint)
        return Plan(endpoint, (Chain(first),), None, rows=all_, requests=1 + all_ // rows)
    chains = [Chain(first.with_param(paging.param, str(t)) if t else first, one_page=True) for t in tokens]
    return Plan(endpoint, tuple(chains), None, rows=rows * len(chains), requests=len(chains), pushed=frozenset((PAGE,)))


def _plan_children(ask: Ask) -> Plan:
    """One chain per parent that the conditions name, or one per row of the parent's table."""
    parent = ask.endpoint.parent
    if parent is None:
        raise ValueError(f"{ask.endpoint.name} has no parent")
    ids, of = allowed_values(ask.conditions, parent.column), ask.endpoints[parent.endpoint]
    if ids is None:
        return _plan_all_children(ask, of, parent.key)
    possible = [value for value in ids if fills_a_path(value)]
    each = _all_children(ask, of) / max(_typical(ask, of), 1)
    if ask.known.total_rows and ids:
        told = ask.known.total_rows * ask.known.selectivity.get(parent.column, 1.0) / len(ids)
        # Statistics of a few parents tell nothing of the others.
        each = told if told >= 1 else ask.known.total_rows / max(_typical(ask, of), 1)
    return Plan(
        ask.endpoint,
        tuple(_child(ask, value) for value in possible),
        None,
        rows=len(possible) * each,
        requests=len(possible) * _pages(ask, each),
        pushed=frozenset((parent.column,)),
    )


def _plan_all_children(ask: Ask, of: Endpoint, key: str) -> Plan:
    parents = plan(of, (), ask.settings, now_s=ask.now_s, endpoints=ask.endpoints, known=Known(seen=ask.known.seen))
    leading = replace(parents, chains=tuple(replace(chain, leads=True) for chain in parents.chains))
    rows = ask.known.total_rows or _all_children(ask, of)
    requests = parents.requests + parents.rows * _pages(ask, rows / max(parents.rows, 1))
    return Plan(ask.endpoint, (), leading, rows=rows, requests=requests, names=key, ask=ask, covers=1)


def _child(ask: Ask, parent_id: Any) -> Chain:
    """The chain that reads the rows of one parent."""
    parent = ask.endpoint.parent
    if parent is None:
        raise ValueError(f"{ask.endpoint.name} has no parent")
    path = ask.endpoint.path.replace(f"{{{parent.column}}}", path_step(parent_id))
    params = (*ask.endpoint.fixed_params, *_size_params(ask))
    chain = Chain(Request(path, params), constants=((parent.column, parent_id),), may_be_missing=True)
    return replace(chain, may_be_malformed=is_large(parent_id))


def _plan_lists(ask: Ask) -> Plan:
    """One chain per combination of pushed filter values and window."""
    endpoint, windows = ask.endpoint, Windows((), None, 0)
    if endpoint.window:
        step_s = max(ask.settings.cache_ttl_s, 1)
        windows = _windows(ask, wanted_ranges(ask.conditions, endpoint.window.column, step_s))
        if not windows.frozen and windows.open_from_s is None:
            return Plan(endpoint, (), None, rows=0, requests=0, notices=_notices(ask, windows))
    pushed = _pushed_filters(ask, windows)
    if pushed is None:
        return Plan(endpoint, (), None, rows=0, requests=0)
    chains = tuple(
        chain
        for values in itertools.product(*(values for _, values in pushed))
        for chain in _window_chains(ask, [(f, value) for (f, _), value in zip(pushed, values)], windows)
    )
    rows = _expected_rows(ask, windows, pushed)
    columns = [filter_.column for filter_, _ in pushed if filter_ in endpoint.filters]
    return Plan(
        endpoint,
        chains,
        None,
        rows=rows,
        requests=len(chains) + rows // page_size(ask) if endpoint.paging else len(chains),
        notices=_notices(ask, windows),
        windows=windows.count,
        covers=0 if pushed or ask.limit else windows.days if endpoint.window else 1,
        pushed=frozenset([*columns, *([endpoint.window.column] if endpoint.window else [])]),
    )


def _windows(ask: Ask, wanted: Sequence[Range]) -> Windows:
    if ask.endpoint.window is None:
        raise ValueError(f"{ask.endpoint.name} has no window")
    return windows_for(ask.endpoint.window, wanted, now_s=ask.now_s, anchor_s=ask.settings.anchor_s)


Pushed = list[tuple[Filter, tuple[Any, ...]]]


def _pushed_filters(ask: Ask, windows: Windows) -> Optional[Pushed]:
    """The filters to push with their values; None when no row can match.

    A list of several values costs a chain each, so it is pushed only while that is fewer requests
    than reading everything.
    """
    pushed: Pushed = []
    for filter_ in ask.endpoint.filters:
        values = allowed_values(ask.conditions, filter_.column)
        if values is None:
            continue
        if not values:
            return None
        if not _can_join(filter_, values, pushed):
            continue
        more = [*pushed, (filter_, values)]
        if len(values) == 1 or _requests(ask, windows, more) < _requests(ask, windows, pushed):
            pushed = more
    return [*pushed, *_presence(ask)]


def _can_join(filter_: Filter, values: tuple[Any, ...], pushed: Pushed) -> bool:
    """Whether the API can be asked for `values` besides what is pushed: a parameter is sent once.

    What may be refused is sent for one value only: the list read in its stead must not be read twice.
    """
    if any(other.param == filter_.param for other, _ in pushed) or (filter_.may_be_refused and len(values) > 1):
        return False
    return all(_is_pushable(filter_, value) for value in values)


def _is_pushable(filter_: Filter, value: Any) -> bool:
    """Whether the API is known to take this value; another might be refused, or ignored."""
    if value is UNKNOWN:
        return True
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return False
    if filter_.known:
        return value in filter_.known
    return 0 < value <= MAX_SURE_ID if isinstance(value, int) else value != ""


def _presence(ask: Ask) -> Pushed:
    """The filter on a column that must not be null, when the user trusts it."""
    presence = ask.endpoint.presence
    if presence is None or not ask.settings.trust_metric_filter:
        return []
    column = next((name for name in presence.columns if _has_value(ask.conditions, name)), None)
    return [(Filter(column, presence.param, selectivity=presence.selectivity), (column,))] if column else []


def _has_value(conditions: Sequence[Condition], column: str) -> bool:
    """Whether the conditions leave no row where `column` is null: a comparison with NULL is never true."""
    return any(
        all(_has_value(branch, column) for branch in one.branches)
        if isinstance(one, AnyOf)
        else one.column == column and one.op != "is null"
        for one in conditions
    )


def _requests(ask: Ask, windows: Windows, pushed: Pushed) -> float:
    combinations = 1
    for _, values in pushed:
        combinations *= len(values)
    if combinations > MAX_COMBINATIONS:
        return float("inf")
    walks = combinations * max(windows.count, 1)
    return walks + _expected_rows(ask, windows, pushed) / page_size(ask)


def _expected_rows(ask: Ask, windows: Windows, pushed: Pushed) -> float:
    """Rows expected: from statistics when there are any, else from typical sizes of the catalog."""
    endpoint, known = ask.endpoint, ask.known
    if known.total_rows is None:
        rows = _typical(ask, endpoint) * (max(windows.days, 0.01) if endpoint.window else 1)
        for filter_, values in pushed:
            rows *= min(filter_.selectivity * len(values), 1)
        return max(rows, 1)
    rows = known.total_rows
    if endpoint.window:
        # Statistics know nothing of rows made since ANALYZE: at least the average density is assumed.
        average = min(windows.days / endpoint.window.kept_days, 1)
        rows *= max(known.selectivity.get(endpoint.window.column, average), average)
    for filter_, _ in pushed:
        rows *= known.selectivity.get(filter_.column, 1.0)
    return max(rows, 1)


def _typical(ask: Ask, endpoint: Endpoint) -> float:
    """Rows of a whole table, or of a day of a window."""
    return ask.known.seen.get(endpoint.name, endpoint.typical_rows)


def _all_children(ask: Ask, of: Endpoint) -> float:
    return ask.known.seen.get(ask.endpoint.name, _typical(ask, of) * ask.endpoint.typical_rows)


def _pages(ask: Ask, rows: float) -> float:
    return max(rows / page_size(ask), 1) if ask.endpoint.paging else 1.0


def page_size(ask: Ask) -> int:
    """Rows asked for at once, or known to come at once when the API fixes it."""
    paging = ask.endpoint.paging
    if paging is None:
        return ask.endpoint.typical_rows
    if not paging.size_param:
        return paging.page_size
    size = paging.page_size if ask.settings.page_size is None else min(ask.settings.page_size, paging.max_size)
    return min(size, ask.limit) if ask.limit else size


def _size_params(ask: Ask) -> tuple[tuple[str, str], ...]:
    paging = ask.endpoint.paging
    return ((paging.size_param, str(page_size(ask))),) if paging and paging.size_param else ()


def _window_chains(ask: Ask, filters: Sequence[tuple[Filter, Any]], windows: Windows) -> list[Chain]:
    endpoint, size = ask.endpoint, _size_params(ask)
    refusable = any(filter_.may_be_refused for filter_, _ in filters)
    kept = [pair for pair in filters if not pair[0].may_be_refused]
    if not endpoint.window:
        request = _request(endpoint, filters, (), size)
        return [Chain(request, fallback=_request(endpoint, kept, (), size) if refusable else None)]
    chains = []
    may_shift = any(endpoint.presence and filter_.param == endpoint.presence.param for filter_, _ in filters)
    ranges: list[tuple[Bound, Bound]] = [*windows.frozen]
    if windows.open_from_s is not None:
        ranges.insert(0, (windows.open_from_s, None))
    for low_s, high_s in ranges:
        bounds = [(endpoint.window.start_param, str(low_s))]
        if high_s is not None:
            bounds.append((endpoint.window.end_param, str(high_s)))
        end_s = frozen_until_s(ask.now_s) if high_s is None else high_s
        range_s: Optional[tuple[int, int]] = None
        if isinstance(low_s, int) and isinstance(end_s, int) and low_s <= end_s and not ask.limit:
            range_s = (low_s, end_s)
        first = _request(endpoint, filters, bounds, size)
        chains.append(Chain(first, open=high_s is None, may_shift=may_shift, range_s=range_s))
    return chains


def _request(
    endpoint: Endpoint,
    filters: Sequence[tuple[Filter, Any]],
    bounds: Sequence[tuple[str, str]],
    size: Sequence[tuple[str, str]],
) -> Request:
    pairs = [pair for filter_, value in filters for pair in ((filter_.param, _sent(filter_, value)), *filter_.also)]
    return Request(endpoint.path, (*endpoint.fixed_params, *pairs, *bounds, *size))


def _sent(filter_: Filter, value: Any) -> str:
    """The value as the parameter takes it."""
    text = str(value)
    return text if value is UNKNOWN or text.startswith(filter_.prefix) else filter_.prefix + text


def _notices(ask: Ask, windows: Windows) -> tuple[str, ...]:
    if windows.missing_before_s is None:
        return ()
    day = datetime.fromtimestamp(windows.missing_before_s, timezone.utc).date().isoformat()
    if windows.missing_before_s == ask.settings.anchor_s:
        return (f"{ask.endpoint.name}: rows created before {day} are not read, as the option anchor_date says",)
    return (f"{ask.endpoint.name}: Customer.io keeps about 6 months; rows created before {day} are not there",)
