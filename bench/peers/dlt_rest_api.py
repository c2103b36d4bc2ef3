"""A dlt pipeline: its declarative rest_api source, into DuckDB, as its documentation shows.

CIO_APP_API_KEY=… python dlt_rest_api.py BASE_URL messages|campaign|actions START_S CAMPAIGN [END_S]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found]
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]

CURSOR = {"type": "cursor", "cursor_path": "next", "cursor_param": "start"}


def resources(what: str, bounds: dict[str, int], campaign: int) -> list[dict[str, Any]]:
    if what == "actions":
        endpoint = {
            "path": "v1/campaigns/{resources.campaigns.id}/actions",
            "data_selector": "actions",
            "paginator": CURSOR,
        }
        return [
            {"name": "campaigns", "endpoint": {"path": "v1/campaigns", "data_selector": "campaigns",
                                               "paginator": "single_page"}},
            {"name": "actions", "endpoint": endpoint},
        ]  # fmt: skip
    params = {"limit": 1000, **bounds}
    if what == "campaign":
        params["campaign_id"] = campaign
    return [
        {
            "name": "messages",
            "endpoint": {"path": "v1/messages", "params": params, "data_selector": "messages", "paginator": CURSOR},
        }
    ]


def most_memory_mb() -> float:
    """Of this process so far, in MB. What getrusage tells includes the process that started this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> int:
    base, what, start, campaign, *end = sys.argv[1:]
    bounds = {"start_ts": int(start), **({"end_ts": int(end[0])} if end else {})}
    source = rest_api_source(
        {
            "client": {"base_url": base, "auth": {"type": "bearer", "token": os.environ["CIO_APP_API_KEY"]}},
            "resources": resources(what, bounds, int(campaign)),
        }
    )
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        pipeline = dlt.pipeline("bench", destination="duckdb", dataset_name="cio", pipelines_dir=directory)
        pipeline.run(source)
        table = "actions" if what == "actions" else "messages"
        count = pipeline.last_trace.last_normalize_info.row_counts[table]
        sys.stdout.write(f"{count} {most_memory_mb():.0f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
