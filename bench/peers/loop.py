"""The loop that everybody writes first: `requests`, one page after the other, rows kept in a list.

CIO_APP_API_KEY=… python loop.py BASE_URL messages|campaign|actions START_S CAMPAIGN [END_S]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

LONGEST_BACKOFF_S = 8


def get(session: requests.Session, url: str, params: dict[str, Any]) -> Any:
    wait_s = 1
    while True:
        response = session.get(url, params=params, timeout=60)
        if response.status_code != 429:
            response.raise_for_status()
            return response.json()
        time.sleep(float(response.headers.get("Retry-After", wait_s)))
        wait_s = min(2 * wait_s, LONGEST_BACKOFF_S)


def pages(session: requests.Session, url: str, key: str, params: dict[str, Any]) -> Iterator[Any]:
    params = dict(params)
    while True:
        body = get(session, url, params)
        yield from body[key] or []
        if not body.get("next"):
            return
        params["start"] = body["next"]


def rows(session: requests.Session, base: str, what: str, bounds: dict[str, int], campaign: int) -> Iterator[Any]:
    if what == "actions":
        for parent in get(session, f"{base}/v1/campaigns", {})["campaigns"]:
            yield from pages(session, f"{base}/v1/campaigns/{parent['id']}/actions", "actions", {})
        return
    params = {"limit": 1000, **bounds}
    if what == "campaign":
        params["campaign_id"] = campaign
    yield from pages(session, f"{base}/v1/messages", "messages", params)


def most_memory_mb() -> float:
    """Of this process so far, in MB. What getrusage tells includes the process that started this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> int:
    base, what, start, campaign, *end = sys.argv[1:]
    bounds = {"start_ts": int(start), **({"end_ts": int(end[0])} if end else {})}
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {os.environ['CIO_APP_API_KEY']}"
        count = len(list(rows(session, base, what, bounds, int(campaign))))
    sys.stdout.write(f"{count} {most_memory_mb():.0f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
