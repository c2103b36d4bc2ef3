"""Apache Superset: a virtual environment of its own, a server with a throw-away home, and what is made through its API.

    with Superset(install(runtime), home) as superset:
        database = superset.database("customerio", "postgresql+psycopg2://…")
        superset.chart_data(chart_id)    the rows and the statement

Errors: SupersetError, with the end of what it wrote, or with its answer.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import requests

from tools.dashboard.charts import Chart, Object

REQUIREMENTS = [
    "apache-superset==6.1.0",
    "psycopg2-binary>=2.9",
    # What this release is built with and imports; its package asks for newer ones that break it, or not at all.
    "cachelib==0.13.0",
    "flask-caching==2.3.1",
    "cachetools<7",
    "rich<14",
]
CONFIG = """
import os
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.path.join(os.environ["SUPERSET_HOME"], "superset.db")
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
"""
START_TIMEOUT_S, CALL_TIMEOUT_S, COMMAND_TIMEOUT_S = 180.0, 120.0, 1800.0
POLL_S = 0.5
USER = "admin"


class SupersetError(Exception):
    """Superset did not install, did not start, or refused something."""


def install(runtime: Path) -> Path:
    """The bin directory of a virtual environment below `runtime` that has Superset; made when there is none."""
    place = runtime / "superset"
    stamp, wanted = place / "requirements.stamp", "\n".join(REQUIREMENTS)
    if not stamp.is_file() or stamp.read_text() != wanted:
        _run([sys.executable, "-m", "venv", str(place)], dict(os.environ))
        _run([str(place / "bin" / "pip"), "install", "--quiet", *REQUIREMENTS], dict(os.environ))
        stamp.write_text(wanted)
    return place / "bin"


class Superset:
    """A running server on a loopback port. `password` is that of the user admin."""

    def __init__(self, bin_dir: Path, home: Path) -> None:
        self.password = secrets.token_urlsafe(12)
        self.url = ""
        self._bin_dir, self._home = bin_dir, home
        self._session = requests.Session()
        self._session.trust_env = False
        self._process: Optional[subprocess.Popen[bytes]] = None
        config = home / "superset_config.py"
        config.write_text(CONFIG)
        self._env = {
            **os.environ,
            "FLASK_APP": "superset",
            "SUPERSET_CONFIG_PATH": str(config),
            "SUPERSET_HOME": str(home),
            "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
            "TZ": "UTC",
        }

    def __enter__(self) -> Superset:
        self._prepare()
        try:
            self._start()
            self._login()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stop()

    def database(self, name: str, address: str) -> int:
        """The id of a new database."""
        return self._make("database", {"database_name": name, "sqlalchemy_uri": address, "expose_in_sqllab": True})

    def dataset(self, database: int, name: str, statement: str) -> int:
        """The id of a new dataset, of a table or of a statement, whose time column is `created`."""
        virtual = {"sql": statement} if statement else {}
        made = self._make("dataset", {"database": database, "schema": "customerio", "table_name": name, **virtual})
        self.call("PUT", f"dataset/{made}", {"main_dttm_col": "created"})
        return made

    def chart(self, chart: Chart, dataset: int, dashboard: int) -> int:
        """The id of a new chart of a dashboard."""
        source = {"id": dataset, "type": "table"}
        form = {**chart.form_data(), "datasource": f"{dataset}__table"}
        context = {"datasource": source, "queries": [chart.query()], "form_data": form, "result_format": "json",
                   "result_type": "full"}  # fmt: skip
        about = {
            "slice_name": chart.name, "viz_type": chart.viz_type, "datasource_id": dataset, "datasource_type": "table",
            "params": json.dumps(form), "query_context": json.dumps(context), "dashboards": [dashboard],
        }  # fmt: skip
        return self._make("chart", about)

    def dashboard(self, title: str) -> int:
        """The id of a new, empty dashboard."""
        return self._make("dashboard", {"dashboard_title": title, "published": True})

    def lay_out(self, dashboard: int, title: str, rows: list[list[tuple[int, Chart]]]) -> None:
        """Puts charts on a dashboard, row by row."""
        self.call("PUT", f"dashboard/{dashboard}", {"position_json": json.dumps(_positions(title, rows))})

    def chart_data(self, chart: int) -> Object:
        """What a chart shows, asked for anew: `data` are its rows, `query` is the statement."""
        answer = self.call("GET", f"chart/{chart}/data/?force=true")
        (only,) = answer["result"]
        if only["error"]:
            raise SupersetError(f"chart {chart}: {only['error']}")
        return dict(only)

    def call(self, method: str, path: str, body: Optional[Object] = None) -> Object:
        """An answer of the API."""
        answer = self._session.request(method, f"{self.url}/api/v1/{path}", json=body, timeout=CALL_TIMEOUT_S)
        if not answer.ok:
            raise SupersetError(f"{method} {path}: HTTP {answer.status_code}: {answer.text[:2000]}\n{self._said()}")
        return dict(answer.json())

    @property
    def _log_path(self) -> Path:
        return self._home / "superset.log"

    def _prepare(self) -> None:
        program = str(self._bin_dir / "superset")
        who = ["--username", USER, "--firstname", USER, "--lastname", USER, "--email", "admin@example.com"]
        _run([program, "db", "upgrade"], self._env)
        _run([program, "fab", "create-admin", *who, "--password", self.password], self._env)
        _run([program, "init"], self._env)

    def _start(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._bin_dir / "superset"), "run", "--port", str(port), "--with-threads"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env,
            )  # fmt: skip
        self._wait()

    def _said(self) -> str:
        return self._log_path.read_text(errors="replace")[-3000:]

    def _make(self, kind: str, about: Object) -> int:
        return int(self.call("POST", f"{kind}/", about)["id"])

    def _login(self) -> None:
        about = {"username": USER, "password": self.password, "provider": "db", "refresh": False}
        token = self.call("POST", "security/login", about)["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                if self._session.get(f"{self.url}/health", timeout=CALL_TIMEOUT_S).ok:
                    return
            except requests.ConnectionError:
                time.sleep(POLL_S)
        raise SupersetError(f"Superset did not start: {self._said()}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()


def _positions(title: str, rows: list[list[tuple[int, Chart]]]) -> Object:
    """The layout of a dashboard in twelve columns, as its API takes it."""
    names = [f"ROW-{number}" for number in range(len(rows))]
    grid: Object = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": title}},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": names, "parents": ["ROOT_ID"]},
    }
    for name, charts in zip(names, rows):
        inside = [f"CHART-{number}" for number, _ in charts]
        above = ["ROOT_ID", "GRID_ID"]
        meta: Any = {"background": "BACKGROUND_TRANSPARENT"}
        grid[name] = {"id": name, "type": "ROW", "children": inside, "parents": above, "meta": meta}
        for place, (number, chart) in zip(inside, charts):
            meta = {"chartId": number, "width": chart.width, "height": 45, "sliceName": chart.name}
            grid[place] = {"id": place, "type": "CHART", "children": [], "parents": [*above, name], "meta": meta}
    return grid


def _run(command: list[str], env: dict[str, str]) -> None:
    name = " ".join(Path(command[0]).name.split() + command[1:3])
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        late = f"{name} took longer than {COMMAND_TIMEOUT_S:.0f} s; make dashboard goes on with what is there"
        raise SupersetError(late) from error
    if done.returncode:
        raise SupersetError(f"{name} failed: {(done.stdout + done.stderr)[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
