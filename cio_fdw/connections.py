"""The connections of this backend to the API, kept from statement to statement.

    transport_for("https://api.customer.io", key)    -> Transport, the same one as long as it is among the last few
    with at_work(host): …                            requests may be under way inside

A key never travels on a connection that another key opened. Between statements no code of ours runs, so the host is
told which connections are idle, and since when. Main thread only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from cio_fdw import __version__
from cio_fdw.secret import Secret
from cio_fdw.transport import MAX_IDLE_S, Transport

MAX_TRANSPORTS = 4

_transports: dict[tuple[str, str], Transport] = {}
"""By API root and key, the one used last at the end."""


class Host(Protocol):
    """What a door lends."""

    def busy(self) -> None:
        """Connections are in use from now on."""

    def idle(self, fds: list[int], seconds: float) -> None:
        """No request is under way: shuts these sockets down after so many seconds, unless `busy` comes before."""


def transport_for(base_url: str, key: Secret) -> Transport:
    """The connections to this API root with this key; those of others are closed when too many are kept."""
    name = base_url, key.fingerprint()
    transport = _transports.pop(name, None) or Transport(base_url, key, user_agent=f"cio_fdw/{__version__}")
    _transports[name] = transport
    for oldest in list(_transports)[:-MAX_TRANSPORTS]:
        _transports.pop(oldest).close()
    return transport


@contextmanager
def at_work(host: Host) -> Iterator[None]:
    """Requests may be under way inside; after it, idle connections grow old."""
    host.busy()
    try:
        yield
    finally:
        # After an error, requests are still under way and may close what they take.
        with ExitStack() as held:
            fds = [fd for transport in _transports.values() for fd in held.enter_context(transport.idle_fds())]
            host.idle(fds, MAX_IDLE_S)
