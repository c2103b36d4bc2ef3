"""Ranges in steps of cache_ttl: never narrower than wanted, the same for a while, disjoint as ever."""

from __future__ import annotations

from typing import Optional
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.options import resolve
from cio_fdw.plan import plan
from cio_fdw.quals import AnyOf, Qual
from cio_fdw.ranges import US, wanted_ranges
from cio_fdw.windows import DAY_S

NOW_S = 1_767_312_345
MESSAGES = ENDPOINTS["messages"]
ttls = st.sampled_from((1, 7, 60, 300, 3600, 86_400))
ages_s = st.integers(0, 170 * DAY_S) | st.integers(0, 10)


def ranges(quals: list[Qual], ttl_s: int, now_s: int) -> list[tuple[int, Optional[int]]]:
    """What the requests ask for, as the native door plans it at `now_s`."""
    settings = resolve({"cache_ttl": str(ttl_s)})
    planned = plan(MESSAGES, quals, settings, now_s=now_s - now_s % ttl_s, endpoints=ENDPOINTS)
    found = []
    for chain in planned.chains:
        params = parse_qs(urlsplit(chain.first.target).query)
        end = params.get("end_ts")
        found.append((int(params["start_ts"][0]), int(end[0]) if end else None))
    return sorted(found, key=lambda pair: pair[0])


def covers(asked: list[tuple[int, Optional[int]]], second: int) -> bool:
    return any(low <= second and (high is None or second <= high) for low, high in asked)


@given(ttls, ages_s, ages_s, st.integers(0, DAY_S), st.booleans())
def test_every_wanted_second_is_asked_for(ttl_s: int, older_s: int, newer_s: int, later_s: int, is_open: bool) -> None:
    now_s = NOW_S + later_s
    low_s, high_s = now_s - max(older_s, newer_s), now_s - min(older_s, newer_s)
    quals = [Qual("created", ">", low_s * US)] + ([] if is_open else [Qual("created", "<=", high_s * US)])
    asked = ranges(quals, ttl_s, now_s)
    if is_open or low_s < high_s:
        assert all(covers(asked, second) for second in (low_s + 1, (low_s + high_s + 1) // 2, high_s))
    for (_low, high), (next_low, _high) in zip(asked, asked[1:]):
        assert high is not None
        assert high < next_low


@given(ttls, ages_s, st.integers(0, DAY_S), st.integers(0, 86_399))
def test_the_same_requests_within_a_step(ttl_s: int, age_s: int, later_s: int, second: int) -> None:
    step_s = (NOW_S + later_s) // ttl_s * ttl_s
    first_s, again_s = step_s + min(1 + second % ttl_s, ttl_s - 1), step_s + ttl_s - 1

    def recent(now_s: int) -> list[Qual]:
        """created > now() - interval of whole steps AND created <= now()"""
        return [Qual("created", ">", (now_s - age_s // ttl_s * ttl_s) * US), Qual("created", "<=", now_s * US)]

    assert ranges(recent(first_s), ttl_s, first_s) == ranges(recent(again_s), ttl_s, again_s)


def test_a_step_is_no_wider_than_needed() -> None:
    hour = [Qual("created", ">=", 7200 * US), Qual("created", "<=", 10_800 * US)]
    assert wanted_ranges(hour, "created", 3600) == wanted_ranges(hour, "created")
    (wider,) = wanted_ranges([Qual("created", "=", 7201 * US)], "created", 3600)
    assert (wider.low_s, wider.high_s) == (7200, 10_800)


def test_ranges_that_meet_by_widening_become_one() -> None:
    parts = AnyOf(((Qual("created", "=", 10_000 * US),), (Qual("created", "=", 17_000 * US),)))
    assert len(wanted_ranges([parts], "created")) == 2
    (both,) = wanted_ranges([parts], "created", 7200)
    assert (both.low_s, both.high_s) == (7200, 21_600)
