"""From the list of a range to the list of a narrower one, without reading again what came.

    joint = Joint(first, (1500, 1999), "djIwOjEwMDA", came=["m7", "m8"])
    joint.overlap(["m7", "m8", "m9"], is_last=False)        -> 2: the answer goes on with m9
    joint.overlap(["m1", "m2"], is_last=False)              -> None: it is another place

Cursors are positions (OBSERVED.md, Everywhere), and order is stable. So the list of a narrower range is the one of the
wider range without some rows, and where all rows before a position lie in the narrower range, it is the same position
in both. Nothing is assumed of what the order is.

Each scan looks whether cursors are so before it relies upon that (`Budget.joins`). A walk reads the wider list until a
page has rows beyond the narrower range. That page is asked for again, of the narrower list, and must have its rows that
are wanted, in their order, and none beyond. From then on walks change to the narrower list at once. Where it is not so,
or the API refuses the cursor, the wider list is read to its end, and rows that are not wanted are passed over. So they
are where a cursor, once it is followed, turns out to lead on in the wider list.

A list to which rows may come meanwhile is always left by asking for the latest page again: a row that came before the
position, but not to the narrower list, would make them different.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple, Optional

from cio_fdw.endpoint import Window
from cio_fdw.request import Request
from cio_fdw.traffic import Budget

END_OF_TIME_S = 2**62


class Joint(NamedTuple):
    """A request for a page of the narrower `list`, which is of the seconds `range_s`, at a `cursor` of the wider one.

    `came`: keys of the latest rows that came, in their order, from which on the answer must be the same; empty where it
    begins behind them.
    """

    list: Request
    range_s: tuple[int, int]
    cursor: str
    came: Sequence[Any]

    def overlap(self, keys: Sequence[Any], *, is_last: bool, is_whole: bool) -> Optional[int]:
        """How many of these first rows came already; None: the answer is not what should follow.

        `is_whole`: it must have all of them, as rows that come twice would not be noticed later.
        """
        if not self.came:
            return 0
        if not keys or keys[0] not in self.came:
            return None
        again = self.came[self.came.index(keys[0]) :]
        if len(keys) < len(again) and (is_last or is_whole):
            return None
        count = min(len(again), len(keys))
        return count if list(keys[:count]) == list(again[:count]) else None


class Place:
    """Where a walk is: at which cursor of which list, and which seconds it is to bring, which may be fewer.

    `range_s`: both included; what has no end is open.
    """

    def __init__(
        self, first: Request, paging: tuple[Window, str], range_s: tuple[int, int], budget: Budget, *, shifts: bool
    ) -> None:
        """`paging`: the parameters of the range, and of the cursor. `shifts`: rows may come to the list meanwhile."""
        self.range_s = range_s
        self.is_over = self.is_ignored = self.has_moved = False
        """Of the latest answer: that nothing follows, that it tells nothing, that it is of another list."""
        self._list, self._list_range_s = first, range_s
        self._first, (self._window, self._cursor_param) = first, paging
        self._budget = budget
        self._cursor = self._page_cursor = ""
        """Of the page that is to be asked for, and of the latest that came."""
        self._pages = 0
        self._first_key: Any = None
        self._latest: list[Any] = []
        """Keys of the rows of the latest page and the one before, without repetitions, as far as they were needed."""
        self._page_rows = 1
        self._brought_cursor = ""
        """Of the latest page that brought a row."""
        self._passes = False
        """Whether rows of the latest page lie beyond the range."""
        self.stays, self._was_joined, self._shifts = False, False, shifts
        self._joint: Optional[Joint] = None

    @property
    def is_joining(self) -> bool:
        """Whether the request under way is for another list than the one before."""
        return self._joint is not None

    @property
    def is_wider(self) -> bool:
        """Whether the answer to the request under way may have rows that other walks bring."""
        return self._joint is None and self.range_s != self._list_range_s

    @property
    def is_narrowed(self) -> bool:
        """Whether the answer to the request under way may have rows that are not wanted.

        That of a narrower list should have none; it has where cursors lead back to the wider one.
        """
        return self._joint is not None or self._was_joined or self.range_s != self._list_range_s

    @property
    def wants_keys(self) -> bool:
        """Whether it takes the keys of the rows to go on elsewhere."""
        if self.stays or self._budget.joins is False:
            return False
        return self._budget.joins is None or self._first_key is None or self.is_narrowed

    def request(self) -> Request:
        """What to send now."""
        if self.range_s != self._list_range_s and not self._pages:
            self._list, self._list_range_s = self._narrower(), self.range_s
        self._joint = self._made_joint() if self.range_s != self._list_range_s else None
        if self._joint:
            return self._at(self._joint.list, self._joint.cursor)
        return self._at(self._list, self._cursor)

    def _at(self, list_: Request, cursor: str) -> Request:
        return list_.with_param(self._cursor_param, cursor) if cursor else list_

    def _narrower(self) -> Request:
        low_s, high_s = self.range_s
        list_ = self._first.with_param(self._window.start_param, str(low_s))
        return list_ if high_s == END_OF_TIME_S else list_.with_param(self._window.end_param, str(high_s))

    def _made_joint(self) -> Optional[Joint]:
        """How to go on in the narrower list; None: in the wider one for now."""
        if self.stays or self._budget.joins is False:
            return None
        is_sure = self._budget.joins and not self._shifts and self._first_key is not None
        if self._passes and (self._latest or not is_sure):
            self.stays = not self._latest
            return self._joint_again()
        if is_sure:
            # What is at the next cursor may lie elsewhere in the narrower list, if the latest page passed its end.
            return Joint(self._narrower(), self.range_s, self._page_cursor if self._passes else self._cursor, ())
        # The first page has no cursor, and so does not tell whether cursors lead on; the second one does.
        return self._joint_again() if self._shifts and (self._budget.joins or self._brought_cursor) else None

    def _joint_again(self) -> Optional[Joint]:
        """A joint that asks for the latest page with a wanted row again."""
        if not self._latest:
            return None
        return Joint(self._narrower(), self.range_s, self._brought_cursor, list(self._latest))

    def sift(
        self,
        rows: int,
        keys: Optional[Sequence[Any]],
        times_s: Optional[Sequence[Optional[int]]],
        *,
        is_last: bool,
    ) -> Optional[list[bool]]:
        """For each of so many `rows` in an answer whether it is wanted and did not come before; None: all are.

        `keys`, `times_s`: where they are needed and there. Of a list that shifts, who calls looks for repetitions.
        """
        if not self.is_narrowed:
            self._brought(keys)
            return None
        joint, self._joint = self._joint, None
        again = self._joined(joint, keys, times_s, is_last=is_last) if joint else 0
        if self.is_ignored or self.is_over:
            return [False] * rows
        low_s, high_s = self.range_s
        wanted = [second is None or low_s <= second <= high_s for second in times_s or [None] * rows]
        self._passes = not all(wanted)
        if self._passes and self.range_s == self._list_range_s:
            self._budget.joins = False
        self._brought(None if keys is None else list(compress(keys, wanted)))
        return [is_wanted and i >= again for i, is_wanted in enumerate(wanted)]

    def _brought(self, keys: Optional[Sequence[Any]]) -> None:
        """The rows of the latest page that are wanted, among them those that came before; None: they are not known."""
        if keys is None:
            self._latest = []
            return
        if keys:
            self._first_key = keys[0] if self._first_key is None else self._first_key
            self._brought_cursor = self._cursor
        before = set(self._latest)
        self._latest += [key for key in keys if key not in before]
        self._page_rows = max(self._page_rows, len(keys))
        del self._latest[: -2 * self._page_rows]

    def _joined(
        self,
        joint: Joint,
        keys: Optional[Sequence[Any]],
        times_s: Optional[Sequence[Optional[int]]],
        *,
        is_last: bool,
    ) -> int:
        """How many rows of the answer to `joint` came before."""
        low_s, high_s = joint.range_s
        is_narrower = times_s is not None and all(
            second is not None and low_s <= second <= high_s for second in times_s
        )
        again = joint.overlap(keys, is_last=is_last, is_whole=not self._shifts) if keys and is_narrower else None
        if not keys and is_narrower and not joint.came:
            again = 0
        if keys is None or again is None:
            self.is_ignored = self.stays = True
            self._budget.joins = self._budget.joins if self._shifts else False
            return 0
        # Asked past the end, the API begins again; and it may do so for a cursor of another list.
        begins_again = self._first_key in keys
        self.is_over = begins_again and not joint.came
        if joint.came and joint.cursor and not begins_again and self._budget.joins is None:
            self._budget.joins = True
        self._list, self._list_range_s, self._cursor = joint.list, joint.range_s, joint.cursor
        self._passes, self._was_joined, self.has_moved = False, True, True
        self._budget.joined(again=again > 0 or self.is_over, perhaps=not self._shifts)
        return again

    def refuse(self) -> None:
        """The API does not take the cursor of a joint: the wider list is read on."""
        self._joint = None
        self._budget.joins = False

    def follow(self, cursor: str) -> None:
        """The next page is at `cursor`."""
        self._pages += 1
        self._page_cursor, self._cursor = self._cursor, cursor

    def restart(self, list_: Request, range_s: tuple[int, int]) -> None:
        """At the beginning of another list, of which no part is left to others."""
        self._list, self._list_range_s, self.range_s = list_, range_s, range_s
        self._pages, self._cursor, self._page_cursor, self._passes = 0, "", "", False
