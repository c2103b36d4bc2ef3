"""Who reads the wall clock: never the limit of one server, a deadline or a wait, as it may be set at any time."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import cio_fdw

PACKAGE = Path(cio_fdw.__file__).parent
WALL_CLOCKS = frozenset(
    ("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime", "time.clock_gettime",
     "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.CLOCK_REALTIME")
)  # fmt: skip
ENDS = tuple(f".{name}" for name in WALL_CLOCKS)
ALLOWED = {
    "native.py": "now() of a plan, from which the range of a window follows; when the cache was cleared",
    "state.py": "whether a file was written lately",
    "scan.py": "which messages may still come",
    "sizes.py": "how old a known size of a table is",
    "journal.py": "the column `at`",
    "seeing.py": "the column `paused_until`",
    "cache/responses.py": "how old an answer is; one of the future is not used",
    "fetch.py": "Retry-After as a date, in an answer without the header Date",
    "throttle/shared.py": "the first ticket of a new file: a number unlike earlier ones, whatever the time",
}
ONCE = ("fetch.py", "throttle/shared.py")
"""These wait, too: so not even one more."""
BESIDE = ("simulator", "server")
"""A stand-in of the API and the command line."""


def readings(source: str) -> int:
    names = (ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return sum(f".{name}".endswith(ENDS) for name in names)


def test_what_counts() -> None:
    assert readings("a = time.time() + time.monotonic(); b: int = time.time_ns()") == 2
    assert readings("import datetime\ndatetime.datetime.now(); clock = time.time") == 2


def test_who_reads_it() -> None:
    found = Counter()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name.split("/")[0] not in BESIDE:
            found[name] += readings(path.read_text())
            assert "from time import" not in path.read_text(), name
    readers = {name for name, count in found.items() if count}
    assert readers <= set(ALLOWED)
    assert [found[name] for name in ONCE] == [1] * len(ONCE)
