"""Bodies of the API's answers: the structured errors, the plain 404, JSON."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Optional

import orjson
from starlette.responses import Response

JSON_TYPE = "application/json; charset=utf-8"
NOW = "now_s"
"""Key of a request's scope: the API's clock, in unix seconds, where it is not this machine's."""


class BadRequestError(Exception):
    """A parameter that is malformed; answered 400."""


def json_answer(body: bytes, status: int = 200, headers: Optional[Mapping[str, str]] = None) -> Response:
    return Response(body, status, headers=dict(headers or {}), media_type=JSON_TYPE)


def problem(status: int, detail: str, headers: Optional[Mapping[str, str]] = None) -> Response:
    """The API's norm of an error: {"errors":[{"detail":"…","status":"404"}]} (OBSERVED.md, Everywhere)."""
    return json_answer(orjson.dumps({"errors": [{"detail": detail, "status": str(status)}]}), status, headers)


def unauthorized() -> Response:
    return problem(401, "unauthorized")


def not_found() -> Response:
    return problem(404, f"not found ({_reference()})")


def bad_request(detail: str) -> Response:
    return problem(400, f"{detail} ({_reference()})")


def rate_limited(per_s: int) -> Response:
    detail = f"rate limited to {per_s} requests per 1s ({_reference()})"
    return problem(429, detail, {"Retry-After": "1"})


def unrouted() -> Response:
    """The plain text of a path that is none (OBSERVED.md, Everywhere)."""
    return Response(b"404 page not found", 404, media_type="text/plain")


def _reference() -> str:
    return f"reference {random.getrandbits(24):06x}"
