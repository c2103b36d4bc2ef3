"""Answers of the API. Every route comes from a catalog entry.

    GET /v1/messages?campaign_id=7&limit=50     the list at the entry's path
    GET /v1/messages/aBc=                       one row, where the entry has a one_row
    GET /v1/campaigns/7/actions                 the children of one parent

What a request needs beyond the catalog is in behaviour.py.
"""

from __future__ import annotations

import hmac
import time
from calendar import monthrange
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Callable
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from cio_fdw.simulator.answers import (
    NOW,
    BadRequestError,
    bad_request,
    json_answer,
    not_found,
    unauthorized,
    unrouted,
)
from cio_fdw.simulator.store import Selection, Wanted
from cio_fdw.simulator.tokens import decode, encode
from cio_fdw.simulator.world import View, World, parse_value, selected, type_of

Query = Mapping[str, str]
Answer = Callable[[Request], Response]


class Api:
    """Finds the route of a request and answers it. Knows nothing of limits, latency and faults."""

    def __init__(self, world: World, key: str) -> None:
        self._authorization = f"Bearer {key}".encode()
        self._routes: list[tuple[Route, View, Callable[[View, Request], Response]]] = []
        for path, view in world.routes.items():
            self._routes.append((Route(path, _never, methods=["GET"]), view, list_rows))
            if view.endpoint.one_row:
                self._routes.append((Route(view.endpoint.one_row.path, _never, methods=["GET"]), view, one_row))

    def answer(self, request: Request) -> Response:
        """The true answer; its status is 200, 400, 401 or 404."""
        for route, view, handler in self._routes:
            match, child = route.matches(request.scope)
            if match is Match.FULL and request.method == "GET":
                request.scope.update(child)
                if not (view.behaviour.keyless or self._knows(request)):
                    return unauthorized()
                try:
                    return handler(view, request)
                except BadRequestError as error:
                    return bad_request(str(error))
        return unrouted()

    def _knows(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(given, self._authorization)


def _never(_request: Request) -> Response:
    """Routes are only matched, never called by Starlette."""
    raise NotImplementedError


def one_row(view: View, request: Request) -> Response:
    """{"message": {…}} of one key, or a structured 404."""
    wanted = parse_value("id", type_of(view.endpoint, "id"), request.path_params["id"])
    body = view.table.get((wanted,))
    if body is None or view.endpoint.one_row is None:
        return not_found()
    return json_answer(b'{"%s":%s}' % (view.endpoint.one_row.row_key.encode(), body))


def list_rows(view: View, request: Request) -> Response:
    """One page of a list. Raises BadRequestError."""
    query = first_values(request)
    wanted = selected(view.params, query)
    parent_key: object = ""
    if view.endpoint.parent is not None and view.parent is not None:
        hole = view.endpoint.parent.column
        parent_key = parse_value(hole, type_of(view.endpoint, hole), request.path_params[hole])
        if view.parent.get((parent_key,)) is None:
            return not_found()
        wanted = (*(pair for pair in wanted if pair[0] != hole), (hole, parent_key))
    selection = _in_window(view, query, wanted, int(request.scope.get(NOW, time.time())))
    if view.endpoint.paging is None:
        return json_answer(_page(view, selection.rows(0, selection.total), None, parent_key))
    return _paged(view, query, selection, parent_key)


def first_values(request: Request) -> Query:
    """The query's parameters; of a repeated one the first."""
    text = request.scope["query_string"].decode("latin-1")
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _in_window(view: View, query: Query, wanted: Wanted, now_s: int) -> Selection:
    """Rows whose time lies in the window asked for, narrowed to its latest months (OBSERVED.md, messages)."""
    window = view.endpoint.window
    if window is None:
        return view.table.select(wanted)
    until_s = _integer(query, window.end_param, now_s)
    since_s = _integer(query, window.start_param, -(10**17))
    if view.behaviour.window_months:
        since_s = max(since_s, months_before(until_s, view.behaviour.window_months))
    return view.table.select(wanted, since_s, until_s)


def months_before(at_s: int, months: int) -> int:
    """The same moment `months` calendar months earlier, in UTC; the last day of a shorter month."""
    try:
        at = datetime.fromtimestamp(at_s, timezone.utc)
        count = at.year * 12 + at.month - 1 - months
        year, month = count // 12, count % 12 + 1
        day = min(at.day, monthrange(year, month)[1])
        return int(at.replace(year=year, month=month, day=day).timestamp())
    except (ValueError, OverflowError, OSError):
        return at_s - months * 31 * 86400


def _integer(query: Query, name: str, default: int) -> int:
    if name not in query:
        return default
    value = parse_value(name, "bigint", query[name])
    return value if isinstance(value, int) else default


def _paged(view: View, query: Query, selection: Selection, parent_key: object) -> Response:
    parent = str(parent_key)
    paging, behaviour = view.endpoint.paging, view.behaviour
    if paging is None:
        raise ValueError(f"{view.endpoint.name} does not page")
    size = behaviour.default_size or paging.page_size
    if paging.size_param:
        asked = _integer(query, paging.size_param, size)
        # OBSERVED.md: 1001 is answered 200; what comes back was not observed, so the documented most.
        size = min(asked, paging.max_size or asked) if asked > 0 else size
    token = query.get(paging.param, "")
    offset = decode(behaviour.cursor, token, parent) if token else 0
    if offset is None:
        raise BadRequestError(f"invalid {paging.param}")
    if offset >= selection.total and behaviour.past_end == "restart":
        offset = 0
    if behaviour.foreign_is_empty and parent_key not in view.minted.get(token, {parent_key}):
        offset = selection.total
    rows = selection.rows(offset, size)
    end = offset + len(rows)
    more = end < selection.total or (behaviour.next_on_last and bool(rows))
    following = encode(behaviour.cursor, end, parent) if more else ""
    if behaviour.foreign_is_empty and following:
        view.minted.setdefault(following, set()).add(parent_key)
    return json_answer(_page(view, rows, following, parent_key))


def _page(view: View, rows: list[bytes], following: object, parent_key: object) -> bytes:
    """The envelope around the rows; `following` is the next token, "" on the last page, None without paging."""
    listed = b"null" if not rows and view.behaviour.null_when_empty else b"[%s]" % b",".join(rows)
    head = b'{"%s":%s' % (view.endpoint.rows_key.encode(), listed)
    if view.behaviour.beside is not None:
        more = view.behaviour.beside([orjson.loads(row) for row in rows], parent_key)
        head = b"%s,%s" % (head, orjson.dumps(more)[1:-1])
    if view.endpoint.paging is None or (not following and view.behaviour.end == "absent"):
        return head + b"}"
    return b'%s,"%s":%s}' % (head, view.endpoint.paging.next_key.encode(), orjson.dumps(following))
