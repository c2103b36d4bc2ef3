"""A fake API, host and fetcher around real scans; the worker threads are real."""

from __future__ import annotations

import json
import select
import threading
from typing import Any, Callable, Optional
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.errors import Interrupted, RequestError, Where
from cio_fdw.lanes import Stop
from cio_fdw.options import resolve
from cio_fdw.plan import Plan, plan
from cio_fdw.quals import Qual
from cio_fdw.scan import Tools, scan
from cio_fdw.stats import Stats

NOW_S = 1_767_312_000
Handler = Callable[[str, dict[str, str]], Any]


def in_a_worker() -> bool:
    return threading.current_thread().name == "cio-lane"


class FakeFetcher:
    """Answers from `handler`, which gives a body or raises; those after the first `quick` take `delay_s`."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.targets: list[str] = []
        self.most_in_flight = 0
        self.delay_s = 0.0
        self.quick = 0
        self.in_flight = 0
        self._lock = threading.Lock()

    def fetch(
        self, stop: Stop, where: Where, target: str, decode: Callable[[bytes], Any], *, since_s: float = 0.0
    ) -> Any:
        assert in_a_worker()
        url = urlsplit(target)
        assert where.path == url.path
        with self._lock:
            self.targets.append(target)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            stop.sleep(self.delay_s if len(self.targets) > self.quick else 0.0)
            with self._lock:
                answer = self.handler(url.path, {name: value for name, (value,) in parse_qs(url.query).items()})
            return decode(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        finally:
            with self._lock:
                self.in_flight -= 1


class FakeHost:
    """Waits with select; `interrupt_after` waits it raises Interrupted."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.interrupt_after: Optional[int] = None

    def wait(self, seconds: float, fd: int = -1) -> bool:
        assert not in_a_worker()
        if self.interrupt_after is not None:
            if self.interrupt_after == 0:
                raise Interrupted
            self.interrupt_after -= 1
            seconds = min(seconds, 0.01)
        return bool(select.select([fd] if fd >= 0 else [], [], [], seconds)[0])

    def notice(self, text: str) -> None:
        self.notices.append(text)


class World:
    """A scan's surroundings. `now_s` is the clock of both sides."""

    def __init__(self, handler: Handler, wanted: tuple[str, ...] = ("id",), max_concurrency: int = 3) -> None:
        self.now_s = float(NOW_S)
        self.host = FakeHost()
        self.fetcher = FakeFetcher(handler)
        self.stats = Stats()
        self.tools = Tools(
            self.host, self.fetcher, self.stats, wanted, max_concurrency, clock=self.clock  # type: ignore[arg-type]
        )  # fmt: skip

    def clock(self) -> float:
        # A worker looks at the clock only to wait for `not_before_s`: the time comes at once.
        if in_a_worker():
            self.now_s += 5
        return self.now_s

    def plan(self, table: str, *quals: tuple[str, str, Any], **options: str) -> Plan:
        return plan(
            ENDPOINTS[table], [Qual(*q) for q in quals], resolve(options), now_s=NOW_S, endpoints=ENDPOINTS
        )  # fmt: skip

    def rows(self, made: Plan) -> list[tuple[Any, ...]]:
        return [row for batch in scan(made, self.tools) for row in batch]

    @property
    def targets(self) -> list[str]:
        return self.fetcher.targets


class Messages:
    """GET /v1/messages as OBSERVED.md has it: bounds inclusive, tokens positional; newest first, unless told.

    With `arriving`, that many new messages exist before each answer, created now. `cursors`: "positional", which begin
    again past the end; "after" a row; "bound" to the list that they are of, whatever is asked for; elsewhere "refused",
    or "lost", which begin again there.
    """

    def __init__(
        self, created_s: list[int], arriving: int = 0, order: str = "newest", cursors: str = "positional"
    ) -> None:
        self.order = order
        self.cursors = cursors
        self.rows = [{"id": f"m{i}", "created": second} for i, second in enumerate(created_s)]
        self.arriving = arriving
        self.sent = 0
        """Rows in all answers."""
        self.world: Optional[World] = None

    def __call__(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        assert path == "/v1/messages"
        if self.arriving and self.world:
            self.world.now_s += 0.4
            now_s = int(self.world.now_s)
            self.rows += [{"id": f"m{len(self.rows) + i}", "created": now_s} for i in range(self.arriving)]
        limit, cursor = int(params["limit"]), params.get("start", "")
        bounds = params["start_ts"], params.get("end_ts", "9" * 12)
        kind, *of, place = (cursor or "v20:0").split(":")
        if kind == "bound":
            bounds = (of[0], of[1])
        if kind == "own" and tuple(of) != bounds:
            if self.cursors == "refused":
                raise RequestError(Where("messages", path), status=400, reason="invalid start")
            place = "0"
        found = self._list(*map(int, bounds))
        begin = [row["id"] for row in found].index(place) + 1 if kind == "after" else int(place)
        if begin >= len(found):
            begin = 0
        end = begin + limit
        following = {
            "positional": f"v20:{end}",
            "after": f"after:{found[end - 1]['id']}" if 0 < end < len(found) else "",
            "bound": f"bound:{':'.join(bounds)}:{end}",
        }.get(self.cursors, f"own:{':'.join(bounds)}:{end}")
        self.sent += len(found[begin:end])
        return {"messages": found[begin:end], "next": following if end < len(found) else ""}

    def _list(self, low_s: int, high_s: int) -> list[dict[str, Any]]:
        found = [row for row in reversed(self.rows) if low_s <= row["created"] <= high_s]
        if self.order == "shuffled":
            return sorted(found, key=_noise)
        if self.order == "nearly":
            return sorted(found, key=lambda row: _noise(row) % 100_000 - row["created"])
        return sorted(found, key=lambda row: row["created"] if self.order == "oldest" else -row["created"])


def _noise(row: dict[str, Any]) -> int:
    return crc32(str(row["id"]).encode())


def world_of(messages: Messages, **changes: Any) -> World:
    world = World(messages, **changes)
    messages.world = world
    return world


def lane_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cio-lane"]
