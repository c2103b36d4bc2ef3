"""A scan is divided as an earlier one showed: as fast whatever the traffic, for a tenth more requests at most."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.densities import Densities
from cio_fdw.dividing import Division
from cio_fdw.histogram import Histogram
from cio_fdw.ranges import US
from cio_fdw.scan import scan
from cio_fdw.state import StateDirectory
from cio_fdw.traffic import Budget
from cio_fdw.windows import DAY_S
from tests.unit import virtual_time
from tests.unit.scan_world import NOW_S, Messages, World, world_of
from tests.unit.test_splitting import burst, growing, shrinking, spread

SHAPES: dict[str, Callable[[int], list[int]]] = {
    "even": spread,
    "new burst": lambda rows: burst(rows, 5),
    "old burst": lambda rows: burst(rows, 170),
    "growing": growing,
    "shrinking": shrinking,
}
PARTS = [(10, 2), (15, 2), (20, 3), (40, 3), (60, 6), (280, 7)]
"""Pages of a scan, and in how many parts three requests at a time read them: what is newer than long ones is one."""


@pytest.fixture
def densities(tmp_path: Path) -> Densities:
    return Densities(StateDirectory(tmp_path / "state"), "owner")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("pages", "parts"), PARTS)
def test_the_second_scan_is_as_fast_whatever_the_traffic(
    shape: str, pages: int, parts: int, densities: Densities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading by one cursor takes 0.25 s for each page, the limit 0.1 s; the parts of a request's walks 0.25 s more."""
    created_s = SHAPES[shape](pages * virtual_time.PAGE_ROWS)
    virtual_time.scanned(created_s, monkeypatch, densities=densities)
    outcome = virtual_time.scanned(created_s, monkeypatch, densities=densities)
    assert Counter(outcome.ids) == Counter(map(str, range(len(created_s))))
    assert outcome.requests <= 1.1 * pages
    assert outcome.seconds <= max(1.1 * pages / virtual_time.RATE, 0.25 * pages / min(parts, 3)) + 0.8
    firsts = [target for target in outcome.targets if "&start=" not in target]
    assert len(firsts) == parts


def test_nothing_is_asked_for_twice(densities: Densities, monkeypatch: pytest.MonkeyPatch) -> None:
    created_s = burst(28_000, 170)
    cold = virtual_time.scanned(created_s, monkeypatch, densities=densities)
    warm = virtual_time.scanned(created_s, monkeypatch, densities=densities)
    assert len(cold.ids) == len(warm.ids) == 28_000
    assert warm.requests < cold.requests
    assert warm.seconds < cold.seconds


