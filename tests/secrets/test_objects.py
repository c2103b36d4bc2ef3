"""Nothing in the process that prints itself shows the key: objects, their texts, tracebacks with all locals."""

from __future__ import annotations

import json
import pickle
import socket
import traceback
from dataclasses import asdict
from typing import Any

import pytest

from cio_fdw.errors import Where
from cio_fdw.fetch import Fetcher
from cio_fdw.lanes import Stop
from cio_fdw.options import Settings, resolve
from cio_fdw.simulator.server import Settings as SimulatorSettings
from cio_fdw.stats import Stats
from cio_fdw.throttle import throttle_for
from cio_fdw.transport import Transport

KEY = "s3cr3t-Zk9wQ"


def settings(base_url: str = "http://127.0.0.1:9") -> Settings:
    # The throttle makes no file before it is used.
    return resolve({"base_url": base_url, "max_retries": "0", "state_dir": "/nowhere"}, mapping={"app_api_key": KEY})


def transport(base_url: str = "http://127.0.0.1:9") -> Transport:
    key = settings().key
    assert key is not None
    return Transport(base_url, key, user_agent="x")


def everything() -> list[Any]:
    fetcher = Fetcher(transport(), throttle_for(settings()), settings(), Stats())
    return [settings(), settings().key, transport(), throttle_for(settings()), fetcher, Stats()]


@pytest.mark.parametrize("thing", everything(), ids=lambda thing: type(thing).__name__)
def test_texts_of_objects(thing: Any) -> None:
    shown = [repr(thing), str(thing), f"{thing}", "%s %r" % (thing, thing)]  # noqa: UP031
    if hasattr(thing, "__dict__"):
        shown.append(repr(vars(thing)))
    assert KEY not in "".join(shown)


@pytest.mark.parametrize("leak", [pickle.dumps, asdict, json.dumps])
def test_settings_are_not_copied_out(leak: Any) -> None:
    with pytest.raises(TypeError) as caught:
        leak(settings())
    assert KEY not in str(caught.value)


def test_the_simulators_settings() -> None:
    given = dict.fromkeys(SimulatorSettings.__dataclass_fields__)
    shown = repr(SimulatorSettings(**{**given, "key": KEY}))  # type: ignore[arg-type]
    assert KEY not in shown


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:9", "https://api.invalid", "http://[::1", "http://127.0.0.1:99999"]
)
def test_tracebacks_with_all_locals(base_url: str) -> None:
    """Of failures that we know, and of those that come as a surprise."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        transport(base_url).get(Where("messages", "/v1/messages"), "/v1/messages", timeout_s=20, stop=Stop())
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "stop" in shown
    assert KEY not in shown


def test_a_failure_while_the_request_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames between the headers and the socket hold them as locals."""
    from urllib3.connection import HTTPConnection

    def broken(_self: Any, *_args: Any, **_kwargs: Any) -> None:
        raise LookupError("surprise")

    monkeypatch.setattr(HTTPConnection, "request", broken)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = transport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(LookupError) as caught:
            connected.get(Where("m", "/v1/m"), "/v1/m", timeout_s=5, stop=Stop())
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "Authorization" in shown
    assert KEY not in shown
