"""The native door's errors and checks: what PostgreSQL is told, and what it never is."""

from __future__ import annotations

import errno
import traceback
from typing import Any, Optional

import pytest

from cio_fdw import native
from cio_fdw.errors import (
    ColumnTypeError,
    MissingKeyError,
    OptionNameError,
    RecordError,
    ServerError,
    UnknownColumnError,
    UnknownTableError,
    Where,
)
from cio_fdw.native import describe

SECRET = "s3cr3t-k3y"


def table(
    relname: str = "campaigns",
    names: tuple[Optional[str], ...] = ("id", "name"),
    types: tuple[Optional[str], ...] = ("bigint", "text"),
    **options: str,
) -> tuple[Any, ...]:
    return (relname, "srv", {}, options, names, types)


def raised(function: Any, *args: Any) -> BaseException:
    try:
        function(*args)
    except BaseException as error:  # noqa: BLE001 - the error is what is wanted
        return error
    raise AssertionError("nothing was raised")


def test_an_error_of_ours_keeps_its_fields() -> None:
    error = RecordError("table x: bad", hint="do", detail="why")
    assert describe(error) == ("HV000", "cio_fdw: table x: bad", "why", "do", None)


def test_too_many_open_files() -> None:
    described = describe(OSError(errno.EMFILE, "of another language"))
    assert described[:3] == ("53000", "cio_fdw: Too many open files", None)
    assert "ulimit -n" in str(described[3])
    assert describe(OSError(errno.ENOMEM, "no"))[0] == "53200"
    assert describe(OSError(errno.EPERM, "no"))[0] == "XX000"


def test_a_request_error() -> None:
    error = ServerError(Where("messages", "/v1/messages"), status=503, attempt=6, attempts=6, after_s=31.04)
    assert describe(error) == (
        "08006",
        "cio_fdw: GET /v1/messages (table messages) failed at the API: HTTP 503, attempt 6 of 6, after 31.0 s",
        None,
        "Customer.io answered with an error of its own; try again later.",
        None,
    )


def test_out_of_memory_has_its_own_sqlstate() -> None:
    assert describe(MemoryError(SECRET)) == ("53200", "cio_fdw: out of memory", None, None, None)


def inner(key: str) -> None:
    raise KeyError(f"Bearer {key}")


def outer(key: str) -> None:
    try:
        inner(key)
    except KeyError as error:
        raise ValueError(f"bad header {key}") from error


@pytest.mark.parametrize(("function", "kind"), [(inner, "KeyError"), (outer, "ValueError")])
def test_a_fault_of_ours_shows_type_and_place_and_nothing_else(function: Any, kind: str) -> None:
    error = raised(function, SECRET)
    sqlstate, message, detail, hint, log = describe(error)
    assert (sqlstate, message, detail) == ("XX000", f"cio_fdw: internal error: {kind}", None)
    assert hint == "This is a fault of cio_fdw; the server log says where. Please report it."
    assert log is not None
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert log.startswith(f"at {function.__name__} (test_describe.py:{last.lineno}) < raised (test_describe.py:")
    assert SECRET not in f"{message}{detail}{hint}{log}"
    assert "/" not in log


def test_a_secret_in_the_type_or_the_frame_is_not_looked_for_in_values() -> None:
    key = SECRET
    error = raised(lambda: {}[key])
    assert SECRET not in "".join(map(str, describe(error)))


def test_an_error_without_a_traceback() -> None:
    assert describe(ValueError(SECRET))[4] == "at "


def test_columns_must_be_the_endpoints() -> None:
    error = raised(native.explain, table(relname="c", names=("id", "nope"), endpoint="campaigns"), [], None, 1.0)
    assert isinstance(error, UnknownColumnError)
    assert error.message == 'foreign table "c" has a column "nope" that endpoint campaigns does not have'
    assert error.hint == 'Drop it (ALTER FOREIGN TABLE "c" DROP COLUMN "nope"), or use raw->>\'nope\'.'


def test_column_types_must_be_the_endpoints() -> None:
    error = raised(native.explain, table(types=("integer", "text")), [], None, 1.0)
    assert isinstance(error, ColumnTypeError)
    assert error.message == 'column "id" of foreign table "campaigns" is integer, but must be bigint'
    assert error.hint == 'ALTER FOREIGN TABLE "campaigns" ALTER COLUMN "id" TYPE bigint;'


def test_dropped_columns_are_passed_over() -> None:
    shown = native.explain(table(names=("id", None, "raw"), types=("bigint", None, "jsonb")), [], None, 1.0)
    assert shown[0] == ("API Request", ("GET /v1/campaigns",), "")


def test_an_endpoint_that_is_none() -> None:
    assert isinstance(raised(native.explain, table(relname="c"), [], None, 1.0), UnknownTableError)
    assert native.explain(table(relname="c", endpoint="campaigns"), [], None, 1.0)


def test_import_takes_no_options() -> None:
    error = raised(native.import_schema, "s", "customerio", "all", (), {"app_api_key": SECRET})
    assert isinstance(error, OptionNameError)
    assert error.message == 'invalid option "app_api_key"'
    assert SECRET not in f"{error.message}{error.hint}{error.detail}"


def test_a_user_without_a_mapping() -> None:
    error = raised(native.open_scan, table(), None, ("id",), 1)
    assert isinstance(error, MissingKeyError)
    assert error.message == 'no user mapping for the current user on server "srv"'
    assert error.hint == "CREATE USER MAPPING FOR CURRENT_USER SERVER \"srv\" OPTIONS (app_api_key '...');"


def estimated(*quals: tuple[str, str, Any], total: float = 0.0, **kept: float) -> native.Estimate:
    return native.estimate(table("messages", ("id",), ("text",)), quals, ("id",), total, kept)


def test_estimates_rise_with_requests_and_are_nothing_for_nothing() -> None:
    whole, one = estimated(), estimated(("campaign_id", "=", 7))
    assert whole.rows > 1000
    assert 0 < whole.width < 100
    assert 0 < whole.startup_cost < whole.total_cost
    assert one.total_cost < whole.total_cost
    assert one.requests < whole.requests
    assert one.table_rows == whole.rows
    nothing = native.estimate(table(), [("id", "=", None)], (), 0.0, {})
    assert (nothing.rows, nothing.requests, nothing.total_cost) == (0.0, 0.0, 0.0)


def test_statistics_beat_the_catalog() -> None:
    one = estimated(("campaign_id", "=", 7), total=5000.0, campaign_id=0.01, subject=0.5)
    assert round(one.rows) == 50
    assert set(one.pushed) == {"campaign_id", "created"}
    assert one.table_rows == 5000.0


def test_a_wide_row_is_priced_as_one() -> None:
    wide = native.estimate(table(), [], ("id", "raw"), 0.0, {})
    assert wide.width > native.estimate(table(), [], ("id",), 0.0, {}).width
