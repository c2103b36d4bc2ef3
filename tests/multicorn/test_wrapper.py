"""CustomerIO as Multicorn calls it, over real requests to the simulator and with a PostgreSQL of few words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.multicorn import CustomerIO, endings
from cio_fdw.own_tables import OWN_TABLES
from cio_fdw.secret import Secret
from cio_fdw.simulator.client import Simulator
from tests.multicorn.fake import ColumnDefinition, FakeBackend, JumpError, Qual, ReportedError
from tests.sql.days import DATES

SQL_TYPES = {"bool": "boolean", "float8": "double precision", "timestamptz": "timestamp with time zone"}
Make = Callable[..., CustomerIO]


@pytest.fixture
def session() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def make(sim: Simulator, session: FakeBackend, tmp_path: Path) -> Make:
    """Makes the object of a table, with all its columns or the ones named; options None are left out."""

    class Here(CustomerIO):
        backend = staticmethod(lambda: session)  # type: ignore[assignment]

    def made(name: str, *names: str, **options: Any) -> CustomerIO:
        columns = {**ENDPOINTS, **OWN_TABLES}[name].all_columns
        given = {
            "endpoint": name,
            "base_url": sim.url,
            "app_api_key": sim.key,
            "state_dir": str(tmp_path / "state"),
            "requests_per_second": "1000",
            **options,
        }
        (tmp_path / "state").mkdir(mode=0o700, exist_ok=True)
        return Here(
            {option: text for option, text in given.items() if text is not None},
            {
                column.name: ColumnDefinition(SQL_TYPES.get(column.type, column.type))
                for column in columns
                if not names or column.name in names
            },
        )

    return made


def test_rows_have_every_column_whatever_is_asked_for(make: Make, sim: Simulator) -> None:
    found = list(make("campaigns").execute([], {"id", "tableoid"}))
    assert len(found) == len(sim.data("campaigns"))
    assert {len(row) for row in found} == {len(ENDPOINTS["campaigns"].all_columns)}
    assert all(isinstance(row[-1], bytes) for row in found)


def test_columns_come_in_the_order_of_the_table(make: Make, sim: Simulator) -> None:
    found = list(make("campaigns", "id", "name").execute([], set()))
    assert found == [[row["id"], row["name"]] for row in sim.data("campaigns")]


def test_nothing_is_sent_before_the_first_row(make: Make, sim: Simulator) -> None:
    table = make("messages")
    table.get_rel_size([], {"id"})
    table.get_path_keys()
    table.explain([], {"id"})
    rows = table.execute([], {"id"})
    assert sim.log() == []
    next(rows)
    assert len(sim.log()) == 1
    table.rollback()


def test_quals_reach_the_api(make: Make, sim: Simulator) -> None:
    rows = list(make("campaign_actions", "id", "campaign_id").execute([Qual("campaign_id", "=", "1")], {"id"}))
    assert {entry["path"] for entry in sim.log()} == {"/v1/campaigns/1/actions"}
    assert len(rows) == sum(parent == 1 for parent, _ in sim.data_by_parent("campaign_actions"))


def test_an_error_is_postgresqls_own_once_python_has_returned(make: Make, session: FakeBackend) -> None:
    rows = make("campaigns", app_api_key="wrong-key-123").execute([], {"id"})
    with pytest.raises(JumpError) as caught:
        list(rows)
    sqlstate, message = caught.value.args
    assert sqlstate == "28000"
    assert "bad App API key or wrong region" in message
    assert session.prepared is None
    # The jump leaves no frame of this package behind: the one below the test is the iterator's, which is C.
    assert caught.tb.tb_next is not None
    assert caught.tb.tb_next.tb_frame.f_code.co_name == "finish_error"


@pytest.mark.parametrize(
    ("options", "sqlstate", "says"),
    [
        ({"endpoint": "campains"}, "HV00R", 'no endpoint "campains"'),
        ({"endpoint": None}, "HV00R", "no option endpoint"),
        ({"regoin": "eu"}, "HV00D", 'invalid option "regoin"'),
        ({"timeout": "soon"}, "HV024", "timeout"),
        ({"app_api_key": None}, "28000", "no user mapping"),
    ],
)
def test_bad_options_are_reported_when_rows_are_asked_for(
    make: Make, options: dict[str, Any], sqlstate: str, says: str
) -> None:
    table = make("campaigns", **options)
    assert table.get_rel_size([], {"id"}) == (1000, 1) or sqlstate == "28000"
    with pytest.raises(JumpError) as caught:
        list(table.execute([], {"id"}))
    assert caught.value.args[0] == sqlstate
    assert says in caught.value.args[1]


def test_explain_tells_the_sqlstate_in_the_detail(make: Make) -> None:
    with pytest.raises(ReportedError) as caught:
        make("campaigns", endpoint="campains").explain([], {"id"})
    assert caught.value.detail == "SQLSTATE HV00R"
    assert "campaigns" in (caught.value.hint or "")


def test_a_cancel_ends_the_scan_and_its_threads(make: Make, sim: Simulator, session: FakeBackend) -> None:
    sim.faults([{"match": {"path": "/v1/campaigns"}, "times": None, "action": {"kind": "hang"}}])
    rows = make("campaigns").execute([], {"id"})
    threading.Timer(0.2, setattr, (session, "canceled", True)).start()
    with pytest.raises(JumpError, match="57014"):
        next(rows)
    assert not [thread for thread in threading.enumerate() if thread.name == "cio-lane"]


def test_explain_analyze_counts_the_scan_it_follows(make: Make) -> None:
    table = make("campaigns")
    qual = Qual("id", ">", 0)
    count = len(list(table.execute([qual], {"id"})))
    lines = table.explain([Qual("id", ">", "0")], {"id"})
    assert "API Request: GET /v1/campaigns" in lines
    assert "API Requests Sent: 1" in lines
    assert f"API Rows: {count}" in lines
    table.end_scan()
    assert not any("Sent" in line for line in table.explain([qual], {"id"}))


def test_explain_shows_parameters_as_question_marks(make: Make) -> None:
    assert "API Request: GET /v1/campaigns/?/actions" in make("campaign_actions").explain(
        [Qual("campaign_id", "=", "0")], {"id"}
    )


def test_rollback_ends_scans_and_savepoints_only_their_own(make: Make, session: FakeBackend, sim: Simulator) -> None:
    table = make("messages")
    outer = table.execute([], {"id"})
    next(outer)
    session.nest_level = 2
    inner, kept = table.execute([], {"id"}), table.execute([], {"id"})
    next(inner)
    table.sub_rollback(2)
    with pytest.raises(StopIteration):
        next(skipped(inner))
    session.nest_level = 2
    next(kept_rows := table.execute([], {"id"}))
    table.sub_commit(2)
    table.sub_rollback(2)
    assert next(kept_rows)
    assert next(outer)
    table.rollback()
    del kept
    assert not list(endings._live)
    assert sum(1 for _ in outer) < 1000


def skipped(rows: Any) -> Any:
    """`rows` after the batch that was handed out already."""
    for _ in range(99):
        next(rows)
    return rows


def test_hooks_do_not_raise_for_a_scan_that_cannot_be_closed(make: Make) -> None:
    table = make("messages")
    rows = table.execute([], {"id"})
    next(rows)
    for hook in (table.commit, table.rollback, table.end_scan):
        hook()
    for level_hook in (table.sub_commit, table.sub_rollback):
        level_hook(1)


def test_import(sim: Simulator) -> None:
    definitions = CustomerIO.import_schema("customerio", {}, {}, "limit", ["campaigns", "_limits"])
    statements = [definition.to_statement("local", 'o"dd') for definition in definitions]
    assert [statement.split("(")[0] for statement in statements] == [
        'CREATE FOREIGN TABLE "campaigns" ', 'CREATE FOREIGN TABLE "_limits" ',
    ]  # fmt: skip
    assert all('SERVER "o""dd" OPTIONS (endpoint' in statement for statement in statements)
    everything = CustomerIO.import_schema("customerio", {}, {}, None, [])
    assert len(CustomerIO.import_schema("customerio", {}, {}, "except", ["campaigns"])) == len(everything) - 1


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        (("other", {}, {}, None, []), "HV00Q"),
        (("customerio", {}, {}, "limit", ["nope"]), "HV00R"),
        (("customerio", {}, {"x": "1"}, None, []), "HV00D"),
    ],
)
def test_import_refuses(arguments: Any, sqlstate: str) -> None:
    with pytest.raises(ReportedError) as caught:
        CustomerIO.import_schema(*arguments)
    assert caught.value.detail == f"SQLSTATE {sqlstate}"


def test_estimates_make_few_lookups_cheap_and_many_dear(make: Make) -> None:
    table = make("campaign_actions")
    rows, _ = table.get_rel_size([], {"id"})
    (((column,), each),) = table.get_path_keys()
    assert column == "campaign_id"
    assert each * 10 < rows < each * 200
    table.get_rel_size([Qual("campaign_id", "=", 7)], {"id"})
    assert table.get_path_keys() == []


def test_a_list_that_is_one_request_has_no_keys(make: Make) -> None:
    table = make("campaigns")
    table.get_rel_size([], {"id"})
    assert table.get_path_keys() == []


def test_keys_are_columns_that_the_table_has(make: Make) -> None:
    table = make("messages", "subject", "campaign_id")
    table.get_rel_size([], {"subject"})
    assert [names for names, _ in table.get_path_keys()] == [("campaign_id",)]


def test_limits_are_never_taken_over_and_writing_is_refused(make: Make) -> None:
    table = make("messages")
    assert table.can_limit(5, None) is False
    with pytest.raises(ReportedError, match="only read"):
        _ = table.rowid_column


def test_an_older_multicorn_gets_an_exception(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log_to_postgres jumps at once, out of the frames of Python."""
    monkeypatch.delattr("multicorn.utils.MulticornException")
    with pytest.raises(RuntimeError, match=r"no endpoint .*; SQLSTATE HV00R; Endpoints: "):
        make("campaigns", endpoint="campains").explain([], {"id"})


