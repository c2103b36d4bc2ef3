"""The control side under /_sim/: what arrived, what goes wrong, and the rows themselves.

    GET  /_sim/log            POST /_sim/reset          GET  /_sim/stats
    POST /_sim/faults  [rule, …]                        (faults.py)
    POST /_sim/messages       {"add": [part of a row, …], "touch": [{"id", "metrics", "set"}, …], "delete": [id, …]}
    GET  /_sim/data/{table}   every row as JSON lines; ?parents=1 makes each {"parent": key, "row": {…}}
    POST /_sim/data/{table}   {"rows": [row, …], "parent": key}: adds or replaces
    DELETE /_sim/data/{table}/{key}   with the children; /{key}/{key} where two columns are the key
    POST /_sim/latency {"ms": 50}                       POST /_sim/rate {"per_s": 10}

A body or name that is wrong is answered 400, a row that is not there 404.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Callable

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cio_fdw.simulator.answers import BadRequestError, json_answer, problem
from cio_fdw.simulator.behaviour import Row, is_draft
from cio_fdw.simulator.data.messages import Sender, deduplicate_id
from cio_fdw.simulator.faults import RuleError
from cio_fdw.simulator.gate import Control
from cio_fdw.simulator.world import World, parse_value, type_of

LINES_PER_CHUNK = 2000
MESSAGES = "messages"
TRANSACTIONAL = "transactional_message_id"
SOURCES = frozenset(("campaign_id", "newsletter_id", "action_id", "parent_action_id", "content_id", TRANSACTIONAL))
"""A message added with one of these gets none of the others by chance."""


class Admin:
    """The handlers of /_sim/."""

    def __init__(self, world: World, control: Control, sender: Sender) -> None:
        self._world = world
        self._control = control
        self._sender = sender

    def app(self) -> Starlette:
        def route(path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
            return Route(f"/_sim/{path}", handler, methods=[method])

        return Starlette(
            routes=[
                route("log", self._log, "GET"),
                route("reset", self._reset, "POST"),
                route("stats", self._stats, "GET"),
                route("faults", self._faults, "POST"),
                route("messages", self._messages, "POST"),
                route("data/{table}", self._data, "GET"),
                route("data/{table}", self._put, "POST"),
                route("data/{table}/{key:path}", self._delete, "DELETE"),
                route("latency", self._latency, "POST"),
                route("rate", self._rate, "POST"),
            ],
            exception_handlers={
                RuleError: _refused,
                BadRequestError: _refused,
                KeyError: _refused,
                orjson.JSONDecodeError: _refused,
            },
        )

    async def _log(self, _request: Request) -> Response:
        return json_answer(orjson.dumps(self._control.ledger.entries()))

    async def _reset(self, _request: Request) -> Response:
        self._control.reset()
        return json_answer(b"{}")

    async def _stats(self, _request: Request) -> Response:
        return json_answer(orjson.dumps(self._control.ledger.stats()))

    async def _faults(self, request: Request) -> Response:
        self._control.faults.set(orjson.loads(await request.body()))
        return json_answer(b"{}")

    async def _latency(self, request: Request) -> Response:
        self._control.latency_ms = float((await _object(request))["ms"])
        return json_answer(b"{}")

    async def _rate(self, request: Request) -> Response:
        self._control.limit.per_s = int((await _object(request))["per_s"])
        return json_answer(b"{}")

    async def _messages(self, request: Request) -> Response:
        """Adds, touches, deletes, in this order; answers the rows added and touched, and how many were deleted."""
        wanted = await _object(request)
        table = self._world.views[MESSAGES].table
        added = [self._completed(part) for part in wanted.get("add", ())]
        for row in added:
            table.put(row)
        touched = [self._touched(change) for change in wanted.get("touch", ())]
        deleted = sum(self._world.delete(MESSAGES, (key,)) for key in wanted.get("delete", ()))
        return json_answer(orjson.dumps({"added": added, "touched": touched, "deleted": deleted}))

    def _completed(self, part: Row) -> Row:
        """A believable message, created now unless said otherwise, with the given values put over it."""
        now_s = int(time.time())
        created_s = int(part.get("created", now_s))
        row = self._sender.everyday(created_s, now_s)
        if is_draft(row):
            row["metrics"] = {"sent": created_s}
        if not SOURCES.isdisjoint(part):
            row.update(dict.fromkeys(SOURCES - {TRANSACTIONAL}))
            row.pop(TRANSACTIONAL, None)
        row.update(part)
        if "deduplicate_id" not in part:
            row["deduplicate_id"] = deduplicate_id(row["id"], row["metrics"], row["created"])
        return row

    def _touched(self, change: Row) -> Row:
        """Lets metrics land on a message, as they do for days after it was created."""
        table = self._world.views[MESSAGES].table
        body = table.get((change["id"],))
        if body is None:
            raise KeyError(change["id"])
        row: Row = {**orjson.loads(body), **change.get("set", {})}
        row["metrics"].update(change.get("metrics", {}))
        row["deduplicate_id"] = deduplicate_id(row["id"], row["metrics"], row["created"])
        table.put(row)
        return row

    async def _data(self, request: Request) -> Response:
        view = self._world.views[request.path_params["table"]]
        lines = _lines(view.table.pairs(view.fixed), "parents" in request.query_params)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _put(self, request: Request) -> Response:
        view = self._world.views[request.path_params["table"]]
        wanted = await _object(request)
        parent = view.endpoint.parent
        for row in wanted["rows"]:
            view.table.put(row, wanted.get("parent", row.get(parent.column)) if parent else None)
        return json_answer(b"{}")

    async def _delete(self, request: Request) -> Response:
        name = request.path_params["table"]
        endpoint = self._world.views[name].endpoint
        # The last part may hold a slash itself (the name of a snippet).
        texts = request.path_params["key"].split("/", len(endpoint.key) - 1)
        key = tuple(parse_value(part, type_of(endpoint, part), text) for part, text in zip(endpoint.key, texts))
        if not self._world.delete(name, key):
            return problem(404, f"{name} has no row with that key")
        return json_answer(b"{}")


async def _lines(pairs: list[tuple[object, bytes]], with_parent: bool) -> AsyncIterator[bytes]:
    """JSON lines in chunks; the pairs were taken at once, so that rows arriving meanwhile shift nothing."""
    for start in range(0, len(pairs), LINES_PER_CHUNK):
        chunk = pairs[start : start + LINES_PER_CHUNK]
        if with_parent:
            yield b"".join(b'{"parent":%s,"row":%s}\n' % (orjson.dumps(parent), body) for parent, body in chunk)
        else:
            yield b"".join(body + b"\n" for _parent, body in chunk)


async def _object(request: Request) -> dict[str, Any]:
    given = orjson.loads(await request.body())
    if not isinstance(given, dict):
        raise BadRequestError("a JSON object is needed")
    return given


async def _refused(_request: Request, error: Exception) -> Response:
    return problem(400, f"{type(error).__name__}: {error}")
