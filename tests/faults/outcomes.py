"""The fault matrix as a table: what is done to the answers, and how a statement must end.

An outcome is the right rows, no rows (of what is not there), or an error with SQLSTATE, message, detail and hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from tests.faults.shapes import RETRIES, TIMEOUT_S, Shape

TIMES = r", attempt {attempt} of 2, after \d\.\d s"


@dataclass(frozen=True)
class Failure:
    """`message`: a pattern of the whole message, with {where} for the request; `detail`, `hint`: their patterns."""

    sqlstate: str
    message: str
    detail: Optional[str] = None
    hint: Optional[str] = None
    retried: bool = False
    timed: bool = True
    """Whether the message ends in the number of the attempt and the time."""

    def pattern(self, path: str, table: str) -> str:
        attempt = RETRIES + 1 if self.retried else 1
        end = TIMES.format(attempt=attempt) if self.timed else ""
        where = rf"GET {path} \(table {table}\)"
        return (
            "cio_fdw: " + self.message.replace("{where}", where).replace("{table}", table).replace("{path}", path) + end
        )


ROWS = "rows"
NOTHING = "nothing"


@dataclass(frozen=True)
class Fault:
    """`lasting`: the outcome while every request is hit; `passing`: when one is (None: rows if retried).

    `of`: other lasting outcomes of some shapes; `passing_of` likewise. `match`: more conditions of the rule.
    `only_paged`: the fault is one of paging, which other shapes do not meet.
    """

    name: str
    action: Mapping[str, Any]
    lasting: Any
    passing: Any = None
    of: Mapping[str, Any] = field(default_factory=dict)
    match: Mapping[str, Any] = field(default_factory=dict)
    only_paged: bool = False
    least_s: float = 0.0
    """Shortest time that each hit takes."""

    def outcome(self, shape: Shape, lasts: bool) -> Any:
        # The first answer of a child is its first page, where most faults of paging do not show.
        meets_paging = shape.is_paged or (shape.name == "children" and (lasts or self.match))
        if self.only_paged and not meets_paging:
            return ROWS
        lasting = self.of.get(shape.name, self.lasting)
        if lasts:
            return lasting
        if self.passing is not None:
            return self.passing
        return ROWS if isinstance(lasting, Failure) and lasting.retried else lasting


KEY_HINT = "Check the key .* and the region .* It must be an App API key, not a Track API key."
API_HINT = "Customer.io answered with an error of its own; try again later."
NETWORK_HINT = "Check that the PostgreSQL server can reach the host of base_url."
BETWEEN_HINT = "Something between the server and the API may have answered instead; check base_url."
TIMEOUT_HINT = r"Raise the server's timeout option \(seconds\), or try again later."
LOOP_HINT = "The API's paging loops; ask for less at once, or try again later."


def status(code: int, failure: Failure, of: Optional[Mapping[str, Any]] = None) -> Fault:
    return Fault(f"{code}", {"kind": "status", "status": code}, failure, of=of or {})


def refused(code: int, with_detail: bool = False) -> Failure:
    detail = f"simulated {code}" if with_detail else None
    return Failure("HV000", f"{{where}} was not answered as expected: HTTP {code}", detail)


def broken(detail: str) -> Failure:
    return Failure("08006", "{where} did not reach the API", detail, NETWORK_HINT, retried=True)


def of_server(code: int) -> Failure:
    return Failure("08006", f"{{where}} failed at the API: HTTP {code}", None, API_HINT, retried=True)


LATE = Failure("08001", "{where} timed out", f"no complete answer within {TIMEOUT_S:g} s", TIMEOUT_HINT, retried=True)
NOT_JSON = Failure(
    "HV000",
    "{where}: the answer for {table} is not the JSON it should be",
    r".*\(byte \d+\)",
    BETWEEN_HINT,
    retried=True,
)
LOOPS = Failure(
    "HV000", r"table {table}: page \d of GET {path} leads back to an earlier page", None, LOOP_HINT, timed=False
)
ENDLESS = Failure(
    "HV000", "table {table}: GET {path} gave 100 empty pages in a row, each with a next one", None,
    "The API's paging does not end; ask for less at once, or try again later.", timed=False,
)  # fmt: skip
GONE = Failure(
    "HV00R", "{where} was not found: HTTP 404", "simulated 404",
    "Check the server's base_url: it must be the root of the App API, without /v1.",
)  # fmt: skip


def redirected(code: int) -> Failure:
    message = f"{{where}} was answered with a redirect, which is not followed: HTTP {code}"
    return Failure("HV000", message, None, "Set the server's base_url to the final address.")


LIMITED = Failure(
    "53400", "{where} was rate limited: HTTP 429", None,
    r"Something else uses the same workspace's limit. Lower requests_per_second or raise max_retries: .*", retried=True,
)  # fmt: skip
NO_KEY = Failure(
    "HV000", 'the answer for {table} has no key "(newsletters|newsletter|identifiers|actions|messages)"', None,
    "The API may have changed, or base_url is not the App API.", timed=False,
)  # fmt: skip

CUT_TEXT = '{"errors": [{"detail": "no such obj'


def cut_explanation(code: int) -> Fault:
    """An error whose JSON ends too early: what the API meant is not known, so that it is asked again."""
    message = f"{{where}}: HTTP {code} with JSON that ends too early"
    failure = Failure("HV000", message, f"{len(CUT_TEXT)} bytes", None, retried=True)
    return Fault(f"{code} with half the JSON", {"kind": "status", "status": code, "body": CUT_TEXT}, failure)


RST = "(Connection reset by peer|the server closed the connection without an answer)"
CUT = "(Connection reset by peer|the body was cut off)"
FEW_BYTES_PER_S = 60
MANY_BYTES_PER_S = 2_000_000

MATRIX = (
    status(400, refused(400, with_detail=True)),
    status(401, Failure("28000", "{where} was refused: bad App API key or wrong region: HTTP 401", None, KEY_HINT)),
    status(402, refused(402)),
    status(403, Failure(
        "42501", "{where} is not allowed with this App API key: HTTP 403", None,
        "Give the key the scope for this endpoint in Customer.io: Account Settings, API Credentials.",
    )),
    status(404, GONE, of=dict.fromkeys(("child", "one"), NOTHING) | {"children": NOTHING}),
    status(405, refused(405)),
    status(408, of_server(408)),
    status(409, refused(409)),
    status(410, refused(410)),
    status(413, refused(413)),
    status(422, refused(422, with_detail=True)),
    status(429, LIMITED),
    status(451, refused(451)),
    *(status(code, of_server(code)) for code in (500, 501, 502, 503, 504)),
    Fault("429 with Retry-After", {"kind": "status", "status": 429, "headers": {"Retry-After": "0.2"}}, LIMITED),
    Fault("html with 200", {"kind": "html"}, NOT_JSON),
    Fault("html with 502", {"kind": "html", "status": 502}, of_server(502)),
    Fault("html with 404", {"kind": "html", "status": 404}, Failure(
        "HV00R", "{where} was not found: HTTP 404", None, GONE.hint,
    )),
    *map(cut_explanation, (400, 404, 422)),
    Fault("empty body with 200", {"kind": "body", "text": ""}, NOT_JSON),
    Fault("half the JSON", {"kind": "bad_json"}, NOT_JSON),
    Fault("rows key missing", {"kind": "drop_rows_key"}, NO_KEY),
    Fault("reset before headers", {"kind": "reset"}, broken(RST)),
    Fault("reset inside the body", {"kind": "cut"}, broken(CUT)),
    Fault("closed inside the body", {"kind": "cut", "end": "fin"}, broken("the body was cut off")),
    Fault("hang", {"kind": "hang"}, LATE, least_s=TIMEOUT_S),
    Fault("headers too late", {"kind": "slow_headers", "seconds": 30}, LATE, least_s=TIMEOUT_S),
    Fault("headers late", {"kind": "slow_headers", "seconds": 0.1}, ROWS, least_s=0.1),
    Fault("bytes too slow", {"kind": "drip", "bytes_per_s": FEW_BYTES_PER_S}, LATE, least_s=TIMEOUT_S),
    Fault("bytes slow", {"kind": "drip", "bytes_per_s": MANY_BYTES_PER_S}, ROWS),
    *(Fault(f"redirect {code}", {"kind": "redirect", "location": "{elsewhere}", "status": code}, redirected(code))
      for code in (301, 302, 303, 307, 308)),
    Fault("wrong content type", {"kind": "headers", "headers": {"Content-Type": "text/html"}}, ROWS),
    Fault("unknown encoding", {"kind": "headers", "headers": {"Content-Encoding": "br"}}, Failure(
        "HV000", "{where} was answered in an encoding that was not asked for", retried=True,
    )),
    Fault("gzip", {"kind": "gzip"}, ROWS),
    Fault("gzip cut", {"kind": "gzip", "damage": "cut"}, broken("the body was cut off")),
    Fault("gzip garbage", {"kind": "gzip", "damage": "garbage"}, broken("the body is not valid gzip")),
    Fault("clock ahead", {"kind": "skew", "seconds": 7200}, ROWS),
    Fault("clock behind", {"kind": "skew", "seconds": -7200}, ROWS),
    Fault("looping cursor", {"kind": "loop"}, LOOPS, only_paged=True),
    Fault("restart at page one", {"kind": "restart"}, LOOPS, only_paged=True),
    Fault("empty page with a next", {"kind": "hollow"}, ENDLESS, passing=ROWS, only_paged=True),
    Fault(
        "cursor refused", {"kind": "status", "status": 400}, refused(400, with_detail=True),
        match={"param": {"start": ""}}, only_paged=True,
    ),
)  # fmt: skip