def test_notices_reach_the_client(make: Make, session: FakeBackend) -> None:
    table = make("messages", anchor_date=DATES["late"])
    list(table.execute([Qual("created", ">", f"{DATES['day']} 00:00:00+00")], {"id"}))
    assert len(session.notices) == 1
    assert "anchor_date" in session.notices[0]


def test_own_tables(make: Make, sim: Simulator) -> None:
    list(make("campaigns").execute([], {"id"}))
    (request,) = make("_requests", "path", "status", "at").execute([], set())
    assert request[2:] == [200] or "/v1/campaigns" in request
    assert any(str(value).startswith("20") and "T" in str(value) for value in request)
    assert make("_requests").explain([], set()) == ["API Request: none, answered from the state directory"]
    ((used,),) = make("_limits", "requests_per_second").execute([], set())
    assert used == 1000


def test_no_column_has_a_type_that_multicorn_cannot_explain() -> None:
    """EXPLAIN with a parameter on a uuid or numeric column would end the server."""
    types = {
        column.type for described in (*ENDPOINTS.values(), *OWN_TABLES.values()) for column in described.all_columns
    }
    assert types <= {"text", "bigint", "float8", "bool", "timestamptz", "jsonb", "text[]"}


@pytest.mark.parametrize(
    ("table", "options", "limit"),
    [("messages", {"page_size": "200"}, "200"), ("messages", {"page_size": "200", "table_page_size": "50"}, "50")],
)
def test_a_tables_own_name_beats_the_servers(
    make: Make, sim: Simulator, table: str, options: dict[str, str], limit: str
) -> None:
    made = make(table, **options)
    next(made.execute([], {"id"}))
    assert f"limit={limit}" in sim.log()[0]["query"]
    made.rollback()


