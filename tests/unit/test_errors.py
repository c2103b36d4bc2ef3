"""Every error class: SQLSTATE, retryable or not, whole message."""

from __future__ import annotations

from typing import Any

import pytest

from cio_fdw import errors
from cio_fdw.errors import CioError, Interrupted, RequestError, Where

WHERE = Where("messages", "/v1/messages")

# Class, SQLSTATE, retryable. The list is complete: test_no_class_is_left_out compares it with the module.
PLAIN = (
    (errors.CioError, "XX000", False),
    (errors.OptionNameError, "HV00D", False),
    (errors.OptionValueError, "HV024", False),
    (errors.SettingError, "22023", False),
    (errors.MissingKeyError, "28000", False),
    (errors.KeyFileError, "28000", False),
    (errors.StateError, "58030", False),
    (errors.SharedLimitError, "08006", False),
    (errors.NoThreadError, "53000", False),
    (errors.UnknownTableError, "HV00R", False),
    (errors.UnknownSchemaError, "HV00Q", False),
    (errors.UnknownColumnError, "HV005", False),
    (errors.ColumnTypeError, "HV004", False),
    (errors.RecordError, "HV000", False),
    (errors.PagingError, "HV000", False),
    (errors.BodyError, "HV000", True),
)
REQUEST = (
    (errors.RequestError, "HV000", False, "was not answered as expected"),
    (errors.UnauthorizedError, "28000", False, "was refused: bad App API key or wrong region"),
    (errors.ForbiddenError, "42501", False, "is not allowed with this App API key"),
    (errors.NotFoundError, "HV00R", False, "was not found"),
    (errors.RedirectError, "HV000", False, "was answered with a redirect, which is not followed"),
    (errors.RateLimitedError, "53400", True, "was rate limited"),
    (errors.ServerError, "08006", True, "failed at the API"),
    (errors.NetworkError, "08006", True, "did not reach the API"),
    (errors.CertificateError, "08006", False, "was not sent: the host's TLS certificate is not trusted"),
    (errors.RequestTimeoutError, "08001", True, "timed out"),
)


def descendants(cls: type[Any]) -> set[type[Any]]:
    return {cls}.union(*(descendants(child) for child in cls.__subclasses__() if child.__module__ == errors.__name__))


def test_no_class_is_left_out() -> None:
    assert {row[0] for row in (*PLAIN, *REQUEST)} == descendants(CioError)


@pytest.mark.parametrize(("cls", "sqlstate", "retryable"), PLAIN)
def test_plain_errors(cls: type[CioError], sqlstate: str, retryable: bool) -> None:
    error = cls("what failed", hint="do this", detail="where")
    assert (str(error), error.message, error.hint, error.detail) == ("what failed", "what failed", "do this", "where")
    assert (error.sqlstate, error.retryable) == (sqlstate, retryable)


@pytest.mark.parametrize(("cls", "sqlstate", "retryable", "what"), REQUEST)
def test_request_errors(cls: type[RequestError], sqlstate: str, retryable: bool, what: str) -> None:
    error = cls(WHERE, status=418, reason="tea", attempt=2, attempts=6, after_s=1.26, retry_after_s=4.0)
    assert error.message == f"GET /v1/messages (table messages) {what}: HTTP 418, attempt 2 of 6, after 1.3 s"
    assert str(error) == error.message
    assert (error.sqlstate, error.retryable, error.detail) == (sqlstate, retryable, "tea")
    assert error.hint == cls.advice
    assert (cls.advice is None) == (cls is RequestError)


def test_a_request_error_without_an_answer_names_no_status() -> None:
    error = errors.NetworkError(WHERE)
    assert error.message == "GET /v1/messages (table messages) did not reach the API, attempt 1 of 1, after 0.0 s"
    assert error.hint == "Check that the PostgreSQL server can reach the host of base_url."


def test_at_counts_anew_and_keeps_the_rest() -> None:
    first = errors.RateLimitedError(WHERE, status=429, reason="slow down", retry_after_s=3.0)
    third = first.at(attempt=3, attempts=6, after_s=7.5)
    assert type(third) is errors.RateLimitedError
    assert third.message == "GET /v1/messages (table messages) was rate limited: HTTP 429, attempt 3 of 6, after 7.5 s"
    assert (third.where, third.status, third.reason, third.retry_after_s) == (WHERE, 429, "slow down", 3.0)
    assert (third.attempt, third.attempts, third.after_s) == (3, 6, 7.5)


def test_401_names_both_causes() -> None:
    hint = errors.UnauthorizedError(WHERE, status=401).hint or ""
    assert "ALTER USER MAPPING" in hint
    assert "ALTER SERVER" in hint


def test_interrupted_is_swallowed_by_nothing() -> None:
    assert not issubclass(Interrupted, Exception)


def test_a_child_inherits_what_it_does_not_say() -> None:
    class Special(errors.BodyError):
        """Not in the module, hence not in its tree."""

    assert (Special.sqlstate, Special.retryable) == ("HV000", True)
