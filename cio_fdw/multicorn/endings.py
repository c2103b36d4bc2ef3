"""The ends of a scan: its last row, an error with its SQLSTATE, a cancel; and scans whose end Multicorn does not tell.

    rows(produce) -> an iterator of rows over what produce() yields in batches

Multicorn reports every exception as XX000, and knows no cancel. So the iterator it gets is a chain of iterators
written in C. The first gives the rows; when it fails, it notes that and ends as if it had no more. Python has then
returned, and the next one calls PostgreSQL's own function, which jumps: over frames of C alone.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import weakref
from collections.abc import Generator, Iterator
from typing import Any, Callable, NoReturn, Optional

from multicorn import utils  # type: ignore[import-not-found,unused-ignore]

from cio_fdw import native
from cio_fdw.errors import Interrupted
from cio_fdw.multicorn.backend import Backend

Batches = Generator[list[Any], None, None]

_live: weakref.WeakKeyDictionary[Batches, int] = weakref.WeakKeyDictionary()
"""Scans that were not read to their end, and the level of the (sub)transaction they belong to."""


def rows(produce: Callable[[], Batches], backend: Backend) -> Iterator[Any]:
    """The rows of the batches. Nothing of `produce` runs before the first is asked for."""
    canceled: list[int] = []
    failed: list[int] = []
    batches = _guarded(produce, backend, canceled, failed)
    _live[batches] = backend.nest_level
    return itertools.chain(
        itertools.chain.from_iterable(batches),
        filter(utils.check_interrupts, canceled),
        map(_gone, canceled),
        map(backend.finish_error, failed, failed, failed),
    )


def _guarded(produce: Callable[[], Batches], backend: Backend, canceled: list[int], failed: list[int]) -> Batches:
    """The batches; a cancel or an error ends them, and is noted."""
    batch: list[Any] = []
    try:
        for batch in produce():
            yield batch
    except GeneratorExit:
        # Multicorn leaks the iterator of a statement that failed elsewhere, and with it this list.
        batch.clear()
        raise
    except Interrupted:
        _allow_a_jump()
        canceled.append(0)
    except Exception as error:  # noqa: BLE001 - all of them become errors of PostgreSQL
        _allow_a_jump()
        backend.prepare_error(*native.describe(error))
        failed.append(0)


def _allow_a_jump() -> None:
    """The jump takes away the level of recursion that the call of the jumping function stands for."""
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)


def _gone(_canceled: int) -> None:
    """Reached when PostgreSQL wants to go on after all: a scan that gave up must not look like one at its end."""
    refuse("cio_fdw: the scan was interrupted")


def refuse(message: str, hint: Optional[str] = None, detail: Optional[str] = None) -> NoReturn:
    """Ends a statement where only Multicorn can report, without a SQLSTATE."""
    if hasattr(utils, "MulticornException"):
        utils.log_to_postgres(message, logging.ERROR, hint, detail)
    # Before it had that exception, Multicorn would have jumped out of this very frame.
    raise RuntimeError("; ".join(text for text in (message, detail, hint) if text))


def end_all(level: int = 1) -> None:
    """Ends the scans of this transaction level and of those inside it. Never raises.

    Multicorn keeps the iterator of a statement that failed, and of EXPLAIN ANALYZE, for the life of the backend.
    """
    for batches, own_level in list(_live.items()):
        if own_level >= level:
            _live.pop(batches, None)
            # An exception in a commit would stop the whole server (PANIC).
            with contextlib.suppress(Exception):
                batches.close()


def hand_over(level: int) -> None:
    """Gives the scans of a subtransaction that commits to the one around it. Never raises."""
    for batches, own_level in list(_live.items()):
        if own_level >= level:
            _live[batches] = level - 1
