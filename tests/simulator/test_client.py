"""Starting and stopping: the ready line, signals, errors that say why, and no process left behind."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cio_fdw.simulator import command
from cio_fdw.simulator.client import PACKAGE_ROOT, Simulator, SimulatorError, arguments

SMALL = {"messages": 20, "campaigns": 2}


def start(*options: str, **environment: str) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cio_fdw.simulator", "--port", "0", "--messages", "10", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT, **environment},
    )
    return process, process.stdout.readline()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_ready_line_and_a_clean_stop(number):
    process, line = start()
    assert line.startswith("ready: http://127.0.0.1:")
    process.send_signal(number)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_it_stops_while_a_request_hangs():
    with Simulator(**SMALL) as api:
        api.faults([{"times": None, "action": {"kind": "hang"}}])
        host, port = api.url.split("//")[1].split(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(b"GET /v1/campaigns HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.2)
            started_s = time.monotonic()
            api.stop()
    assert time.monotonic() - started_s < 4


def test_the_key_comes_from_the_environment_or_is_the_demo_key(session):
    for environment, key in (({"CIO_APP_API_KEY": "from-env"}, "from-env"), ({"CIO_APP_API_KEY": ""}, "demo-key")):
        process, line = start(**environment)
        with process:
            session.headers["Authorization"] = f"Bearer {key}"
            status = session.get(line.split()[1] + "/v1/campaigns", timeout=9).status_code
            process.terminate()
            process.communicate(timeout=10)
        assert status == 200


def test_a_taken_port_is_an_error_that_says_so():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SimulatorError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            Simulator(port=port, **SMALL).start()


def test_a_wrong_option_is_an_error_that_says_so():
    with pytest.raises(SimulatorError, match="invalid choice: 'sideways'"):
        Simulator(order="sideways").start()
    with pytest.raises(SimulatorError, match="must not be negative"):
        Simulator(messages=-1).start()


def test_the_process_ends_with_the_context():
    with Simulator(**SMALL) as api:
        pid = api.pid
        assert not gone(pid)
    assert gone(pid)
    with pytest.raises(SimulatorError, match="not running"):
        _ = api.pid


def test_the_process_ends_when_its_starter_is_killed():
    script = f"from cio_fdw.simulator.client import Simulator; import time\ns = Simulator(**{SMALL!r}); s.start()\n"
    script += "print(s.pid, flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": PACKAGE_ROOT}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        pid = int(starter.stdout.readline())
        starter.kill()
    deadline_s = time.monotonic() + 8
    while not gone(pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert gone(pid)


def test_proxies_of_the_environment_do_not_matter(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Simulator(**SMALL) as api:
        assert api.stats()["requests"] == 0


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc: command lines cannot be read")
def test_the_key_is_on_no_command_line():
    with Simulator(key="hush-hush", **SMALL) as api:
        words = Path(f"/proc/{api.pid}/cmdline").read_text(encoding="utf-8")
    assert "cio_fdw.simulator" in words
    assert "hush-hush" not in words


def test_options_become_arguments():
    assert arguments({"latency_ms": 5, "gzip": True, "now": None, "until_stdin_closes": False}) == [
        "--latency-ms", "5", "--gzip",
    ]  # fmt: skip


def test_add_parser_sets_run_and_the_defaults():
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["simulate"])
    assert args.run is command.run
    assert (args.messages, args.campaigns, args.rate, args.port, args.host) == (20000, 40, 10, 8765, "127.0.0.1")
    assert (args.order, args.latency_ms, args.live_per_minute, args.gzip) == ("newest", 0.0, 0.0, False)
