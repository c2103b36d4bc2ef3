"""Lookups of host names: what they find, and that neither a process nor a descriptor of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from cio_fdw import resolving
from cio_fdw.lanes import Lanes, Stop, Stopped
from cio_fdw.resolving import resolve
from tests.processes import children, is_running

HANG = "sleep 60"
Fake = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = open_files(), children(os.getpid())
    yield
    assert (open_files(), children(os.getpid())) == before


def open_files() -> set[str]:
    return {link for link in map(str, Path("/proc/self/fd").iterdir()) if os.path.lexists(link)}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a shell script in the place of getent."""

    def put(script: str) -> Path:
        program = tmp_path / "getent"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(resolving, "GETENT", str(program))
        return tmp_path

    return put


def look_up(host: str = "api.example", wait_s: float = 5.0) -> list[tuple[object, ...]]:
    """Family and address of each."""
    return [(found[0], found[4]) for found in resolve(host, 443, Stop(), wait_s)]


def give_up(host: str = "api.example") -> float:
    """Seconds that a lookup went on after its scan was over."""
    stop, struck_s = Stop(), []

    def strike() -> None:
        struck_s.append(time.monotonic())
        stop.trip()

    threading.Timer(0.05, strike).start()
    with pytest.raises(Stopped):
        resolve(host, 443, stop, 30.0)
    return time.monotonic() - struck_s[0]


@pytest.mark.parametrize("program", [resolving.GETENT, "/nowhere/getent"], ids=["getent", "python"])
def test_it_finds_what_getaddrinfo_finds(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "GETENT", program)
    found = resolve("localhost", 443, Stop(), 30.0)
    assert found
    # getent leaves out a family in which the machine has no address but its own.
    assert set(found) <= {
        (*info[:3], "", info[4]) for info in socket.getaddrinfo("localhost", 443, type=socket.SOCK_STREAM)
    }
    with pytest.raises(socket.gaierror) as caught:
        resolve("api.invalid", 443, Stop(), 30.0)
    assert caught.value.args == (socket.EAI_NONAME, "no address was found")


@pytest.mark.skipif(not Path(resolving.GETENT).exists(), reason="no getent here")
def test_glibc_asks_its_own_program() -> None:
    if "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""):
        pytest.skip("another C library")
    assert resolving._command("api.example") == ["/usr/bin/getent", "ahosts", "--", "api.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%1"])
def test_an_address_starts_no_program(host: str, fake: Fake) -> None:
    place = fake('touch "$(dirname "$0")/started"')
    assert resolve(host, 443, Stop(), 1.0) == socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    assert not (place / "started").exists()


def test_addresses_of_both_families_in_their_order(fake: Fake) -> None:
    fake("""cat <<END
2001:db8::1     STREAM api.example
2001:db8::1     DGRAM
2001:db8::1     RAW
192.0.2.7       STREAM
192.0.2.7       DGRAM
fe80::2%1       STREAM
END""")
    assert look_up() == [
        (socket.AF_INET6, ("2001:db8::1", 443, 0, 0)),
        (socket.AF_INET, ("192.0.2.7", 443)),
        (socket.AF_INET6, ("fe80::2", 443, 0, 1)),
    ]


@pytest.mark.parametrize(
    ("host", "asked"),
    [("api.example", "api.example"), ("bücher.example", "xn--bcher-kva.example"), ("-x.example", "-x.example")],
)
def test_the_name_is_all_that_the_program_is_told(host: str, asked: str, fake: Fake) -> None:
    place = fake('printf "%s\\n" "$@" > "$(dirname "$0")/arguments"; echo 192.0.2.1 STREAM')
    look_up(host)
    assert (place / "arguments").read_text().splitlines() == ["ahosts", "--", asked]


def test_a_name_like_an_option_is_a_name() -> None:
    with pytest.raises(socket.gaierror, match="no address was found"):
        resolve("--help", 443, Stop(), 30.0)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "\udce9.example", "a..example"])
def test_what_is_no_name(host: str) -> None:
    with pytest.raises(socket.gaierror, match="not a host name"):
        resolve(host, 443, Stop(), 5.0)


