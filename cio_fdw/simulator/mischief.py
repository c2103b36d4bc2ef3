"""Faults carried out: some change the answer's body, some break the connection that carries it."""

from __future__ import annotations

import gzip
import time
from email.utils import formatdate
from typing import Any, Optional
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from cio_fdw.simulator.answers import NOW, json_answer, problem
from cio_fdw.simulator.faults import Action
from cio_fdw.simulator.wire import Connection

FLUSH_S = 0.05
"""Given to the kernel between the part of a cut body and the RST, which would overtake it."""
DRIPS_PER_S = 10
HOLLOW = "~"
"""What a hollow page's cursor ends in; the gate takes it away again."""
HTML = b"<!doctype html><html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>"


def misread(request: Request, action: Optional[Action]) -> Request:
    """The request as the API understands it: without its cursor after a restart, at another time under a skew."""
    scope = dict(request.scope)
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kind = action["kind"] if action else ""
    if kind == "restart":
        pairs = [(name, text) for name, text in pairs if name != "start"]
    pairs = [(name, text.rstrip(HOLLOW) if name == "start" else text) for name, text in pairs]
    scope["query_string"] = urlencode(pairs).encode()
    if action is not None and kind == "skew":
        scope[NOW] = time.time() + float(action["seconds"])
    return Request(scope)


def spoil(action: Action, answer: Response, token: str) -> Response:
    """The answer with its content changed; `token` is the cursor that the request sent. Wire faults pass through."""
    kind = action["kind"]
    spoiled = answer
    if kind == "status":
        spoiled = _status(action)
    elif kind == "html":
        spoiled = Response(HTML, int(action.get("status", 200)), media_type="text/html")
    elif kind == "redirect":
        spoiled = Response(b"", int(action.get("status", 302)), headers={"location": str(action["location"])})
    elif kind == "body":
        body = str(action["text"]).encode() if "text" in action else orjson.dumps(action.get("json"))
        spoiled = json_answer(body, headers=action.get("headers"))
    elif kind == "bad_json":
        whole = bytes(answer.body)
        spoiled = json_answer(whole[: int(action.get("bytes", len(whole) // 2))], answer.status_code)
    elif kind == "headers":
        answer.headers.update(action["headers"])
    elif kind == "skew":
        answer.headers["Date"] = formatdate(time.time() + float(action["seconds"]), usegmt=True)
    elif kind == "gzip":
        spoiled = _gzipped(answer, str(action.get("damage", "none")))
    elif kind in ("loop", "hollow", "empty_with_next", "null_rows", "drop_rows_key") and answer.status_code == 200:
        spoiled = json_answer(orjson.dumps(_respelled(kind, orjson.loads(answer.body), token)))
    return spoiled


def _status(action: Action) -> Response:
    status, body, headers = int(action["status"]), action.get("body"), action.get("headers")
    if body is None:
        return problem(status, f"simulated {status}", headers)
    if isinstance(body, str):
        return Response(body.encode(), status, headers=dict(headers or {}), media_type="text/plain")
    return json_answer(orjson.dumps(body), status, headers)


def _gzipped(answer: Response, damage: str) -> Response:
    packed = gzip.compress(bytes(answer.body), 1)
    body = {"none": packed, "cut": packed[: len(packed) // 2], "garbage": b"\xff" * len(packed)}[damage]
    return Response(body, answer.status_code, {"content-encoding": "gzip"}, "application/json")


def _respelled(kind: str, body: dict[str, Any], token: str) -> dict[str, Any]:
    rows_key = next((name for name in body if name != "next"), "")
    following = body.get("next") or token or "djIwOjE"
    if kind == "loop":
        # A list that fits its page has no cursor that could lead back.
        return {**body, "next": token} if token else body
    if kind == "hollow" and isinstance(body[rows_key], dict):
        return body
    if kind == "hollow":
        # Nothing is lost: the cursor, in a spelling that was not seen before, leads to the rows left out.
        return {**body, rows_key: [], "next": f"{token or HOLLOW}{HOLLOW}"}
    if kind == "empty_with_next":
        return {**body, rows_key: [], "next": following}
    if kind == "null_rows":
        return {**body, rows_key: None}
    return {name: value for name, value in body.items() if name != rows_key}


async def transmit(action: Optional[Action], answer: Response, connection: Connection, send: Send) -> Optional[int]:
    """Sends the answer, or fails to as the action says. Returns the status that left, None when none did."""
    kind = action["kind"] if action else ""
    if action is not None and kind == "cut":
        return await _cut(action, answer, connection, send)
    if action is not None and kind == "drip":
        return await _drip(float(action["bytes_per_s"]), answer, connection, send)
    if kind == "hang":
        await connection.gone.wait()
    elif kind == "reset":
        await connection.reset()
    elif action is None or kind != "slow_headers" or not await connection.wait(float(action["seconds"])):
        return await _whole(answer, send)
    return None


async def _start(answer: Response, send: Send) -> None:
    answer.headers.setdefault("Date", formatdate(usegmt=True))
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})


async def _whole(answer: Response, send: Send) -> int:
    await _start(answer, send)
    await send({"type": "http.response.body", "body": answer.body})
    return answer.status_code


async def _cut(action: Action, answer: Response, connection: Connection, send: Send) -> int:
    body = bytes(answer.body)
    # Never the whole body: then nothing would be cut.
    part = body[: min(int(action.get("bytes", len(body) // 2)), len(body) - 1)]
    await _start(answer, send)
    await send({"type": "http.response.body", "body": part, "more_body": True})
    if not await connection.wait(FLUSH_S):
        await (connection.close() if action.get("end") == "fin" else connection.reset())
    return answer.status_code


async def _drip(bytes_per_s: float, answer: Response, connection: Connection, send: Send) -> int:
    body = bytes(answer.body)
    step = max(1, int(bytes_per_s / DRIPS_PER_S))
    await _start(answer, send)
    for start in range(0, len(body), step):
        await send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
        if await connection.wait(step / bytes_per_s):
            return answer.status_code
    await send({"type": "http.response.body", "body": b""})
    return answer.status_code
