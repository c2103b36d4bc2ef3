"""The log tells of slow scans, and a client who asks for it."""

from __future__ import annotations

import re

import pytest

from cio_fdw.simulator.client import Simulator
from tests.sql.helpers import Connection, refused, rows

TOLD = (
    r'cio_fdw: scan of "campaigns" took \d+\.\d s: 1 requests, 0 retries, 0 rate limited, \d\.\d s throttled, '
    r"\d\.\d s waiting for the API, 12 rows, \d+ bytes"
)


@pytest.fixture
def told(db: Connection) -> list[str]:
    found: list[str] = []
    db.add_notice_handler(
        lambda message: (
            found.append(f"{message.severity}: {message.message_primary}")
            if "scan of" in (message.message_primary or "")
            else None
        )
    )
    db.execute("set client_min_messages = log")
    return found


@pytest.mark.parametrize(("setting", "count"), [("0", 1), ("100ms", 1), ("1h", 0), ("-1", 0)])
def test_how_slow_is_slow(db: Connection, sim: Simulator, told: list[str], setting: str, count: int) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "action": {"kind": "slow_headers", "seconds": 0.3}}])
    db.execute(f"set cio_fdw.log_min_duration = '{setting}'")
    rows(db, "select id, name from customerio.campaigns")
    assert len(told) == count
    assert all(re.fullmatch(f"LOG: {TOLD}", text) for text in told), told


def test_each_scan_of_a_statement(db: Connection, sim: Simulator, told: list[str]) -> None:
    db.execute("set cio_fdw.log_min_duration = 0")
    rows(db, "select * from customerio.activities where customer_email = 'ann@example.com'")
    rows(db, "select count(*) from customerio.campaigns union all select count(*) from customerio.newsletters")
    assert [text.split('"')[1] for text in told] == ["activities", "campaigns", "newsletters"]
    assert not any("ann" in text or sim.key in text for text in told)


def test_not_of_a_scan_that_fails(db: Connection, sim: Simulator, told: list[str]) -> None:
    db.execute("set cio_fdw.log_min_duration = 0")
    sim.faults([{"match": {"path": "/v1/"}, "action": {"kind": "status", "status": 403}}])
    with refused("42501"):
        rows(db, "select id from customerio.campaigns")
    assert told == []
