"""Where a statement can be when it is ended: one Stage each, as long as something keeps it there.

with STAGES["body"].held(place, db) as statement: …     executing `statement` on `db` stays in that stage
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Callable

from tests.lifetime.conftest import Place
from tests.sql.helpers import Connection, asked
from tests.unit.http_servers import Kit, full_listener

COUNT = "select count(*) from customerio.messages"


@contextlib.contextmanager
def no_address() -> Iterator[str]:
    yield ""


@contextlib.contextmanager
def slow_name() -> Iterator[str]:
    yield "https://api.slow.test"


@contextlib.contextmanager
def full_queue() -> Iterator[str]:
    with full_listener() as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    with Kit() as kit:
        server = kit.server(lambda _conn, _number: server.over.wait(60) and None)
        yield f"https://127.0.0.1:{server.port}"


@dataclass(frozen=True)
class Stage:
    """`requests` is how many arrive before the statement stands still; `base_url` gives another API root.

    `before` runs in the same session.
    """

    name: str
    action: Mapping[str, Any] = field(default_factory=lambda: {"kind": "hang"})
    path: str = "/v1/messages"
    statement: str = COUNT
    before: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    requests: int = 1
    base_url: Callable[[], AbstractContextManager[str]] = no_address

    @contextlib.contextmanager
    def held(self, place: Place, admin: Connection, db: Connection) -> Iterator[str]:
        """The statement to run, with the API and the server prepared."""
        rules = [{"match": {"path": self.path}, "times": None, "action": self.action}] if self.action else []
        with self.base_url() as url, server_options(place, admin, self.options, url):
            for statement in self.before:
                db.execute(statement)
            place.sim.reset()
            place.sim.faults(rules)
            yield self.statement
            place.sim.faults([])

    def wait_until_there(self, place: Place) -> None:
        deadline_s = time.monotonic() + 10
        while len(asked(place.sim)) < self.requests:
            assert time.monotonic() < deadline_s, f"{self.name}: no request arrived"
            time.sleep(0.01)
        time.sleep(0.1 if self.requests else 0.4)


@contextlib.contextmanager
def server_options(place: Place, admin: Connection, options: Mapping[str, str], url: str) -> Iterator[None]:
    given = {**options, **({"base_url": url} if url else {})}
    before = {"base_url": place.sim.url, "max_retries": "9", "requests_per_second": "1000"}
    alter(admin, {name: ("set" if name in before else "add", text) for name, text in given.items()})
    yield
    alter(admin, {name: ("set", before[name]) if name in before else ("drop", "") for name in given})


def alter(admin: Connection, changes: Mapping[str, tuple[str, str]]) -> None:
    clauses = [f"{verb} {name}" + (f" '{text}'" if text else "") for name, (verb, text) in changes.items()]
    if clauses:
        admin.execute(f"alter server customerio options ({', '.join(clauses)})")


FUNCTION = f"""
    create or replace function public.counted() returns bigint language plpgsql as $$
    declare n bigint; begin
        begin execute '{COUNT}' into n; exception when division_by_zero then n := 0; end;
        return n;
    end $$"""

PARALLEL = (
    "create table if not exists public.numbers as select g from generate_series(1, 200000) g",
    "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0",
)
PLANNED = "select * from customerio.messages where created > now() - interval ''9 days'' and type = ''email''"
PLANNING = f"do $$ begin loop execute 'explain {PLANNED}'; end loop; end $$"
# Each import is undone, as its locks would fill the table of locks.
IMPORT = """do $$ begin loop
        begin
            execute 'import foreign schema customerio from server customerio into over_and_over';
            raise exception 'undone';
        exception when raise_exception then null; end;
    end loop; end $$"""
STAGES = {
    stage.name: stage
    for stage in (
        Stage("planning", {}, statement=PLANNING, requests=0),
        Stage("import", {}, before=("create schema if not exists over_and_over",), statement=IMPORT, requests=0),
        Stage("host name", {}, base_url=slow_name, requests=0),
        Stage("connect", {}, base_url=full_queue, requests=0),
        Stage("handshake", {}, base_url=silent_server, requests=0),
        Stage("headers"),
        Stage("body", {"kind": "drip", "bytes_per_s": 10}),
        Stage("throttled", {}, "", "select count(*) from customerio.campaign_actions",
              options={"requests_per_second": "1"}),
        Stage("back-off", {"kind": "status", "status": 503, "headers": {"Retry-After": "100"}}),
        Stage("children", path="actions$", statement="select count(*) from customerio.campaign_actions", requests=3),
        Stage("between rows", {}, "", "select pg_sleep(0.1), id from customerio.messages"),
        Stage("handler", statement=f"do $$ begin perform ({COUNT}); exception when others then null; end $$"),
        Stage("function", before=(FUNCTION,), statement="select (select public.counted()) from generate_series(1, 2)"),
        Stage("fetch", {"kind": "hang"}, before=(
            "begin", "declare c cursor for select id::text from customerio.campaigns union all "
            "select id from customerio.messages", "fetch 1 from c"), statement="fetch all from c"),
        Stage("nested loop", statement="select * from generate_series(1, 9) g, lateral "
              "(select count(*) from customerio.messages where campaign_id = g offset 0) x"),
        Stage("parallel", before=PARALLEL, statement="select count(*) from public.numbers n, "
              "(select count(*) c from customerio.messages) m where n.g > m.c"),
        Stage("explain analyze", statement=f"explain analyze {COUNT}"),
        Stage("create table", statement="create temp table copy as select * from customerio.messages"),
        Stage("analyze", statement="analyze customerio.messages"),
    )
}  # fmt: skip