def test_where_answers_are_kept_nothing_is_known(densities: Densities, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a repeated statement is the same requests."""
    created_s = burst(6_000, 170)
    first = virtual_time.scanned(created_s, monkeypatch, densities=densities, is_cached=True)
    assert densities.of(["/v1/messages"]) == {}
    virtual_time.scanned(created_s, monkeypatch, densities=densities)
    assert densities.of(["/v1/messages"]) != {}
    again = virtual_time.scanned(created_s, monkeypatch, densities=densities, is_cached=True)
    assert set(again.targets) == set(first.targets)


def test_one_at_a_time_needs_no_parts(densities: Densities, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        outcome = virtual_time.scanned(spread(6_000), monkeypatch, densities=densities, width=1)
        assert outcome.requests <= 62, "sixty, the first page again, and what is newer"
        assert len([target for target in outcome.targets if "&start=" not in target]) <= 3


def test_what_was_learned_of_a_list_that_is_short_now_is_corrected(
    densities: Densities, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual_time.scanned(spread(28_000), monkeypatch, densities=densities)
    wrong = virtual_time.scanned(spread(200), monkeypatch, densities=densities)
    assert wrong.requests <= 8
    assert virtual_time.scanned(spread(200), monkeypatch, densities=densities).requests <= 3


@pytest.mark.parametrize("ago_s", [600, DAY_S, 9 * DAY_S])
def test_a_burst_since_the_last_scan_is_cut_as_its_pages_come(
    ago_s: int, densities: Densities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the pages is of before. That these are known is no hindrance."""
    before_s = NOW_S - ago_s
    created_s = [s for s in spread(2_800) if s < before_s - 2] + [NOW_S - 9 - i // 100 for i in range(25_200)]
    older = [s for s in created_s if s < before_s - 2]
    virtual_time.scanned(older, monkeypatch, densities=densities, now_s=before_s)
    outcome = virtual_time.scanned(created_s, monkeypatch, densities=densities)
    assert Counter(outcome.ids) == Counter(map(str, range(len(created_s))))
    pages = len(created_s) / virtual_time.PAGE_ROWS
    assert outcome.requests <= 1.1 * pages
    assert outcome.seconds < 1.15 * virtual_time.scanned(created_s, monkeypatch).seconds


def test_messages_of_the_past_that_a_scan_did_not_see_come_too(
    densities: Densities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API may list a message late. What is known is wrong then, which costs time alone."""
    virtual_time.scanned([s for s in spread(2_800) if s < NOW_S - 3 * DAY_S], monkeypatch, densities=densities)
    for days_ago in (1, 80, 170):
        created_s = burst(28_000, days_ago)
        outcome = virtual_time.scanned(created_s, monkeypatch, densities=densities)
        assert Counter(outcome.ids) == Counter(map(str, range(len(created_s))))
        assert outcome.requests <= 1.1 * 280


def rows_of(world: World, densities: Densities, page_size: int, *quals: Any) -> list[tuple[Any, ...]]:
    world.tools.densities = densities
    return world.rows(world.plan("messages", *quals, page_size=str(page_size)))


SINCE = ("created", ">=", (NOW_S - 171 * DAY_S) * US)
moments = st.integers(NOW_S - 170 * DAY_S, NOW_S) | st.integers(NOW_S - 9000, NOW_S - 8900)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(moments, min_size=40, max_size=150),
    st.lists(moments, max_size=150),
    st.integers(1, 4),
    st.integers(2, 4),
    st.sampled_from(("newest", "oldest", "shuffled")),
)
def test_every_row_comes_once_whatever_is_known(
    before_s: list[int],
    created_s: list[int],
    page_size: int,
    width: int,
    order: str,
) -> None:
    with TemporaryDirectory() as place:
        densities = Densities(StateDirectory(Path(place) / "state"), "owner")
        for rows in (before_s, created_s, created_s):
            world = world_of(Messages(rows, order=order), max_concurrency=width)
            found = rows_of(world, densities, page_size, SINCE)
            assert Counter(found) == Counter((f"m{i}",) for i in range(len(rows)))


def test_rows_that_arrive_during_a_divided_scan_disturb_nothing(densities: Densities) -> None:
    created_s = [NOW_S - 60 - i * 3600 for i in range(600)]
    rows_of(world_of(Messages(created_s)), densities, 10, SINCE)
    found = rows_of(world_of(Messages(created_s, arriving=2)), densities, 10, SINCE)
    assert len(set(found)) == len(found)
    assert {(f"m{i}",) for i in range(600)} <= set(found)


def test_a_scan_that_ends_early_asks_for_little_and_shows_nothing(densities: Densities) -> None:
    created_s = [NOW_S - 60 - i * 3600 for i in range(600)]

    def begun() -> int:
        world = world_of(Messages(created_s))
        world.tools.densities = densities
        batches = scan(world.plan("messages", SINCE, page_size="10"), world.tools)
        next(batches)
        batches.close()
        return len(world.targets)

    assert begun() == 1
    assert densities.of(["/v1/messages"]) == {}
    rows_of(world_of(Messages(created_s)), densities, 10, SINCE)
    assert densities.of(["/v1/messages"]) != {}
    assert begun() == 1


def test_a_failed_scan_shows_nothing(densities: Densities) -> None:
    messages = Messages([NOW_S - 60 - i * 3600 for i in range(600)])
    world = world_of(messages)
    world.fetcher.handler = lambda path, params: 1 / 0 if "start" in params else messages(path, params)
    with pytest.raises(ZeroDivisionError):
        rows_of(world, densities, 10, SINCE)
    assert densities.of(["/v1/messages"]) == {}


def test_a_clock_that_was_ahead_is_forgotten(densities: Densities, monkeypatch: pytest.MonkeyPatch) -> None:
    created_s = spread(2_800)
    for now_s in (NOW_S + 100 * DAY_S, NOW_S):
        virtual_time.scanned(created_s, monkeypatch, densities=densities, now_s=now_s)
    (known,) = densities.of(["/v1/messages"]).values()
    assert known.end_s == NOW_S - 1
    assert known.total == pytest.approx(len(created_s), rel=0.01)


def test_a_burst_that_begins_a_little_into_a_part_is_not_read_again_and_again(
    densities: Densities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cut off a burst is more than what came of it."""
    for sparse in (50, 100, 150, 250):
        created_s = [NOW_S - 9 - i * 600 for i in range(sparse)] + [NOW_S - 9 - sparse * 600 - i for i in range(8_000)]
        created_s += [NOW_S - 150 * DAY_S - i * 60 for i in range(2_000)]
        outcome = virtual_time.scanned(created_s, monkeypatch, densities=None)
        assert Counter(outcome.ids) == Counter(map(str, range(len(created_s))))
        assert outcome.requests <= 1.1 * len(created_s) / virtual_time.PAGE_ROWS + 3


def test_a_range_that_ends_where_the_list_begins_again_is_learned_too(tmp_path: Path) -> None:
    """All rows of a shorter range had come when its walk changed to that list, so that it was asked past the end."""
    until = ("created", "<=", (NOW_S - 40) * US)
    for seed in range(40):
        dice = random.Random(seed)
        blasts = [dice.randint(50, 150 * DAY_S) for _ in range(dice.choice([1, 3, 8]))]
        created_s = [NOW_S - dice.choice(blasts) - dice.randint(0, 2000) for _ in range(200)]
        densities = Densities(StateDirectory(tmp_path / str(seed)), "")
        rows_of(world_of(Messages(created_s)), densities, 2, SINCE, until)
        assert densities.of(["/v1/messages"])


def test_lists_are_told_apart_by_their_filters_not_by_range_or_page(densities: Densities) -> None:
    created_s = [NOW_S - 60 - i * 3600 for i in range(600)]
    rows_of(world_of(Messages(created_s)), densities, 10, SINCE, ("campaign_id", "=", 7))
    assert densities.of(["/v1/messages"]) == {}
    (found,) = densities.of(["/v1/messages?campaign_id=7"]).values()
    assert found.total == pytest.approx(600, rel=0.01)
    rows_of(world_of(Messages(created_s)), densities, 20, SINCE)
    (found,) = densities.of(["/v1/messages"]).values()
    assert found.total == pytest.approx(600, rel=0.01)


def divided(densities: Densities, known: dict[str, Histogram], *quals: Any, **options: str) -> list[tuple[str, bool]]:
    """The targets with which a scan begins, and whether each is of an open range."""
    for list_, histogram in known.items():
        densities.learn(list_, histogram, kept=(0, NOW_S))
    world = World(lambda _path, _params: {})
    plan = world.plan("messages", *quals, **options)
    walks = Division(plan.chains, plan.endpoint, densities, Budget(), 3).walks()
    return [(walk.request.target, walk.is_open) for walk in walks]


def flat(days: int, pages_of_10: float, end_s: int = NOW_S) -> Histogram:
    return Histogram([end_s - days * DAY_S, end_s], [10 * pages_of_10])


@pytest.mark.parametrize(
    ("days", "pages", "count"),
    [
        pytest.param(172, 9, 1, id="too short"),
        pytest.param(172, 10, 2, id="ten pages"),
        pytest.param(170, 30, 4, id="what is older than all that is known is one more"),
        pytest.param(180, 300, 7, id="more than 16 pages in the newest part: what is newer is one more"),
    ],
)
def test_how_many_parts(days: int, pages: float, count: int, densities: Densities) -> None:
    low = ("created", ">=", (NOW_S - 171 * DAY_S) * US)
    parts = divided(densities, {"/v1/messages": flat(days, pages)}, low, page_size="10")
    assert len(parts) == count
    assert [is_open for _, is_open in parts].count(True) == 1


def test_what_is_not_known_of_the_range_is_a_part_of_its_own(densities: Densities) -> None:
    low = ("created", ">=", (NOW_S - 100 * DAY_S) * US)
    parts = divided(densities, {"/v1/messages": flat(10, 60)}, low, page_size="10")
    targets = [target for target, _ in parts]
    assert len(targets) == 7
    assert f"start_ts={NOW_S - 100 * DAY_S}&" in targets[-1]
    assert targets[-1].endswith(f"&end_ts={NOW_S - 10 * DAY_S - 1}")
    lower = ("created", "<", (NOW_S - 50 * DAY_S) * US)
    parts = divided(densities, {}, low, lower, page_size="10")
    assert len(parts) == 1, "nothing is known of it"


@pytest.mark.parametrize(("days", "count"), [(1, 6), (10, 7)])
def test_what_came_since_is_a_part_of_its_own(days: int, count: int, densities: Densities) -> None:
    low = ("created", ">=", (NOW_S - 100 * DAY_S) * US)
    known = flat(150, 90, end_s=NOW_S - days * DAY_S)
    parts = divided(densities, {"/v1/messages": known}, low, page_size="10")
    assert len(parts) == count
    is_own = f"start_ts={known.end_s}&limit=10" in parts[0][0]
    assert is_own == (days == 10)
    assert parts[0][1], "it is open"


def test_of_many_lists_only_the_long_ones_are_divided(densities: Densities) -> None:
    known = {f"/v1/messages?campaign_id={i}": flat(171, 60 if i == 1 else 2) for i in range(1, 9)}
    parts = divided(densities, known, SINCE, ("campaign_id", "in", list(range(1, 9))), page_size="10")
    counts = Counter(target.split("campaign_id=")[1].split("&")[0] for target, _ in parts)
    assert counts.pop("1") >= 4
    assert set(counts.values()) == {1}


def test_what_is_read_by_children_is_not_kept(densities: Densities) -> None:
    rows = random.Random(1).sample(range(NOW_S - 9000, NOW_S - 100), 50)
    world = world_of(Messages(rows))
    rows_of(world, densities, 10, ("created", "in", [second * US for second in rows]))
    assert densities.of(["/v1/messages"]) == {}
