"""Every request passes here: log, rate limit, fault, latency, answer.

Requests under /_sim/ go to the control side, loopback only, and are not logged, limited, delayed or spoiled.
"""

from __future__ import annotations

import gzip
from typing import Optional

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cio_fdw.simulator.answers import rate_limited, unrouted
from cio_fdw.simulator.api import Api, first_values
from cio_fdw.simulator.faults import Faults
from cio_fdw.simulator.ledger import Ledger, SlidingLimit
from cio_fdw.simulator.mischief import misread, spoil, transmit
from cio_fdw.simulator.wire import STATE_KEY, Connection

ADMIN_PREFIX = "/_sim/"
LOOPBACK = ("127.", "::1", "::ffff:127.")
GZIP_MIN_BYTES = 1024


class Control:
    """What can be changed while the simulator runs."""

    def __init__(self, rate_per_s: int, latency_ms: float, use_gzip: bool) -> None:
        self.limit = SlidingLimit(rate_per_s)
        self.latency_ms = latency_ms
        self.use_gzip = use_gzip
        self.ledger = Ledger()
        self.faults = Faults()

    def reset(self) -> None:
        """Forgets the log, the faults and the requests that the limit has seen."""
        self.ledger.reset()
        self.faults.set([])
        self.limit.reset()


class Gate:
    """The ASGI application."""

    def __init__(self, api: Api, admin: ASGIApp, control: Control) -> None:
        self._api = api
        self._admin = admin
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"not served: {scope['type']}")
        if scope["path"].startswith(ADMIN_PREFIX):
            await self._administer(scope, receive, send)
            return
        connection: Connection = scope["state"][STATE_KEY]
        came_s = connection.came_s
        query = scope["query_string"].decode("latin-1")
        entry = self._control.ledger.arrive(came_s, scope["method"], scope["path"], query, connection.number)
        status: Optional[int] = None
        try:
            status = await self._serve(Request(scope), came_s, connection, send)
        finally:
            self._control.ledger.leave(entry, status)

    async def _serve(self, request: Request, came_s: float, connection: Connection, send: Send) -> Optional[int]:
        control = self._control
        if not control.limit.accepts(came_s):
            return await transmit(None, rate_limited(control.limit.per_s), connection, send)
        action = None
        if control.faults:
            action = control.faults.find(request.url.path, first_values(request))
        token = first_values(request).get("start", "")
        answer = self._api.answer(misread(request, action))
        if action is not None:
            answer = spoil(action, answer, token)
        if control.use_gzip and len(answer.body) > GZIP_MIN_BYTES:
            answer = _compressed(request, answer)
        if control.latency_ms > 0 and await connection.wait(control.latency_ms / 1000):
            return None
        return await transmit(action, answer, connection, send)

    async def _administer(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        app = self._admin if client and str(client[0]).startswith(LOOPBACK) else unrouted()
        await app(scope, receive, send)


def _compressed(request: Request, answer: Response) -> Response:
    if "gzip" not in request.headers.get("accept-encoding", "") or "content-encoding" in answer.headers:
        return answer
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    headers["content-encoding"] = "gzip"
    return Response(gzip.compress(bytes(answer.body), 1), answer.status_code, headers=headers)
