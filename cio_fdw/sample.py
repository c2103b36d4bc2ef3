"""Some rows of a table and a guess of how many there are, from a few requests: for ANALYZE.

    sample = Sample(Ask(messages, …), tools)
    for batch in sample.start(30000): …
    sample.total_rows()                         -> 368000.0

A time-ranged table is probed at PROBES moments spread over its range: each probe reads a short time whole, and
tells how dense the rows are there. Of children those of PARENTS parents are read. Any other list is read to its
end, or for PAGES pages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Callable, Optional

from cio_fdw.decoder import Row
from cio_fdw.plan import Ask, Plan, page_size, plan
from cio_fdw.quals import Qual
from cio_fdw.ranges import US
from cio_fdw.scan import Tools, scan
from cio_fdw.windows import DAY_S, FREEZE_LAG_S

PROBES = 12
PARENTS = 20
PAGES = 10
FIRST_PROBE_S = 3600
NARROWER = 8
"""A probe that fills its page is tried again for a time shorter by this, one that finds little for a longer one."""
TRIES = 4


class Sample:
    """One ANALYZE. `random_` gives numbers in [0, 1). `told` hears of tables read whole, with their rows."""

    def __init__(
        self,
        ask: Ask,
        tools: Tools,
        random_: Optional[random.Random] = None,
        told: Callable[[str, float], None] = lambda _name, _rows: None,
    ) -> None:
        self._ask = ask
        self._tools = tools
        self._told = told
        self._random = random_ or random.Random()  # noqa: S311 - a sample, no secret
        self._total = 0.0

    def start(self, target: int) -> Iterator[list[Row]]:
        """Batches of about `target` rows at most, so that each part of the table is there by its share."""
        if self._ask.endpoint.window:
            yield from self._probes(target)
        elif self._ask.endpoint.parent:
            yield from self._children()
        else:
            yield from self._list()

    def close(self) -> None:
        """Nothing is kept after a run."""

    def total_rows(self) -> float:
        """Rows of the whole table, as far as the rows read so far tell."""
        return self._total

    def _rows(self, planned: Plan, most: int) -> Iterator[list[Row]]:
        """Batches of the first `most` rows or a few more."""
        count = 0
        with closing(scan(planned, self._tools)) as batches:
            for batch in batches:
                yield batch
                count += len(batch)
                if count >= most:
                    return

    def _list(self) -> Iterator[list[Row]]:
        planned = self._plan([])
        most, read = PAGES * page_size(self._ask), 0
        ends: list[Row] = []
        for batch in self._rows(planned, most):
            read += len(batch)
            ends = [*ends[:1], batch[0], batch[-1]]
            yield batch
        self._total = float(read if read < most else self._more_than(read, ends))
        if read < most:
            self._told(self._ask.endpoint.name, self._total)

    def _more_than(self, read: int, ends: Sequence[Row]) -> float:
        """Rows of a list that goes on: of a feed as many as would fill the time it is kept for."""
        endpoint = self._ask.endpoint
        guess = float(max(endpoint.typical_rows, 2 * read))
        if not endpoint.feed_column or endpoint.feed_column not in self._tools.wanted:
            return guess
        column = list(self._tools.wanted).index(endpoint.feed_column)
        newest_us, oldest_us = ends[0][column], ends[-1][column]
        if newest_us is None or oldest_us is None or newest_us <= oldest_us:
            return guess
        kept_us = float(endpoint.retention.partition(" days")[0]) * DAY_S * US
        return float(max(read * kept_us / (newest_us - oldest_us), read))

    def _children(self) -> Iterator[list[Row]]:
        parent = self._ask.endpoint.parent
        if parent is None:
            raise ValueError(f"{self._ask.endpoint.name} has no parent")
        of = replace(self._ask, endpoint=self._ask.endpoints[parent.endpoint])
        tools = replace(self._tools, wanted=(parent.key,))
        listed = plan(of.endpoint, (), of.settings, now_s=of.now_s, endpoints=of.endpoints)
        with closing(scan(listed, tools)) as batches:
            ids = list(dict.fromkeys(id_ for batch in batches for (id_,) in batch if id_ is not None))
        self._told(parent.endpoint, float(len(ids)))
        chosen = self._random.sample(ids, min(PARENTS, len(ids)))
        most, read = PAGES * page_size(self._ask), 0
        for id_ in chosen:
            for batch in self._rows(self._plan([Qual(parent.column, "=", id_)]), most):
                read += len(batch)
                yield batch
        self._total = read * len(ids) / max(len(chosen), 1)

    def _probes(self, target: int) -> Iterator[list[Row]]:
        window = self._ask.endpoint.window
        if window is None:
            raise ValueError(f"{self._ask.endpoint.name} has no window")
        end_s = self._ask.now_s - FREEZE_LAG_S
        first_s = max(end_s - window.kept_days * DAY_S, self._ask.settings.anchor_s or 0)
        part_s = max((end_s - first_s) / PROBES, 1)
        length_s = min(float(FIRST_PROBE_S), part_s)
        found: list[tuple[list[Row], float]] = []
        for i in range(PROBES):
            rows, length_s = self._probe(first_s + i * part_s, part_s, length_s)
            found.append((rows, len(rows) / length_s * part_s))
        self._total = sum(expected for _, expected in found)
        yield from (rows for rows in self._shares(found, target) if rows)

    def _probe(self, start_s: float, part_s: float, length_s: float) -> tuple[list[Row], float]:
        """The rows of a time within the part, and that time in seconds."""
        most = page_size(self._ask)
        rows = self._somewhere(start_s, part_s, length_s, most)
        for _ in range(TRIES):
            if len(rows) * NARROWER < most and length_s < part_s:
                length_s = min(length_s * NARROWER, part_s)
            elif len(rows) >= most and length_s > 1:
                length_s = max(length_s / NARROWER, 1.0)
            else:
                break
            rows = self._somewhere(start_s, part_s, length_s, most)
        return rows, length_s

    def _somewhere(self, start_s: float, part_s: float, length_s: float, most: int) -> list[Row]:
        """The first `most` rows of `length_s` seconds at a random place of the part."""
        low_s = int(start_s + self._random.random() * (part_s - length_s))
        return self._between(low_s, low_s + max(int(length_s), 1) - 1, most)

    def _between(self, low_s: int, high_s: int, most: int) -> list[Row]:
        window = self._ask.endpoint.window
        column = window.column if window else ""
        planned = self._plan([Qual(column, ">=", low_s * US), Qual(column, "<=", high_s * US)])
        return [row for batch in self._rows(planned, most) for row in batch]

    def _shares(self, found: Sequence[tuple[list[Row], float]], target: int) -> Iterator[list[Row]]:
        """Of each probe's rows as many as its part of the table deserves."""
        scarcest = min((len(rows) / expected for rows, expected in found if expected), default=0.0)
        share = min(scarcest, target / self._total if self._total else 0.0)
        for rows, expected in found:
            yield self._random.sample(rows, min(len(rows), max(int(expected * share), 1)))

    def _plan(self, quals: Sequence[Qual]) -> Plan:
        """Without notices: the user has not asked for the time of a probe."""
        ask = self._ask
        planned = plan(ask.endpoint, quals, ask.settings, now_s=ask.now_s, endpoints=ask.endpoints)
        return replace(planned, notices=())
