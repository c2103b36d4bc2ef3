"""The command line, the demo, the package and the scripts behind make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from cio_fdw import __version__
from cio_fdw.cli import main
from cio_fdw.demo import Step, steps

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=170, stdin=subprocess.DEVNULL, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cio-fdw {__version__}\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["up", "--port", "65536"], "must be a number from 0 to 65535"),
        (["up", "--region", "us", "--base-url", "http://localhost"], "not allowed with argument --region"),
        (["up", "--region", "mars"], "invalid choice"),
        (["install-host"], "the following arguments are required: --pg-config"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_calls_exit_2(words, complaint, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_simulate_without_its_extra_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("cio_fdw.cli.SIMULATOR_NEEDS", ("no_such_module",))
    assert main(["simulate"]) == 1
    assert capsys.readouterr().err == "cio-fdw: the simulator is not installed: pip install 'cio_fdw[simulator]'\n"


def test_steps_pair_titles_with_statements():
    assert steps("-- One: first\nselect 1;\n\n-- Two\nselect\n2;\n") == [
        Step("One: first", "select 1;"),
        Step("Two", "select\n2;"),
    ]


def test_demo_runs_every_statement_and_shows_requests():
    done = run(sys.executable, "-m", "cio_fdw", "demo")
    assert done.returncode == 0, done.stderr
    titles = [step.title for step in steps((ROOT / "cio_fdw" / "demo.sql").read_text())]
    assert len(titles) == 12
    for number, title in enumerate(titles, start=1):
        assert f"{number}. {title}\n" in done.stdout
    five = done.stdout[done.stdout.index("4. ") : done.stdout.index("5. ")]
    assert "API Requests Sent: 1\n" in five
    assert "API Requests Estimated: 1\n" in five
    assert "(5 rows)" in five
    assert re.search(r"\| +5 \| +\d+ \| partial\n", done.stdout)
    assert done.stderr == ""


def test_installed_package_carries_the_extension():
    files = {str(path) for path in distribution("cio_fdw").files or []}
    wanted = {"host/Makefile", "host/fdw.c", "host/cio_fdw.control", f"sql/cio_fdw--{__version__}.sql"}
    assert {f"cio_fdw/_host/{name}" for name in wanted} | {"cio_fdw/demo.sql", "cio_fdw/py.typed"} <= files
    assert distribution("cio_fdw").version == __version__


def test_control_file_has_the_version_of_the_package():
    assert f"default_version = '{__version__}'" in (ROOT / "host" / "cio_fdw.control").read_text()


def test_help_lists_every_target():
    done = run("make", "help")
    for target in ("demo", "test", "bench", "install", "uninstall", "clean"):
        assert f"make {target} " in done.stdout


def test_unusable_python_is_named(tmp_path):
    done = run("tools/python-for-server.sh", PYTHON=str(tmp_path / "python3"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cio_fdw: {tmp_path / 'python3'}: not there\n" in done.stderr
    assert "set PYTHON=/path/to/python3" in done.stderr


def test_runtime_with_a_space_is_refused(tmp_path):
    done = run("tools/runtime.sh", CIO_RUNTIME=str(tmp_path / "a b"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("must be writable, yours, and without spaces\n")


def test_install_says_which_server_is_wanted():
    done = run("make", "install", "PG_CONFIG=")
    assert done.returncode == 2
    assert "sudo make install PG_CONFIG=/usr/bin/pg_config" in done.stderr
