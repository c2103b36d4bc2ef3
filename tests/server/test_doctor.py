"""`cio-fdw doctor` against a real server and the simulated API."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cio_fdw.cli import main
from cio_fdw.options import resolve
from cio_fdw.secret import Secret
from cio_fdw.server import api_check
from cio_fdw.server.api_check import check_api
from cio_fdw.server.cluster import Cluster
from cio_fdw.server.database import set_up
from cio_fdw.simulator.client import Simulator

KEY = "key-of-the-doctor-tests"


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(messages=50, campaigns=3, rate=0, key=KEY, seed=5) as running:
        yield running


@pytest.fixture(scope="module")
def patient(cluster: Cluster, api: Simulator) -> str:
    with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
        connection.execute("create database doctor")
    set_up(cluster.socket_url("doctor"), {"base_url": api.url}, Secret(KEY))
    return cluster.socket_url("doctor")


@pytest.fixture
def healthy(patient: str, api: Simulator) -> str:
    api.reset()
    return patient


@contextmanager
def changed(address: str, change: str, undo: str) -> Iterator[None]:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(change.encode())
        try:
            yield
        finally:
            connection.execute(undo.encode())


def examined(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    code = main(["doctor", *words])
    text = capsys.readouterr().out
    assert KEY not in text
    return code, text.splitlines()


def failures(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("FAIL")]


def test_all_is_well(healthy: str, api: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = examined(capsys, healthy)
    assert code == 0, lines
    assert all(line.startswith("ok   ") for line in lines), lines
    text = "\n".join(lines)
    for word in ("extension cio_fdw", api.url, "comes from the user mapping", "accepts the key", "the clock of"):
        assert word in text
    assert "the state directory can be used" in text
    assert "a query through the server takes" in text
    assert [entry["path"] for entry in api.log()] == ["/v1/sender_identities"] * 2
    with psycopg.connect(healthy) as connection:
        assert connection.execute("select count(*) from pg_namespace where nspname like '_cio%'").fetchone() == (0,)


def test_a_refused_key_names_both_causes(healthy: str, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = "alter user mapping for current_user server customerio options (set app_api_key '{}')"
    with changed(healthy, mapping.format("no-such-key"), mapping.format(KEY)):
        code, lines = examined(capsys, healthy)
    assert code == 1
    text = "\n".join(lines)
    assert "no-such-key" not in text
    assert "FAIL  the API refuses the key (HTTP 401); two causes look the same:" in lines
    assert "region 'eu'" in text
    assert "Track API key" in text
    assert any("through the server" in line and "bad App API key or wrong region" in line for line in failures(lines))


def test_an_api_out_of_reach(healthy: str, api: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    url = "alter server customerio options (set base_url '{}')"
    retries = "alter server customerio options ({} max_retries {})"
    with (
        changed(healthy, url.format("http://127.0.0.1:9"), url.format(api.url)),
        changed(healthy, retries.format("add", "'0'"), retries.format("drop", "")),
    ):
        code, lines = examined(capsys, healthy)
    assert code == 1
    assert failures(lines)[0].startswith("FAIL  http://127.0.0.1:9 cannot be reached from this machine")
    assert len(failures(lines)) == 2


@pytest.mark.parametrize(
    ("status", "level", "text"),
    [
        (403, "warn", "but not for every endpoint"),
        (429, "warn", "is asked too often"),
        (404, "FAIL", "is not the root of the App API"),
        (302, "FAIL", "is not the root of the App API"),
        (500, "FAIL", "the API fails (HTTP 500)"),
    ],
)
def test_other_answers(api: Simulator, status: int, level: str, text: str) -> None:
    api.reset()
    api.faults([{"match": {"path": "/v1/"}, "times": None, "action": {"kind": "status", "status": status}}])
    finding = next(check_api("s", resolve({"base_url": api.url}), Secret(KEY), 0.0))
    assert finding.level == level
    assert text in finding.text
    assert finding.advice


@pytest.mark.parametrize(("ahead_s", "level"), [(0, "ok"), (1, "ok"), (-90, "FAIL"), (90, "FAIL")])
def test_the_clock(ahead_s: int, level: str) -> None:
    now_s = time.time()
    finding = api_check._clock(formatdate(now_s, usegmt=True), now_s + ahead_s)
    assert finding.level == level
    if ahead_s == -90:
        assert "90 s behind" in finding.text or "89 s behind" in finding.text or "91 s behind" in finding.text
    assert api_check._clock(None, now_s).level == "warn"


def test_a_role_that_sees_little(
    healthy: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with changed(
        healthy,
        "create role little login; grant usage on foreign server customerio to little",
        "revoke usage on foreign server customerio from little; drop role little",
    ):
        as_little = healthy.replace("postgres@", "little@")
        code, lines = examined(capsys, as_little)
        assert code == 1
        assert 'FAIL  role "little" has no user mapping on server "customerio"' in lines
        mapping = "create user mapping for public server customerio options (app_api_key 'whatever')"
        with changed(healthy, mapping, "drop user mapping for public server customerio"):
            _code, lines = examined(capsys, as_little)
            assert any("cannot be seen from here" in line for line in lines)
            monkeypatch.setenv("OTHER_KEY", KEY)
            code, lines = examined(capsys, as_little, "--api-key-env", "OTHER_KEY")
        assert any("comes from the environment variable OTHER_KEY" in line for line in lines)
        assert any("no query was tried through the server" in line for line in lines)
        assert code == 0


def test_a_key_file(healthy: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    path = cluster.private_dir / "key"
    cluster._write(path, f"{KEY}\n")
    with changed(
        healthy,
        "alter user mapping for current_user server customerio "
        f"options (drop app_api_key, add app_api_key_file '{path}')",
        "alter user mapping for current_user server customerio "
        f"options (drop app_api_key_file, add app_api_key '{KEY}')",
    ):
        code, lines = examined(capsys, healthy)
    assert code == 0
    assert any("the file that the user mapping names" in line for line in lines)


def test_a_state_directory_that_cannot_be_used(
    healthy: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    place = cluster.data_dir / "cio_fdw"
    with psycopg.connect(healthy) as connection:
        connection.execute("select id from customerio.campaigns limit 1")
    place.chmod(0o755)
    try:
        code, lines = examined(capsys, healthy)
    finally:
        place.chmod(0o700)
    assert code == 1
    assert any("must belong to the server's operating system user" in line for line in failures(lines))
    assert any("chmod 700" in line for line in lines)


def test_what_is_missing(cluster: Cluster, healthy: str, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(cluster.socket_url(), autocommit=True) as connection:
        connection.execute("create database bare")
    code, lines = examined(capsys, cluster.socket_url("bare"))
    assert code == 1
    assert "FAIL  the extension cio_fdw is not in this database" in lines
    assert "FAIL  there is no foreign server of cio_fdw in this database" in lines
    code, lines = examined(capsys, healthy, "--server", "other")
    assert code == 1
    assert 'FAIL  there is no foreign server "other" of cio_fdw' in lines
    with changed(healthy, "create server second foreign data wrapper cio_fdw", "drop server second"):
        code, lines = examined(capsys, healthy)
        assert code == 1
        assert "      Say which: --server customerio|second" in lines
        code, _lines = examined(capsys, healthy, "--server", "customerio")
        assert code == 0


def test_no_database(tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, "-m", "cio_fdw", "doctor", f"postgresql://u:secret@/x?host={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("cio-fdw: the database cannot be reached: ")
    assert "secret" not in done.stderr
