"""Rows of one endpoint: JSON bytes in slots, and sorted indexes from which pages are cut.

    table.select((("campaign_id", 7), ("drafts", False)), since_s, until_s).rows(offset=50, limit=50)

A slot number never changes; indexes hold (time, slot) sorted, so a page is two bisections, a slice and a
join. Rows may be added, replaced and dropped at any time; every index is kept up to date.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, Optional

import orjson

from cio_fdw.simulator.behaviour import Row

ORDERS = ("newest", "oldest", "shuffled")
MAX_INDEXES = 2000
MAX_SHUFFLES = 16

Key = tuple[object, ...]
Wanted = tuple[tuple[str, object], ...]
ValueOf = Callable[[Row], object]


class Index:
    """Slots sorted by (time, slot), with their times beside them for bisection."""

    __slots__ = ("slots", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.slots = array("q")

    def __len__(self) -> int:
        return len(self.slots)

    def append(self, time_s: int, slot: int) -> None:
        """Takes a pair that is not before the last one."""
        self.times.append(time_s)
        self.slots.append(slot)

    def _place(self, time_s: int, slot: int) -> int:
        low, high = bisect_left(self.times, time_s), bisect_right(self.times, time_s)
        return bisect_left(self.slots, slot, low, high)

    def insert(self, time_s: int, slot: int) -> None:
        place = self._place(time_s, slot)
        self.times.insert(place, time_s)
        self.slots.insert(place, slot)

    def remove(self, time_s: int, slot: int) -> None:
        place = self._place(time_s, slot)
        del self.times[place]
        del self.slots[place]

    def span(self, since_s: float, until_s: float) -> tuple[int, int]:
        """First and past-the-last place of the times in [since_s, until_s]."""
        low = bisect_left(self.times, since_s)
        return low, max(low, bisect_right(self.times, until_s))


class Selection:
    """The rows that one request selects, in their order; `total` of them."""

    def __init__(self, bodies: Sequence[bytes], slots: Sequence[int], low: int, high: int, backwards: bool) -> None:
        self._bodies = bodies
        self._slots = slots
        self._low = low
        self._high = high
        self._backwards = backwards
        self.total = high - low

    def rows(self, offset: int, limit: int) -> list[bytes]:
        """At most `limit` rows after the first `offset`."""
        if self._backwards:
            stop = max(self._low, self._high - offset)
            chosen = self._slots[max(self._low, stop - limit) : stop][::-1]
        else:
            start = self._low + offset
            chosen = self._slots[start : min(self._high, start + limit)]
        bodies = self._bodies
        return [bodies[slot] for slot in chosen]


class Table:
    """All rows of one endpoint. `fields` are what requests filter by; `parent_field` is filled by the caller."""

    def __init__(
        self,
        key_of: Callable[[Row, object], Key],
        fields: Mapping[str, ValueOf],
        time_of: Optional[Callable[[Row], int]] = None,
        order: str = "oldest",
        parent_field: str = "",
    ) -> None:
        self._key_of = key_of
        self._fields = fields
        self._time_of = time_of
        self._order = order
        self._parent_field = parent_field
        self._bodies: list[bytes] = []
        self._times = array("q")
        self._values: dict[str, list[object]] = {name: [] for name in (*fields, *filter(None, (parent_field,)))}
        self._slot_of: dict[Key, int] = {}
        self._all = Index()
        self._groups: dict[str, dict[object, Index]] = {}
        self._indexes: dict[Wanted, Index] = {}
        self._shuffles: dict[tuple[Wanted, int, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def load(self, rows: Iterable[tuple[Row, object]]) -> None:
        """Takes many (row, parent) at once, before the first request."""
        for row, parent in rows:
            self._fill(self._new_slot(), row, parent)
        for slot in sorted(range(len(self._bodies)), key=self._times.__getitem__):
            self._all.append(self._times[slot], slot)

    def warm(self, defaults: Wanted) -> None:
        """Makes the indexes of each single filter together with the defaults.

        Made during a request, one of many rows would hold up the clock that the rate limit reads at the next
        arrival, and so refuse a client that keeps the limit.
        """
        self._index(tuple(sorted(defaults, key=_name)))
        names = {name for name, _ in defaults}
        for field in self._values:
            for value in list(self._group(field))[: MAX_INDEXES // 4]:
                if field not in names:
                    self._index(tuple(sorted((*defaults, (field, value)), key=_name)))

    def put(self, row: Row, parent: object = None) -> None:
        """Adds a row, or replaces the one with its key."""
        slot = self._slot_of.get(self._key_of(row, parent))
        if slot is None:
            slot = self._new_slot()
        else:
            self._leave(slot)
        self._fill(slot, row, parent)
        self._enter(slot)

    def drop(self, key: Key) -> bool:
        """Removes one row; False when there is none."""
        slot = self._slot_of.pop(key, None)
        if slot is None:
            return False
        self._leave(slot)
        self._bodies[slot] = b""
        return True

    def all_keys(self) -> list[Key]:
        return list(self._slot_of)

    def get(self, key: Key) -> Optional[bytes]:
        """The row's JSON, or None."""
        slot = self._slot_of.get(key)
        return None if slot is None else self._bodies[slot]

    def parent_of(self, key: Key) -> object:
        return self._values[self._parent_field][self._slot_of[key]] if self._parent_field else None

    def select(self, wanted: Wanted, since_s: float = -math.inf, until_s: float = math.inf) -> Selection:
        """The rows whose fields equal (or, for sets, contain) what is wanted, in the table's order."""
        index = self._index(tuple(sorted(wanted, key=_name)))
        low, high = index.span(since_s, until_s)
        if self._order == "shuffled":
            return Selection(self._bodies, self._shuffled(wanted, index, low, high), 0, high - low, False)
        return Selection(self._bodies, index.slots, low, high, self._order == "newest")

    def pairs(self, wanted: Wanted) -> list[tuple[object, bytes]]:
        """(parent, JSON) of every row wanted, oldest first."""
        parents = self._values.get(self._parent_field)
        return [(parents[slot] if parents else None, self._bodies[slot]) for slot in self._index(wanted).slots]

    def _new_slot(self) -> int:
        self._bodies.append(b"")
        self._times.append(0)
        for values in self._values.values():
            values.append(None)
        return len(self._bodies) - 1

    def _fill(self, slot: int, row: Row, parent: object) -> None:
        # Copied, because orjson's own result keeps kilobytes of its buffer: 0.8 GB for 100,000 messages.
        self._bodies[slot] = bytes(memoryview(orjson.dumps(row)))
        if self._time_of is not None:
            self._times[slot] = self._time_of(row)
        for name, value_of in self._fields.items():
            self._values[name][slot] = value_of(row)
        if self._parent_field:
            self._values[self._parent_field][slot] = parent
        self._slot_of[self._key_of(row, parent)] = slot

    def _index(self, wanted: Wanted) -> Index:
        if not wanted:
            return self._all
        found = self._indexes.get(wanted)
        if found is None:
            if len(self._indexes) >= MAX_INDEXES:
                self._indexes.clear()
            found = self._indexes[wanted] = self._narrowed(wanted)
        return found

    def _narrowed(self, wanted: Wanted) -> Index:
        slots = list(min((self._group(field).get(value, Index()) for field, value in wanted), key=len).slots)
        for field, value in wanted:
            values = self._values[field]
            slots = [slot for slot in slots if values[slot] == value or value in _members(values[slot])]
        found = Index()
        found.times.extend(map(self._times.__getitem__, slots))
        found.slots.extend(slots)
        return found

    def _group(self, field: str) -> dict[object, Index]:
        """An index for each value of one field, made when the field is first asked for."""
        group = self._groups.get(field)
        if group is None:
            group = self._groups[field] = {}
            values = self._values[field]
            for time_s, slot in zip(self._all.times, self._all.slots):
                for value in _members(values[slot]):
                    index = group.get(value)
                    if index is None:
                        index = group[value] = Index()
                    index.append(time_s, slot)
        return group

    def _matches(self, slot: int, wanted: Wanted) -> bool:
        return all(value in _members(self._values[field][slot]) for field, value in wanted)

    def _indexes_of(self, slot: int) -> list[Index]:
        found = [index for wanted, index in self._indexes.items() if self._matches(slot, wanted)]
        for field, group in self._groups.items():
            found.extend(group.setdefault(value, Index()) for value in _members(self._values[field][slot]))
        return [self._all, *found]

    def _enter(self, slot: int) -> None:
        self._shuffles.clear()
        for index in self._indexes_of(slot):
            index.insert(self._times[slot], slot)

    def _leave(self, slot: int) -> None:
        self._shuffles.clear()
        for index in self._indexes_of(slot):
            index.remove(self._times[slot], slot)

    def _shuffled(self, wanted: Wanted, index: Index, low: int, high: int) -> list[int]:
        """The slots in an order that has nothing to do with time and is the same from call to call."""
        found = self._shuffles.get((wanted, low, high))
        if found is None:
            if len(self._shuffles) >= MAX_SHUFFLES:
                self._shuffles.clear()
            found = sorted(index.slots[low:high], key=lambda slot: slot * 2654435761 & 0xFFFFFFFF)
            self._shuffles[(wanted, low, high)] = found
        return found


def _name(pair: tuple[str, object]) -> str:
    return pair[0]


def _members(value: object) -> Iterable[object]:
    return value if isinstance(value, frozenset) else (value,)
