"""One GET, and a chain of them.

Request("/v1/messages", (("type", "email"), ("limit", "1000"))).target  -> "/v1/messages?type=email&limit=1000"
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional
from urllib.parse import quote

from cio_fdw.quals import UNKNOWN

MAX_SURE_ID = 2**53
"""The API's ids are JSON numbers. Larger ones are not exact everywhere, so the API may refuse them as malformed."""


@dataclass(frozen=True)
class Request:
    """One GET. `target` is what follows the API's root, encoded."""

    path: str
    params: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        query = "&".join(f"{name}={_encode(value)}" for name, value in self.params)
        return f"{self.path}?{query}" if query else self.path

    def with_param(self, name: str, value: str) -> Request:
        """The same request with `name` set to `value`, in the place of an earlier one."""
        if all(param[0] != name for param in self.params):
            return replace(self, params=(*self.params, (name, value)))
        return replace(self, params=tuple((name, value) if param[0] == name else param for param in self.params))


def _encode(value: str) -> str:
    return value if value == str(UNKNOWN) else quote(value, safe="")


def path_step(value: Any) -> str:
    """An id inside a path. A bare "?" stands for UNKNOWN only: a real one would begin the query string."""
    return str(UNKNOWN) if value is UNKNOWN else quote(str(value), safe="")


def fills_a_path(value: Any) -> bool:
    """False for what no object, hence no row, has: the API's ids are positive, and fill one step of a path."""
    return value > 0 if isinstance(value, int) else value not in ("", ".", "..")


def is_large(id_: Any) -> bool:
    return isinstance(id_, int) and id_ > MAX_SURE_ID


@dataclass(frozen=True)
class Chain:
    """Requests that follow each other's cursor, from `first` on."""

    first: Request
    constants: tuple[tuple[str, Any], ...] = ()
    """Column values known from the request: a child's parent id."""
    may_be_missing: bool = False
    """A 404 means no rows: the parent vanished after its list was read (OBSERVED.md)."""
    row_key: str = ""
    """Where the body holds one row instead of a list (`OneRow`)."""
    one_page: bool = False
    """Ends after its first page that has rows: the statement named the page, and rows must tell the next one."""
    open: bool = False
    """An open range, see windows: its rows may come again."""
    may_shift: bool = False
    """Rows may begin to match while they are read, even in a frozen range: theirs is a filter on what happens later."""
    range_s: Optional[tuple[int, int]] = None
    """The frozen range, or frozen part of an open one, when it may be cut into some that are read side by side
    (`splitting`)."""
    leads: bool = False
    """Its rows are not results: each names further chains (`Plan.children`)."""
    may_be_malformed: bool = False
    """Whether the API may refuse the id in the path (400), and that means no rows, as no object has such an id."""
    fallback: Optional[Request] = None
    """Asked for instead when the API refuses `first` (400, 404): the same without the filter it may not support."""

    @property
    def brings_rows(self) -> bool:
        return not self.leads
