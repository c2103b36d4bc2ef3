"""Every error a user of cio_fdw can meet, each with its SQLSTATE.

    CioError                         XX000
    ├── OptionNameError              HV00D   unknown or misplaced option
    ├── OptionValueError             HV024   an option's value is malformed or out of range
    ├── MissingKeyError              28000   no app_api_key for this user
    ├── KeyFileError                 28000   app_api_key_file cannot be used
    ├── StateError                   58030   the state directory cannot be used
    ├── SharedLimitError             08006   throttle_url: Redis is out of reach
    ├── NoThreadError                53000   the system gives the server no further thread
    ├── UnknownTableError            HV00R   no such endpoint
    ├── UnknownSchemaError           HV00Q   IMPORT FOREIGN SCHEMA of another schema
    ├── UnknownColumnError           HV005   a foreign table has a column the endpoint has not
    ├── ColumnTypeError              HV004   a foreign table declares a column with another type
    ├── RecordError                  HV000   a value in the API's answer does not fit its column
    ├── PagingError                  HV000   the API's paging loops or lacks its rows key
    ├── BodyError                    HV000   a body that is not the JSON it should be; retried
    └── RequestError                 HV000   one request failed; fields: where, status, attempt …
        ├── UnauthorizedError        28000   401
        ├── ForbiddenError           42501   403
        ├── NotFoundError            HV00R   404 of an object that must exist
        ├── RedirectError            HV000   3xx; redirects are never followed
        ├── RateLimitedError         53400   429; retried
        ├── ServerError              08006   5xx and 408; retried
        ├── NetworkError             08006   refused, reset, cut off, DNS, TLS; retried
        ├── CertificateError         08006   the host's TLS certificate is not trusted
        └── RequestTimeoutError      08001   no answer within the `timeout` option; retried

    Interrupted (a BaseException)            PostgreSQL asked the statement to end; the door reports
                                             PostgreSQL's own error (57014, 57P01, …)

A message says what failed, where (table and path, never query values), and after how long; the hint
says what to do next. No message holds the API key or a person's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional


class Interrupted(BaseException):
    """PostgreSQL wants this statement to end. Not an Exception, so that nothing swallows it."""


class CioError(Exception):
    """An error with a SQLSTATE, a one-line message, and optionally a detail and a hint."""

    sqlstate: ClassVar[str] = "XX000"
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, sqlstate: Optional[str] = None, retryable: Optional[bool] = None) -> None:
        if sqlstate is not None:
            cls.sqlstate = sqlstate
        if retryable is not None:
            cls.retryable = retryable

    def __init__(self, message: str, *, hint: Optional[str] = None, detail: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class OptionNameError(CioError, sqlstate="HV00D"):
    """An option that does not exist, or not here. The hint lists the valid names."""


class OptionValueError(CioError, sqlstate="HV024"):
    """An option whose value is malformed or out of range. The hint says what is accepted."""


class SettingError(CioError, sqlstate="22023"):
    """A setting of the session has a value that means nothing (the second door; the first has PostgreSQL check it)."""


class MissingKeyError(CioError, sqlstate="28000"):
    """The user mapping holds no App API key."""


class KeyFileError(CioError, sqlstate="28000"):
    """The file named by app_api_key_file cannot be used as a key file."""


class StateError(CioError, sqlstate="58030"):
    """The state directory, or a file in it, cannot be used. Names the path."""


class SharedLimitError(CioError, sqlstate="08006"):
    """The Redis of throttle_url cannot be asked."""


class NoThreadError(CioError, sqlstate="53000"):
    """The system gives the server no further thread."""


class UnknownTableError(CioError, sqlstate="HV00R"):
    """The catalog has no such endpoint."""


class UnknownSchemaError(CioError, sqlstate="HV00Q"):
    """IMPORT FOREIGN SCHEMA named a remote schema that does not exist."""


class UnknownColumnError(CioError, sqlstate="HV005"):
    """A foreign table has a column that its endpoint does not have."""


class ColumnTypeError(CioError, sqlstate="HV004"):
    """A foreign table declares a column with a type that is not the endpoint's."""


class RecordError(CioError, sqlstate="HV000"):
    """A value of one record does not fit its column. Names table, column and record."""


class PagingError(CioError, sqlstate="HV000"):
    """Paging cannot go on: a cursor came back twice, or a page lacks its rows key."""


