"""The simulator as a context manager, for tests and benchmarks.

    with Simulator(messages=2000, rate=0) as api:
        api.faults([{"match": {"nth": 2}, "action": {"kind": "status", "status": 503}}])
        …requests to api.url with api.key…
        assert api.stats()["max_per_s"] <= 10

It runs as a process of its own, which ends with the context, with this process, or when this process is killed.
Errors: SimulatorError, with what the process wrote.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Optional
from urllib.parse import quote

START_TIMEOUT_S = 300.0
"""A million messages take a minute to make."""
STOP_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 60.0
READY = "ready: "
DEFAULT_TEST_KEY = "test-key"
PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])

Row = dict[str, Any]


class SimulatorError(Exception):
    """The simulator did not start, or refused a control request."""


class Simulator:
    """Options are those of `cio-fdw simulate` with underscores: messages, rate, latency_ms, order, live_per_minute."""

    def __init__(self, *, key: str = DEFAULT_TEST_KEY, python: str = sys.executable, **options: object) -> None:
        self.key = key
        self.url = ""
        self._python = python
        self._options = {"port": 0, **options}
        self._process: Optional[subprocess.Popen[str]] = None
        self._errors: Optional[IO[bytes]] = None
        # Proxies of the environment must not see requests to a loopback address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        if self._process is None:
            raise SimulatorError("the simulator is not running")
        return self._process.pid

    def start(self) -> None:
        """Starts the process and waits for its ready line."""
        if self._process is not None:
            raise SimulatorError("the simulator is already running")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
        paths = [PACKAGE_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        # The key goes through the environment, where a list of processes does not show it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CIO_APP_API_KEY": self.key}
        self._process = subprocess.Popen(
            [self._python, "-m", "cio_fdw.simulator", "--until-stdin-closes", *arguments(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        line = self._first_line()
        if not line.startswith(READY):
            said = self._said()
            self.stop()
            raise SimulatorError(f"the simulator did not start; it wrote: {line.strip()} {said}".rstrip())
        self.url = line[len(READY) :].strip()

    def stop(self) -> None:
        """Ends the process; harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._errors = None

    def log(self) -> list[Row]:
        """Requests since the last reset: t, epoch_s, method, path, query, status, connection, ms."""
        return self._json("GET", "log")  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Clears log and faults."""
        self._json("POST", "reset", {})

    def stats(self) -> dict[str, int]:
        """requests, max_per_s, max_accepted_per_s, in_flight, max_in_flight, connections, rate_limited."""
        return self._json("GET", "stats")  # type: ignore[no-any-return]

    def faults(self, rules: list[Mapping[str, Any]]) -> None:
        """Replaces the fault rules (cio_fdw/simulator/faults.py); an empty list ends all faults."""
        self._json("POST", "faults", rules)

    def data(self, table: str) -> list[Row]:
        """Every row of a table, oldest first, as the API shows it; of messages also those older than six months."""
        return [json.loads(line) for line in self._call("GET", f"data/{quote(table)}").splitlines()]

    def data_by_parent(self, table: str) -> list[tuple[Any, Row]]:
        """(key of the parent, row), for children whose rows do not name their parent."""
        lines = self._call("GET", f"data/{quote(table)}?parents=1").splitlines()
        return [(pair["parent"], pair["row"]) for pair in map(json.loads, lines)]

    def add_messages(self, *parts: Mapping[str, Any], count: int = 0) -> list[Row]:
        """The rows added: one for each part, filled up believably, and `count` more; created now unless given."""
        added: list[Row] = self._json("POST", "messages", {"add": [*parts, *({} for _ in range(count))]})["added"]
        return added

    def touch(self, message_id: str, values: Optional[Mapping[str, Any]] = None, /, **metrics: int) -> Row:
        """The message after metrics landed on it (touch(id, opened=…)) and `values` were set."""
        change = {"id": message_id, "metrics": metrics, "set": dict(values or {})}
        touched: list[Row] = self._json("POST", "messages", {"touch": [change]})["touched"]
        return touched[0]

    def delete(self, *message_ids: str) -> int:
        """How many of these messages there were; they are gone now."""
        deleted: int = self._json("POST", "messages", {"delete": message_ids})["deleted"]
        return deleted

    def put_rows(self, table: str, rows: Iterable[Mapping[str, Any]], parent: object = None) -> None:
        """Adds or replaces rows of any table; `parent` where a row does not name it itself."""
        body: Row = {"rows": list(rows)}
        if parent is not None:
            body["parent"] = parent
        self._json("POST", f"data/{quote(table)}", body)

    def delete_row(self, table: str, *key: object) -> None:
        """Removes one row of any table, with its children."""
        path = "/".join(quote(str(part), safe="") for part in key)
        self._json("DELETE", f"data/{quote(table)}/{path}")

    def delete_campaign(self, campaign_id: int) -> None:
        """Removes a campaign and its actions, so that asking for them gives 404."""
        self.delete_row("campaigns", campaign_id)

    def set_latency(self, ms: float) -> None:
        self._json("POST", "latency", {"ms": ms})

    def set_rate(self, per_s: int) -> None:
        """Requests in any one second; 0 is no limit."""
        self._json("POST", "rate", {"per_s": per_s})

    def _first_line(self) -> str:
        """What it first wrote, empty when it ended or took too long."""
        lines: queue.Queue[str] = queue.Queue()
        stdout = self._process.stdout if self._process else None
        if stdout is None:
            return ""
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            return lines.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            return f"nothing within {START_TIMEOUT_S:g} s"

    def _said(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")[-2000:].strip()

    def _json(self, method: str, path: str, body: object = None) -> Any:
        return json.loads(self._call(method, path, body))

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sim/{path}", data, method=method)  # noqa: S310 - its own http URL
        try:
            with self._opener.open(request, timeout=CALL_TIMEOUT_S) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            refusal = error.read().decode("utf-8", "replace")
            raise SimulatorError(f"{method} /_sim/{path}: HTTP {error.code}: {refusal}") from error
        except OSError as error:
            raise SimulatorError(f"{method} /_sim/{path}: {error}; it wrote: {self._said()}") from error


def arguments(options: Mapping[str, object]) -> list[str]:
    """The command line for keyword options: latency_ms=50 becomes --latency-ms 50, gzip=True becomes --gzip."""
    words: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return words
