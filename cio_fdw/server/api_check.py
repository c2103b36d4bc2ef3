"""The part of `cio-fdw doctor` that asks the API from this machine: reachability, key, region, clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Optional

from cio_fdw import __version__
from cio_fdw.ddl import quote_identifier
from cio_fdw.errors import CioError, Where
from cio_fdw.lanes import Stop
from cio_fdw.options import REGIONS, Settings
from cio_fdw.secret import Secret
from cio_fdw.server.finding import FAIL, OK, WARN, Finding
from cio_fdw.transport import Answer, Transport

WHERE = Where("sender_identities", "/v1/sender_identities")
TARGET = "/v1/sender_identities?limit=1"
"""A short list that every workspace has."""
TIMEOUT_S = 20.0
CLOCK_TOLERANCE_S = 2.0
"""Ranges of time end two seconds ago by the server's clock (windows.py). Date headers are in whole seconds."""


def check_api(server: str, settings: Settings, key: Secret, database_ahead_s: float) -> Iterator[Finding]:
    """`database_ahead_s`: how far the clock of the PostgreSQL server is ahead of this machine's."""
    transport = Transport(settings.base_url, key, user_agent=f"cio_fdw/{__version__} doctor")
    began_s = time.time()
    try:
        answer = transport.get(WHERE, TARGET, timeout_s=min(settings.timeout_s, TIMEOUT_S), stop=Stop())
    except CioError as error:
        yield Finding(
            FAIL,
            f"{settings.base_url} cannot be reached from this machine: {error.detail or error.message}",
            "Check name lookup, firewall and proxy. cio_fdw connects directly, without a proxy.",
        )
        return
    finally:
        transport.close()
    answered_s = time.time()
    yield _status(server, settings, answer, (answered_s - began_s) * 1000)
    yield _clock(answer.headers.get("Date"), (began_s + answered_s) / 2 + database_ahead_s)


def _status(server: str, settings: Settings, answer: Answer, ms: float) -> Finding:
    name = quote_identifier(server)
    if answer.status == 401:
        return Finding(FAIL, "the API refuses the key (HTTP 401); two causes look the same:", _causes(settings, name))
    if answer.status == 403:
        return Finding(
            WARN,
            "the API knows the key, but not for every endpoint (HTTP 403)",
            "Give it the scopes in Customer.io: Account Settings, API Credentials, App API Keys.",
        )
    if answer.status == 429:
        return Finding(
            WARN,
            "the API is asked too often with this key (HTTP 429)",
            "Something else uses it. Lower requests_per_second, or give this server a key of its own.",
        )
    if answer.status in (301, 302, 307, 308, 404):
        return Finding(
            FAIL,
            f"{settings.base_url} is not the root of the App API (HTTP {answer.status})",
            f"ALTER SERVER {name} OPTIONS (SET base_url '{REGIONS['us']}');",
        )
    if not 200 <= answer.status < 300:
        return Finding(FAIL, f"the API fails (HTTP {answer.status})", "Try again later; see status.customer.io.")
    return Finding(OK, f"the API answers in {ms:.0f} ms and accepts the key")


def _causes(settings: Settings, name: str) -> str:
    other = next((region for region in REGIONS if region != settings.region), "eu")
    where = f"the region {settings.region}" if settings.region else settings.base_url
    verb = "SET" if settings.region else "ADD"
    return (
        f"1. The workspace is not in {where}: its address in the browser shows the region.\n"
        f"   ALTER SERVER {name} OPTIONS ({verb} region '{other}');\n"
        "2. The key is wrong, revoked, or a Track API key. It must be an App API key.\n"
        f"   ALTER USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (SET app_api_key '…');"
    )


def _clock(date: Optional[str], database_s: float) -> Finding:
    try:
        # The header is cut to whole seconds: the middle of that second is the best guess.
        ahead_s = database_s - (parsedate_to_datetime(date or "").timestamp() + 0.5)
    except (TypeError, ValueError, IndexError):
        return Finding(WARN, "the API does not tell its time, so the clock was not compared")
    if abs(ahead_s) <= CLOCK_TOLERANCE_S:
        return Finding(OK, "the clock of the PostgreSQL server is right, to a second or two")
    return Finding(
        FAIL,
        f"the clock of the PostgreSQL server is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}",
        "Ranges of time are cut by it, so the newest rows would be missed or come twice. Set up NTP (chrony).",
    )
