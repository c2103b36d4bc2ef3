"""What a user would pick instead of cio_sync: a plain materialized view, and dbt with a lookback."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from psycopg.conninfo import conninfo_to_dict

from bench.contenders import environment_of
from cio_fdw.simulator.client import Simulator

LATE_DAYS = (7, 30)
LOOKBACK_DAYS = 3
DBT = ("dbt-core>=1.9,<1.12", "dbt-postgres>=1.9,<1.12")
"""As in tests/clients/requirements-dbt.txt."""

MODEL = """\
{{{{ config(materialized='incremental', unique_key='id', incremental_strategy='delete+insert') }}}}
select * from customerio.messages where created < '{now}' and created >=
{{% if is_incremental() %}} (select max(created) - interval '{lookback} days' from {{{{ this }}}})
{{% else %}} '{first}' {{% endif %}}
"""


class Peer(NamedTuple):
    """`requests` and `seconds` of one more run; `seen`: whether that run saw an open so many days after creation."""

    name: str
    requests: int
    seconds: float
    seen: dict[int, bool]


class Source(Protocol):
    url: str
    now: datetime
    simulator: Simulator
    db: Any

    def value(self, query: str) -> Any: ...

    def message_of(self, age: timedelta) -> str: ...


def plain_view(world: Source, days: int) -> Peer:
    """REFRESH MATERIALIZED VIEW over the same range."""
    first = (world.now - timedelta(days=days)).isoformat()
    bounds = f"created >= '{first}' and created < '{world.now.isoformat()}'"
    world.db.execute(f"create materialized view plain as select * from customerio.messages where {bounds}")
    opened = _open_late(world)
    with _counted(world) as cost:
        world.db.execute("refresh materialized view plain")
    return Peer("REFRESH MATERIALIZED VIEW", cost["requests"], cost["seconds"], _seen(world, "plain", opened))


def dbt(world: Source, days: int) -> Peer:
    """An incremental model of dbt-postgres that looks back some days; seconds include dbt's own start."""
    program = environment_of("dbt", DBT).with_name("dbt")
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        _write_project(project, world, days)
        _run(program, project)
        opened = _open_late(world)
        with _counted(world) as cost:
            _run(program, project)
        seen = _seen(world, "dbt.messages", opened)
    return Peer(f"dbt, {LOOKBACK_DAYS} days back", cost["requests"], cost["seconds"], seen)


def _write_project(project: Path, world: Source, days: int) -> None:
    where = conninfo_to_dict(world.url)
    output = {
        "type": "postgres",
        "host": where["host"],
        "port": int(where.get("port") or 5432),
        "user": where["user"],
        "password": "",
        "dbname": where["dbname"],
        "schema": "dbt",
        "threads": 1,
    }
    profile = {"bench": {"target": "here", "outputs": {"here": output}}}
    first = (world.now - timedelta(days=days)).isoformat()
    model = MODEL.format(now=world.now.isoformat(), lookback=LOOKBACK_DAYS, first=first)
    (project / "models").mkdir()
    (project / "models" / "messages.sql").write_text(model)
    # JSON is YAML.
    (project / "profiles.yml").write_text(json.dumps(profile))
    settings = {"name": "bench", "version": "1.0.0", "profile": "bench", "flags": {"send_anonymous_usage_stats": False}}
    (project / "dbt_project.yml").write_text(json.dumps(settings))


def _run(program: Path, project: Path) -> None:
    command = [str(program), "--quiet", "run", "--project-dir", str(project), "--profiles-dir", str(project)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project, check=False
    )
    if done.returncode:
        raise RuntimeError(f"dbt failed: {done.stdout[-2000:]}")


@contextmanager
def _counted(world: Source) -> Iterator[dict[str, Any]]:
    cost: dict[str, Any] = {}
    world.simulator.reset()
    began_s = time.monotonic()
    yield cost
    cost["seconds"] = time.monotonic() - began_s
    cost["requests"] = len(world.simulator.log())


def _open_late(world: Source) -> dict[int, str]:
    """Ids by age, of messages that are opened now for the first time."""
    chosen = {age: world.message_of(timedelta(days=age)) for age in LATE_DAYS}
    for id_ in chosen.values():
        world.simulator.touch(id_, opened=int(world.now.timestamp()))
    world.db.execute("update analytics.messages set opened = now() where id = any(%s)", [list(chosen.values())])
    return chosen


def _seen(world: Source, table: str, opened: dict[int, str]) -> dict[int, bool]:
    return {age: bool(world.value(f"select opened is not null from {table} where id = '{id_}'"))
            for age, id_ in opened.items()}  # fmt: skip