class BodyError(CioError, sqlstate="HV000", retryable=True):
    """A body that does not decode. Names the byte offset."""


@dataclass(frozen=True)
class Where:
    """Where a request went: safe to print. `path` has no query string."""

    table: str
    path: str

    def __str__(self) -> str:
        return f"GET {self.path} (table {self.table})"


class RequestError(CioError, sqlstate="HV000"):
    """One request failed. `attempt` of `attempts`, `after_s` seconds since the first attempt began."""

    what: ClassVar[str] = "was not answered as expected"
    advice: ClassVar[Optional[str]] = None

    def __init__(
        self,
        where: Where,
        *,
        status: Optional[int] = None,
        reason: Optional[str] = None,
        attempt: int = 1,
        attempts: int = 1,
        after_s: float = 0.0,
        retry_after_s: Optional[float] = None,
    ) -> None:
        self.where = where
        self.status = status
        self.reason = reason
        self.attempt = attempt
        self.attempts = attempts
        self.after_s = after_s
        self.retry_after_s = retry_after_s
        answer = f": HTTP {status}" if status is not None else ""
        super().__init__(
            f"{where} {self.what}{answer}, attempt {attempt} of {attempts}, after {after_s:.1f} s",
            hint=self.advice,
            detail=reason,
        )

    def at(self, *, attempt: int, attempts: int, after_s: float) -> RequestError:
        """The same error, counted as attempt `attempt` of `attempts`."""
        return type(self)(
            self.where,
            status=self.status,
            reason=self.reason,
            attempt=attempt,
            attempts=attempts,
            after_s=after_s,
            retry_after_s=self.retry_after_s,
        )


class UnauthorizedError(RequestError, sqlstate="28000"):
    """401: OBSERVED.md: a wrong key and a key of the other region look the same."""

    what = "was refused: bad App API key or wrong region"
    advice = (
        "Check the key (ALTER USER MAPPING … OPTIONS (SET app_api_key '…')) and the region "
        "(ALTER SERVER … OPTIONS (SET region 'eu')). It must be an App API key, not a Track API key."
    )


class ForbiddenError(RequestError, sqlstate="42501"):
    """403: the key lacks the scope."""

    what = "is not allowed with this App API key"
    advice = "Give the key the scope for this endpoint in Customer.io: Account Settings, API Credentials."


class NotFoundError(RequestError, sqlstate="HV00R"):
    """404 of something that must exist.

    When the API names the object (`reason`), scans treat it as one without rows: a parent that vanished, an id
    that does not exist. Otherwise the path itself is unknown there.
    """

    what = "was not found"
    advice = "Check the server's base_url: it must be the root of the App API, without /v1."


class RedirectError(RequestError, sqlstate="HV000"):
    """3xx: a redirect could carry the key to another host."""

    what = "was answered with a redirect, which is not followed"
    advice = "Set the server's base_url to the final address."


class RateLimitedError(RequestError, sqlstate="53400", retryable=True):
    """429, still after the last retry."""

    what = "was rate limited"
    advice = (
        "Something else uses the same workspace's limit. Lower requests_per_second or raise max_retries: "
        "ALTER SERVER … OPTIONS (SET max_retries '10')."
    )


class ServerError(RequestError, sqlstate="08006", retryable=True):
    """408 or 5xx, still after the last retry."""

    what = "failed at the API"
    advice = "Customer.io answered with an error of its own; try again later."


class NetworkError(RequestError, sqlstate="08006", retryable=True):
    """No HTTP answer: refused, reset, cut off inside the body, DNS or TLS failure."""

    what = "did not reach the API"
    advice = "Check that the PostgreSQL server can reach the host of base_url."


class CertificateError(RequestError, sqlstate="08006"):
    """The host cannot prove that it is the API. Trying again does not change that, and the key was not sent."""

    what = "was not sent: the host's TLS certificate is not trusted"
    advice = (
        "Check base_url. Where a proxy inspects TLS, its certificate must be among those "
        "that the PostgreSQL server's machine trusts."
    )


class RequestTimeoutError(RequestError, sqlstate="08001", retryable=True):
    """No complete answer within the `timeout` option."""

    what = "timed out"
    advice = "Raise the server's timeout option (seconds), or try again later."
