"""When messages are created: growth, weekdays, hours of the day, and the blasts of newsletters."""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate

HOUR_S = 3600
DAY_S = 24 * HOUR_S
HISTORY_DAYS = 198
"""About six and a half months: a little more than the API shows by default."""

WEEKDAYS = (1.0, 1.15, 1.1, 1.1, 0.9, 0.5, 0.55)
HOURS = (2, 1, 1, 1, 2, 4, 8, 14, 20, 24, 22, 19, 17, 18, 17, 16, 16, 18, 20, 19, 14, 9, 6, 3)
THURSDAY = 3
"""1970-01-01 was a Thursday."""


def weight(at_s: int) -> float:
    """How busy the hour of `at_s` (unix seconds, UTC) is, in no unit."""
    weekday = (at_s // DAY_S + THURSDAY) % 7
    return WEEKDAYS[weekday] * HOURS[at_s % DAY_S // HOUR_S]


def everyday_times(rng: random.Random, count: int, now_s: int) -> list[int]:
    """`count` unix seconds of the history up to now, by hour and weekday, a third busier now than at first."""
    hours = HISTORY_DAYS * 24
    starts = [now_s - HOUR_S * (hours - hour) + 1 for hour in range(hours)]
    cumulative = list(accumulate(weight(start) * (3 + hour / hours) for hour, start in enumerate(starts)))
    total, draw = cumulative[-1], rng.random
    return [starts[bisect(cumulative, draw() * total)] + int(draw() * HOUR_S) for _ in range(count)]


def blast_starts(rng: random.Random, now_s: int) -> list[int]:
    """When newsletters go out: Tuesdays and most Fridays at about 09:30 UTC, oldest first, none in the last hour."""
    starts = []
    for day in range(now_s // DAY_S - HISTORY_DAYS + 1, now_s // DAY_S + 1):
        weekday = (day + THURSDAY) % 7
        if weekday == 1 or (weekday == 4 and rng.random() < 0.7):
            start_s = day * DAY_S + 9 * HOUR_S + rng.randrange(HOUR_S)
            if start_s < now_s - HOUR_S:
                starts.append(start_s)
    return starts


def blast_time(rng: random.Random, start_s: int) -> int:
    """A moment of one blast: most within the first minutes, the last after less than an hour."""
    return start_s + min(HOUR_S - 1, int(rng.expovariate(1 / 400)))
