"""Connections as the simulator sees them: a number, whether the client has gone, and how to reset one."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from typing import Optional

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cio_fdw.simulator.arrivals import came_s

STATE_KEY = "connection"
LINGER_ZERO = struct.pack("ii", 1, 0)

_numbers = itertools.count(1)


class Connection:
    """One accepted connection. `gone` is set when it ends, whoever ends it; `came_s` dates its latest request."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.number = next(_numbers)
        self.gone = asyncio.Event()
        self.came_s = 0.0
        self._transport = transport

    async def reset(self) -> None:
        """Ends it with a TCP RST; returns when it is gone."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            # A close without lingering makes the kernel send RST instead of FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self._transport.abort()
        await self.gone.wait()

    async def close(self) -> None:
        """Ends it with a FIN, whatever was promised; returns when it is gone."""
        self._transport.close()
        await self.gone.wait()

    async def wait(self, seconds: float) -> bool:
        """Waits; True at once when the client goes away meanwhile."""
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True


class Wire(HttpToolsProtocol):
    """uvicorn's protocol, which puts the Connection into the scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, STATE_KEY: Connection(transport)}

    def data_received(self, data: bytes) -> None:
        connection: Connection = self.app_state[STATE_KEY]
        connection.came_s = came_s(self.transport.get_extra_info("socket").fileno())
        super().data_received(data)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        connection: Connection = self.app_state[STATE_KEY]
        connection.gone.set()
