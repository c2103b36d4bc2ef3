"""The key goes to the host of the server's options, and to no other."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.secrets.conftest import Vault
from tests.sql.helpers import Connection, asked, refused, rows


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """Another host, which waits for somebody to come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(vault: Vault, root: Connection, elsewhere: socket.socket, status: int) -> None:
    location = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/v1/campaigns"
    action = {"kind": "status", "status": status, "headers": {"Location": location}}
    vault.sim.faults([{"match": {"path": "/v1/"}, "times": None, "action": action}])
    with refused("HV000") as caught:
        rows(root, "select id from customerio.campaigns")
    assert str(status) in str(caught.value)
    assert location not in str(caught.value)
    assert asked(vault.sim) == ["/v1/campaigns"]
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


@pytest.mark.parametrize("url", ["http://api.customer.io", "http://192.0.2.1", "ftp://127.0.0.1", "//127.0.0.1"])
def test_only_https_but_on_a_loopback_address(root: Connection, url: str) -> None:
    """Not even for a superuser."""
    with refused("HV024"):
        root.execute(f"create server open foreign data wrapper cio_fdw options (base_url '{url}')")
