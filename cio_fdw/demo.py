"""`cio-fdw demo`: a simulated workspace, a server, and the queries of demo.sql with the requests they make.

On a terminal, psql follows; without one the demo ends. Errors: ServerError.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cio_fdw.secret import Secret
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.errors import ServerError
from cio_fdw.server.up import StopRequested, running, stop_signals
from cio_fdw.simulator.client import Simulator, SimulatorError

MESSAGES, CAMPAIGNS, LATENCY_MS, RATE_PER_S = 20_000, 40, 50, 10
EXPLAIN = "explain (analyze, costs off, timing off, summary off, buffers off)"


@dataclass(frozen=True)
class Step:
    """One statement of the demo and the line above it."""

    title: str
    statement: str

    @property
    def is_query(self) -> bool:
        """Whether EXPLAIN ANALYZE tells something of it, which runs it too."""
        return self.statement.startswith("select") and "\nfrom " in self.statement

    def script(self, number: int) -> str:
        """What psql runs: the title, the statement, what it asks of the API (queries only), and its result."""
        lines = [f"\\echo '{number}. {self.title}'", "\\echo"]
        lines += [f"\\echo '    {_quoted(line)}'" for line in self.statement.splitlines()]
        lines.append("\\echo")
        if self.is_query:
            lines += ["\\pset tuples_only on", "\\pset format unaligned", f"{EXPLAIN} {self.statement}"]
            lines += ["\\pset tuples_only off", "\\pset format aligned", "\\echo"]
        lines.append(self.statement)
        if not self.statement.startswith(("select", "call")):
            lines.append("\\echo done\n\\echo")
        return "\n".join(lines)


def demo() -> int:
    """The exit code: 0 when every statement ran."""
    try:
        with (
            stop_signals(),
            Simulator(
                key="demo-key", messages=MESSAGES, campaigns=CAMPAIGNS, latency_ms=LATENCY_MS, rate=RATE_PER_S
            ) as api,
            running(server_options={"base_url": api.url}, key=Secret(api.key)) as cluster,
        ):
            print(f"A simulated workspace: {MESSAGES} messages, {CAMPAIGNS} campaigns, {LATENCY_MS} ms per answer,")
            print(f"{RATE_PER_S} requests in any one second. Before each result: its plan and requests.\n", flush=True)
            _run_script(cluster)
            if sys.stdin.isatty() and sys.stdout.isatty():
                print("Your turn: try  select id, name from customerio.campaigns;  and leave with \\q.", flush=True)
                interactive(cluster.bin_dir, cluster.socket_url())
            return 0
    except SimulatorError as error:
        raise ServerError(str(error)) from error
    except StopRequested:
        return 130


def steps(text: str) -> list[Step]:
    """The statements of a script in which each is preceded by its title in a comment line."""
    found = re.findall(r"^-- ([^\n]+)\n(.*?;)$", text, re.MULTILINE | re.DOTALL)
    return [Step(title, statement) for title, statement in found]


def _run_script(cluster: Cluster) -> None:
    script = Path(__file__).with_name("demo.sql").read_text()
    parts = [step.script(number) for number, step in enumerate(steps(script), start=1)]
    psql = [str(cluster.bin_dir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-f", "-"]
    # Notices go to the other stream, where they would stand between lines that they do not belong to.
    quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
    done = subprocess.run([*psql, cluster.socket_url()], input="\n".join(parts), text=True, check=False, env=quiet)
    if done.returncode == -signal.SIGPIPE:
        raise BrokenPipeError
    if done.returncode:
        raise ServerError(f"the demo stopped early (psql ended with {done.returncode})\n{cluster.log_tail(10)}")


def interactive(bin_dir: Path, url: str) -> None:
    """psql in a foreground group of its own: its Ctrl-C cancels a query, and must not reach simulator and server."""
    # A system's psql has line editing, the wheel's has not.
    psql = shutil.which("psql") or str(bin_dir / "psql")
    terminal = sys.stdin.fileno()
    try:
        os.tcgetpgrp(terminal)
        has_jobs = True
    except OSError:  # a terminal of another session, as under `su - user -c`: it has no foreground group to be in
        has_jobs = False
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    # setpgrp is a bare system call: safe between fork and exec whatever other threads hold.
    look = ["-P", "pager=off", "-P", "expanded=auto"]
    process = subprocess.Popen([psql, *look, url], preexec_fn=os.setpgrp)  # noqa: PLW1509
    try:
        if has_jobs:
            os.tcsetpgrp(terminal, process.pid)
            # It may have touched the terminal, and been stopped for it, before that was its own.
            os.killpg(process.pid, signal.SIGCONT)
        process.wait()
    finally:
        if has_jobs:
            os.tcsetpgrp(terminal, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)
        if process.poll() is None:
            process.terminate()
            process.wait()


def _quoted(line: str) -> str:
    """A line as psql's \\echo takes it between single quotes."""
    return line.replace("\\", "\\\\").replace("'", "''")
