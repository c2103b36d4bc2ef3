"""psql on a terminal: completion, Ctrl-C, paging by FETCH_COUNT, and what a long refresh tells meanwhile."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cio_fdw.server.cluster import Cluster
from cio_fdw.simulator.client import Simulator
from tests.clients.terminal import CTRL_C, Terminal
from tests.sql.helpers import asked
from tests.sync.helpers import Sync

PROMPT = r"> $"
QUIET = ["-X", "-v", f"PROMPT1={'>'} ", "-v", "PROMPT2=- ", "-P", "pager=off"]


@pytest.fixture(scope="session")
def editing_psql(psql: str, database: str) -> str:
    """A psql that completes: one built with readline."""
    for program in (psql, shutil.which("psql")):
        if program:
            told = subprocess.run([program, "-X", "-c", r"\s", database], capture_output=True, text=True, check=False)
            if "not supported by this installation" not in told.stderr:
                return program
    pytest.skip("no psql here was built with readline: apt-get install postgresql-client")


def opened(program: str, address: str) -> Terminal:
    terminal = Terminal([program, *QUIET, address], {"PSQL_HISTORY": "/dev/null"})
    terminal.wait_for(PROMPT)
    return terminal


@pytest.fixture
def terminal(editing_psql: str, database: str, sim: Simulator) -> Iterator[Terminal]:
    with opened(editing_psql, database) as running:
        yield running


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("select id from customerio.seg\t_m\t", r"customerio\.segment_membership "),
        ("select id from customerio.campaigns where upd\t", r"where updated "),
        (r"\d customerio.transac" + "\t", r"customerio\.transactional_messages "),
        (r"\det customerio.news" + "\t", r"customerio\.newsletters "),
        ("alter server cust\t", r"server customerio "),
        ("alter foreign table customerio.broadcasts opt\t", r"broadcasts OPTIONS|broadcasts options"),
        ("import foreign schema customerio from server cust\t", r"server customerio "),
        ("create server another foreign data wrapper cio\t", r"wrapper cio_fdw "),
    ],
)
def test_tab_completes_foreign_objects(terminal: Terminal, sim: Simulator, typed: str, completed: str) -> None:
    terminal.type(typed)
    terminal.wait_for(completed)
    assert asked(sim) == []


def test_two_tabs_list_the_tables(terminal: Terminal, sim: Simulator) -> None:
    terminal.type("table customerio.\t\t")
    shown = terminal.wait_for("> table customerio")
    assert {"campaigns", "messages", "segments"} <= set(re.findall(r"\w+", shown))
    assert asked(sim) == []


def test_ctrl_c_ends_a_hanging_request_and_the_session_goes_on(terminal: Terminal, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages"}, "times": None, "action": {"kind": "hang"}}])
    terminal.type("select count(*) from customerio.messages;\n")
    while not asked(sim):
        time.sleep(0.01)
    began_s = time.monotonic()
    terminal.type(CTRL_C)
    terminal.wait_for("ERROR:  canceling statement due to user request")
    # The request itself would go on for the timeout of a minute.
    assert time.monotonic() - began_s < 10
    terminal.wait_for(PROMPT)
    sent = len(asked(sim))
    terminal.type("select 'campaigns', count(*) from customerio.campaigns;\n")
    terminal.wait_for(r"campaigns +\| +12\s")
    assert len(asked(sim)) == sent + 1


def test_fetch_count_shows_rows_while_the_next_page_hangs(terminal: Terminal, sim: Simulator) -> None:
    sim.faults([{"match": {"path": "/v1/messages", "nth": 3}, "times": None, "action": {"kind": "hang"}}])
    terminal.type("\\set FETCH_COUNT 100\n")
    terminal.wait_for(PROMPT)
    terminal.type("select 'row ' || type from customerio.messages where created < now() - interval '1 day';\n")
    terminal.wait_for(r"(row \w+\s+){100}")
    terminal.type(CTRL_C)
    # Between two fetches psql itself stops, without an error.
    terminal.wait_for("Cancel request sent")
    terminal.wait_for(PROMPT)
    sent = len(asked(sim))
    terminal.type("select 'still ' || 'here';\n")
    terminal.wait_for("still here")
    assert len(asked(sim)) == sent


def test_a_refresh_tells_how_far_it_is(editing_psql: str, mirror_db: Sync) -> None:
    mirror_db.mirror(more="start_time => now() - interval '20 days'")
    mirror_db.sim.set_latency(250)
    try:
        with opened(editing_psql, mirror_db.address) as terminal:
            terminal.type("call cio.refresh('analytics.messages');\n")
            shown = terminal.wait_for(r"NOTICE:  cio: analytics\.messages: (\d+) of 21 units, \d+ rows, about \S+ left")
            assert "status" not in shown
            progress = mirror_db.rows("select target::text, done, total from cio.progress")
            terminal.wait_for(r"run_id \| units_done \| units_left \| status")
            assert "done" in terminal.wait_for(r"\(1 row\)")
    finally:
        mirror_db.sim.set_latency(0)
    ((target, done, total),) = progress
    assert (target, total) == ("analytics.messages", 21)
    assert 0 < done < 21


def test_ctrl_c_of_a_refresh_keeps_what_was_read(editing_psql: str, mirror_db: Sync) -> None:
    mirror_db.mirror(more="start_time => now() - interval '20 days'")
    mirror_db.sim.set_latency(250)
    try:
        with opened(editing_psql, mirror_db.address) as terminal:
            terminal.type("call cio.refresh('analytics.messages');\n")
            terminal.wait_for(r"NOTICE:  cio: analytics\.messages: \d+ of 21 units")
            terminal.type(CTRL_C)
            terminal.wait_for("ERROR:  canceling statement due to user request")
    finally:
        mirror_db.sim.set_latency(0)
    before = len(mirror_db.requests())
    (_, done, left, status) = mirror_db.refresh()
    assert (left, status) == (0, "done")
    assert 0 < done < 21
    assert len(mirror_db.requests()) - before >= done


@pytest.mark.parametrize("controlling", [True, False], ids=["terminal of its own", "as under su -c"])
def test_psql_follows_the_demo(cluster: Cluster, database: str, controlling: bool) -> None:
    program = (
        "import pathlib, sys; from cio_fdw.demo import interactive; "
        "interactive(pathlib.Path(sys.argv[1]), sys.argv[2]); print('back')"
    )
    command = [sys.executable, "-c", program, str(cluster.bin_dir), database]
    with Terminal(command, {"PSQL_HISTORY": "/dev/null"}, controlling=controlling) as terminal:
        terminal.wait_for("=# $")
        if controlling:
            terminal.type("select pg_sleep(60);\n")
            time.sleep(0.3)
            terminal.type(CTRL_C)
            terminal.wait_for("canceling statement due to user request")
        terminal.type("select 6 * 7 as answer;\n")
        terminal.wait_for(r"\b42\b")
        terminal.type("\\q\n")
        terminal.wait_for(r"back\s")
        assert terminal.process.wait(10) == 0