def test_the_program_has_no_descriptor_of_ours_but_its_line(fake: Fake) -> None:
    place = fake('ls -l /proc/$$/fd > "$(dirname "$0")/descriptors"; echo 192.0.2.1 STREAM')
    near, far = socket.socketpair()
    with near, far:
        os.set_inheritable(near.fileno(), True)
        look_up()
    lines = (place / "descriptors").read_text().splitlines()
    of = {line.split()[-3]: line.split()[-1] for line in lines if " -> " in line}
    assert of["0"] == of["2"] == "/dev/null"
    # The shell moves its output away from 1 while ls has a file there.
    assert len({target for target in of.values() if target.startswith("socket:")}) == 1


@pytest.mark.parametrize("script", [HANG, "exec 1>&-; sleep 60", "trap '' TERM INT QUIT HUP; sleep 60"])
def test_it_is_given_up(script: str, fake: Fake) -> None:
    fake(script)
    assert max(give_up() for _ in range(5)) < 0.5
    began_s = time.monotonic()
    with pytest.raises(socket.timeout):
        look_up(wait_s=0.1)
    assert 0.1 <= time.monotonic() - began_s < 0.6
    with pytest.raises(socket.timeout):
        look_up(wait_s=0.0)


def test_a_worker_that_looks_up_ends_with_its_scan(fake: Fake) -> None:
    """All signals are blocked in a worker, and so in what it starts."""
    fake(HANG)
    before = len(children(os.getpid()))
    lanes: Lanes[object] = Lanes(3)
    for number in range(3):
        lanes.submit(number, lambda stop: resolve("api.example", 443, stop, 30.0))
    deadline_s = time.monotonic() + 5
    while len(children(os.getpid())) < before + 3:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    lanes.stop()
    assert [thread for thread in threading.enumerate() if thread.name == "cio-lane"] == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 2", "no address was found"),
        ("exit 0", "no address was found"),
        ("echo 192.0.2.1 STREAM; exit 2", "no address was found"),
        ("echo 192.0.2.1 DGRAM", "no address was found"),
        ("exit 3", "{program} ended with 3"),
        ("echo 192.0.2.1 STREAM; kill -9 $$", "{program} ended with -9"),
    ],
)
def test_a_program_that_fails(script: str, why: str, fake: Fake) -> None:
    place = fake(script)
    with pytest.raises(socket.gaierror) as caught:
        look_up()
    assert caught.value.args == (socket.EAI_NONAME, why.format(program=place / "getent"))


def test_a_line_that_is_none(fake: Fake) -> None:
    fake("echo surprise STREAM")
    with pytest.raises(socket.gaierror):
        look_up()


def test_a_program_that_cannot_be_run(fake: Fake) -> None:
    (fake("") / "getent").write_text("#!/nowhere/interpreter\n")
    with pytest.raises(socket.gaierror, match=r"^\[Errno .*\] cannot run .*/getent: No such file or directory$"):
        look_up()


ALONE = """
import os, resource, sys
from cio_fdw import resolving
from cio_fdw.lanes import Stop
sys.stdout.write("ready\\n"); sys.stdout.flush()
resolving.GETENT = sys.argv[1]
if sys.argv[2:]:
    if os.geteuid() == 0:
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
resolving.resolve("api.example", 443, Stop(), 30.0)
"""


def alone(program: Path, *arguments: str) -> subprocess.Popen[str]:
    """A lookup in a process of its own."""
    command = [sys.executable, "-c", ALONE, str(program), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_without_room_for_a_process_it_fails(fake: Fake) -> None:
    with alone(fake(HANG) / "getent", "limited") as process:
        _output, errors = process.communicate(timeout=30)
    assert "cannot run " in errors
    assert "Resource temporarily unavailable" in errors


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
def test_the_program_ends_with_a_process_that_is_killed(fake: Fake) -> None:
    with alone(fake(f"exec {HANG}") / "getent") as process:
        deadline_s = time.monotonic() + 30
        while not (started := children(process.pid)):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 1
    while is_running(started[0]):
        assert time.monotonic() < deadline_s, "it goes on"
        time.sleep(0.01)
