"""One simulator for the module-independent tests, with 3,000 messages and no rate limit, reset before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from cio_fdw.simulator.client import Simulator

MESSAGES = 3000
Get = Callable[..., requests.Response]


@pytest.fixture(scope="session")
def shared() -> Iterator[Simulator]:
    with Simulator(messages=MESSAGES, rate=0) as simulator:
        yield simulator


@pytest.fixture
def api(shared: Simulator) -> Simulator:
    shared.set_rate(0)
    shared.set_latency(0)
    shared.reset()
    return shared


@pytest.fixture
def session(api: Simulator) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {api.key}"
        yield session


@pytest.fixture
def get(api: Simulator, session: requests.Session) -> Get:
    """get("/v1/messages", limit=5) -> the response, whatever its status."""

    def get(path: str, **params: Any) -> requests.Response:
        return session.get(api.url + path, params=params, timeout=20, allow_redirects=False)

    return get


@pytest.fixture
def walk(get: Get) -> Callable[..., list[dict[str, Any]]]:
    """walk("/v1/messages", "messages", limit=1000) -> the rows of all pages."""

    def walk(path: str, rows_key: str, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        body = get(path, **params).json()
        rows.extend(body[rows_key])
        while body.get("next"):
            body = get(path, **{**params, "start": body["next"]}).json()
            rows.extend(body[rows_key])
        return rows

    return walk