def test_another_statement_has_a_scan_of_its_own(make: Make, sim: Simulator, session: FakeBackend) -> None:
    """A cursor that is open does not lend the next statement the list of parents that it has read."""
    table = make("campaign_actions")
    next(cursor := table.execute([], {"id"}))
    for statement, lists in ((1, 1), (2, 2)):
        session.statement = statement
        next(table.execute([], {"id"}))
        assert sum(entry["path"] == "/v1/campaigns" for entry in sim.log()) == lists
    assert next(cursor)
    table.rollback()


def test_kept_answers(make: Make, sim: Simulator, session: FakeBackend) -> None:
    def count() -> int:
        return len(list(make("campaigns", cache_ttl="3600").execute([], {"id"})))

    assert count() == count() == len(sim.data("campaigns"))
    assert len(sim.log()) == 1
    session.cache = False
    assert count() == len(sim.data("campaigns"))
    assert len(sim.log()) == 2


def test_a_slow_scan_is_logged(make: Make, sim: Simulator, session: FakeBackend) -> None:
    list(make("campaigns").execute([], {"id"}))
    assert session.logged == []
    session.slow_ms = 0
    list(make("campaigns").execute([], {"id"}))
    (text,) = session.logged
    assert text.startswith('cio_fdw: scan of "campaigns" took ')


def test_a_cache_that_cannot_be_used_is_told(make: Make, sim: Simulator, session: FakeBackend, tmp_path: Path) -> None:
    table = make("campaigns", cache_ttl="3600")
    (tmp_path / "state" / f"cache-{Secret(sim.key).fingerprint()}.1.db").mkdir(mode=0o700)
    assert len(list(table.execute([], {"id"}))) == len(sim.data("campaigns"))
    (text,) = session.warnings
    assert "queries go on without the cache" in text
