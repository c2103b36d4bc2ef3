"""Runs it all: `make dashboard`. Exit code 1, with what differs, when something is not as it must be."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.errors import ServerError
from cio_fdw.server.up import running
from cio_fdw.simulator.client import Simulator, SimulatorError
from tools.dashboard.charts import CHARTS, DATASETS, TITLE, Object
from tools.dashboard.checks import CheckError, Connection, asked, check, check_chart, copy_messages
from tools.dashboard.superset import Superset, SupersetError, install

ROLE, SCHEMA = "dashboard", "customerio"
MESSAGES, CAMPAIGNS, LATENCY_MS = 20_000, 12, 20
BROWSER = (Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver"))
LOOK_TIMEOUT_S = 300.0
PICTURE = Path("docs/images/superset.png")


def main() -> int:
    """The exit code."""
    try:
        need_browser()
        say("Superset: a virtual environment of its own (the first time takes some minutes)")
        bin_dir = install(Path(sys.prefix).parent)
        with (
            tempfile.TemporaryDirectory() as home,
            Simulator(key="demo-key", messages=MESSAGES, campaigns=CAMPAIGNS, latency_ms=LATENCY_MS, rate=10) as api,
            running(server_options={"base_url": api.url}, key=Secret(api.key), settings={"timezone": "UTC"}) as cluster,
            psycopg.connect(cluster.socket_url(), autocommit=True) as connection,
        ):
            address = reader(connection, cluster, Secret(api.key))
            copy_messages(connection)
            say("Superset: its own database and its server")
            with Superset(bin_dir, Path(home)) as superset:
                dashboard, charts = make(superset, api, address)
                for number, chart in zip(charts, CHARTS):
                    with asked(api) as requests:
                        shown = superset.chart_data(number)
                    check_chart(connection, api, chart, shown, requests)
                    say(f"\n{chart.name}: {len(shown['data'])} rows, {len(requests)} requests, as plain SQL")
                    say("\n".join(f"    {line}" for line in [shown["query"].strip(), *requests]))
                look_twice(connection, api, superset, bin_dir, dashboard)
        say(f"\nall as plain SQL has it; the picture is {PICTURE}")
        return 0
    except (CheckError, ServerError, SimulatorError, SupersetError) as error:
        sys.stderr.write(f"make dashboard: {error}\n")
        return 1


def reader(connection: Connection, cluster: Cluster, key: Secret) -> str:
    """The address for a role that may read the tables and nothing else; the key is in its user mapping."""
    password = secrets.token_urlsafe(12)
    role, schema = sql.Identifier(ROLE), sql.Identifier(SCHEMA)
    for statement in (
        sql.SQL("create role {} login password {}").format(role, sql.Literal(password)),
        sql.SQL("grant usage on schema {} to {}").format(schema, role),
        sql.SQL("grant select on all tables in schema {} to {}").format(schema, role),
        sql.SQL("create user mapping for {} server customerio options (app_api_key {})").format(
            role, sql.Literal(key.reveal())
        ),
    ):
        connection.execute(statement)
    ((database,),) = connection.execute("select current_database()").fetchall()
    return f"postgresql+psycopg2://{ROLE}:{password}@127.0.0.1:{cluster.port}/{database}"


def make(superset: Superset, api: Simulator, address: str) -> tuple[int, list[int]]:
    """The ids of the dashboard and of its charts. Superset reads a few rows for the columns of a virtual dataset."""
    with asked(api) as requests:
        database = superset.database(TITLE, address)
        datasets = {name: superset.dataset(database, name, statement) for name, statement in DATASETS.items()}
        dashboard = superset.dashboard(TITLE)
        charts = [superset.chart(chart, datasets[chart.dataset], dashboard) for chart in CHARTS]
        pairs = list(zip(charts, CHARTS))
        superset.lay_out(dashboard, TITLE, [pairs[:2], pairs[2:]])
    say("\n    ".join(["the columns of two datasets:", *requests]))
    return dashboard, charts


def look_twice(connection: Connection, api: Simulator, superset: Superset, bin_dir: Path, dashboard: int) -> None:
    """Draws the dashboard in a browser, twice: the second time every answer comes from the cache of the extension."""
    connection.execute("alter server customerio options (add cache_ttl '600')")
    with asked(api) as first:
        shown = look(superset, bin_dir, dashboard)
    with asked(api) as second:
        look(superset, bin_dir, dashboard)
    ((wanted,),) = connection.execute(CHARTS[0].plain()).fetchall()
    check("the big number drawn", f"{wanted}" in "".join(c for c in shown["texts"][0] if c.isdigit()), True)
    say(f"\nin a browser, with cache_ttl '600': {len(first)} requests the first time, {len(second)} the second")
    check("requests of the second look", second, [])


def look(superset: Superset, bin_dir: Path, dashboard: int) -> Object:
    """What the browser shows of the dashboard; the picture is taken on the way."""
    command = [str(bin_dir / "python"), str(Path(__file__).with_name("browser.py")), superset.url, str(dashboard),
               str(len(CHARTS)), str(PICTURE)]  # fmt: skip
    done = subprocess.run(
        command, input=superset.password + "\n", capture_output=True, text=True, check=False, timeout=LOOK_TIMEOUT_S
    )
    if done.returncode:
        raise CheckError(f"not every chart was drawn: {(done.stdout + done.stderr)[-2000:]}")
    return dict(json.loads(done.stdout))


def need_browser() -> None:
    """Chromium and its driver; root installs them."""
    if all(path.exists() for path in BROWSER):
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium", "chromium-driver"]
    if os.geteuid() != 0 or subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SupersetError(f"no {BROWSER[0]} and {BROWSER[1]}: {' '.join(command)}")


def say(text: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
