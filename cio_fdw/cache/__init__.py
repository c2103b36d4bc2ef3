"""Answers of the API that are used again, by other statements and other backends, until they are cache_ttl old.

    cache = Responses(settings, stats, Statement.of(number), parent_lists)
    cache.answer(Asked(where, "/v1/campaigns"), stop, decode, ask)      # asks only when there is no answer yet

responses  which answer is good for which request, and that only one backend asks
store      the answers of one key, in a file of the state directory
statement  what one statement keeps in memory, with or without a cache_ttl
"""

from __future__ import annotations

from cio_fdw.cache.responses import Asked, Keep, Responses
from cio_fdw.cache.statement import Statement
from cio_fdw.cache.store import clear

__all__ = ["Asked", "Keep", "Responses", "Statement", "clear"]
