"""Children, errors, notices and the end of a scan: no row is lost in silence, no thread is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.endpoint import Paging
from cio_fdw.errors import (
    CioError,
    Interrupted,
    NotFoundError,
    PagingError,
    RecordError,
    RequestError,
    ServerError,
    Where,
)
from cio_fdw.options import resolve
from cio_fdw.plan import plan
from cio_fdw.ranges import US
from cio_fdw.scan import scan
from cio_fdw.windows import DAY_S
from tests.unit.scan_world import NOW_S, Handler, Messages, World, lane_threads, world_of


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert lane_threads() == []


class Campaigns:
    """GET /v1/campaigns and the actions of each; `gone` answer 404."""

    def __init__(self, *ids: Any, gone: tuple[int, ...] = (), actions: int = 2) -> None:
        self.ids = ids
        self.gone = gone
        self.actions = actions

    def __call__(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        if path == "/v1/campaigns":
            return {"campaigns": [{"id": id_} if id_ is not None else {} for id_ in self.ids]}
        campaign = int(path.split("/")[3])
        if campaign in self.gone:
            raise NotFoundError(Where("campaign_actions", path), status=404, reason="not found")
        begin = int(params.get("start", "0"))
        page = [{"id": 10 * campaign + i} for i in range(begin, min(begin + 2, self.actions))]
        return {"actions": page, **({"next": str(begin + 2)} if begin + 2 < self.actions else {})}


CHILD = ("campaign_id", "id")


def test_children_of_every_parent_carry_its_id() -> None:
    world = World(Campaigns(1, 2, 3, actions=3), wanted=CHILD)
    rows = world.rows(world.plan("campaign_actions"))
    assert sorted(rows) == [(c, 10 * c + i) for c in (1, 2, 3) for i in range(3)]
    assert world.targets[0] == "/v1/campaigns"
    assert sorted(world.targets[1:]) == sorted(
        f"/v1/campaigns/{c}/actions{start}" for c in (1, 2, 3) for start in ("", "?start=2")
    )


def test_a_child_that_is_gone_is_a_parent_without_rows() -> None:
    world = World(Campaigns(1, 2, 3, gone=(1, 3)), wanted=CHILD)
    assert world.rows(world.plan("campaign_actions")) == [(2, 20), (2, 21)]
    assert world.rows(world.plan("campaign_actions", ("campaign_id", "=", 3))) == []


def test_a_row_read_by_id() -> None:
    def api(path: str, _params: dict[str, str]) -> Any:
        if path == "/v1/campaigns/404":
            raise NotFoundError(Where("campaigns", path), status=404, reason="not found")
        return {"campaign": {"id": int(path.rsplit("/", 1)[1])}}

    world = World(api)
    assert world.rows(world.plan("campaigns", ("id", "=", 7))) == [(7,)]
    assert world.rows(world.plan("campaigns", ("id", "=", 404))) == []
    assert world.targets == ["/v1/campaigns/7", "/v1/campaigns/404"]


def test_a_list_whose_rows_shift_gives_each_row_once_and_every_row_without_a_key() -> None:
    pages = {"": ([{"id": 1}, {"name": "x"}], "p"), "p": ([{"id": 1}, {"name": "x"}, {"id": 2}], "")}

    def api(_path: str, params: dict[str, str]) -> Any:
        records, cursor = pages[params.get("start", "")]
        return {"campaigns": records, "next": cursor}

    shifting = replace(ENDPOINTS["campaigns"], paging=Paging(page_size=2))
    world = World(api)
    made = plan(shifting, [], resolve({}), now_s=NOW_S, endpoints=ENDPOINTS)
    assert world.rows(made) == [(1,), (None,), (None,), (2,)]


def test_a_shifting_child_is_told_apart_by_its_parents_id_too() -> None:
    shifting = ENDPOINTS["campaign_actions"]
    world = World(Campaigns(1, 2, actions=3), wanted=CHILD)
    made = plan(shifting, [], resolve({}), now_s=NOW_S, endpoints=ENDPOINTS)
    assert sorted(world.rows(made)) == [(c, 10 * c + i) for c in (1, 2) for i in range(3)]


def test_404_of_anything_else_is_an_error() -> None:
    def gone(path: str, _params: dict[str, str]) -> Any:
        raise NotFoundError(Where("campaigns", path), status=404)

    for table in ("campaigns", "campaign_actions"):
        world = World(gone)
        with pytest.raises(NotFoundError):
            world.rows(world.plan(table))


def test_a_parent_that_comes_twice_gives_its_children_once() -> None:
    world = World(Campaigns(1, 2, 1), wanted=CHILD)
    assert sorted(world.rows(world.plan("campaign_actions"))) == [(1, 10), (1, 11), (2, 20), (2, 21)]


def test_a_parent_without_an_id_is_an_error() -> None:
    world = World(Campaigns(1, None))
    with pytest.raises(RecordError) as caught:
        world.rows(world.plan("campaign_actions"))
    assert caught.value.message == "table campaigns: a record has no id, which names what to ask next"


def test_parents_of_several_pages() -> None:
    campaigns = replace(ENDPOINTS["campaigns"], paging=Paging(page_size=2))
    pages: dict[str, Any] = {"": ([1, 2], "x"), "x": ([3], "y"), "y": ([], "")}

    def api(path: str, params: dict[str, str]) -> dict[str, Any]:
        if path != "/v1/campaigns":
            return Campaigns(actions=1)(path, params)
        ids, cursor = pages[params.get("start", "")]
        return {"campaigns": [{"id": id_} for id_ in ids], "next": cursor}

    world = World(api)
    made = plan(
        ENDPOINTS["campaign_actions"], [], resolve({}), now_s=NOW_S, endpoints={**ENDPOINTS, "campaigns": campaigns}
    )
    assert sorted(world.rows(made)) == [(10,), (20,), (30,)]


def failing_at(count: int, error: BaseException) -> Handler:
    """An API whose answer number `count` is `error`."""
    messages, asked = Messages([NOW_S - 9] * 40), [0]

    def api(path: str, params: dict[str, str]) -> Any:
        asked[0] += 1
        if asked[0] == count:
            raise error
        return messages(path, params)

    return api


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_error_in_mid_scan_is_raised_and_ends_everything(count: int) -> None:
    error = ServerError(Where("messages", "/v1/messages"), status=500)
    world = World(failing_at(count, error))
    with pytest.raises(ServerError) as caught:
        world.rows(world.plan("messages", ("created", ">=", (NOW_S - 60) * US), page_size="5"))
    assert caught.value is error


def test_a_fault_of_ours_in_a_worker_is_raised_too() -> None:
    world = World(failing_at(2, ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        world.rows(world.plan("messages", ("created", ">=", (NOW_S - 60) * US), page_size="5"))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"<html>", CioError),
        ({"other": []}, PagingError),
        ({"messages": [{"id": "a"}], "next": "same"}, PagingError),
        ({"messages": [5]}, RecordError),
    ],
)
def test_unusable_answers_are_errors(answer: Any, kind: type[CioError]) -> None:
    world = World(lambda _path, _params: answer)
    with pytest.raises(kind):
        world.rows(world.plan("messages", ("created", "<=", (NOW_S - 60) * US)))


def test_an_interrupt_ends_threads_that_are_busy() -> None:
    world = world_of(Messages([NOW_S - 9]))
    world.fetcher.delay_s = 60.0
    world.host.interrupt_after = 2
    began_s = time.monotonic()
    with pytest.raises(Interrupted):
        world.rows(world.plan("messages"))
    assert time.monotonic() - began_s < 1.0


def test_nothing_is_under_way_while_the_reader_has_the_rows() -> None:
    """PostgreSQL holds Python's lock then: a request could not end, and would run into its timeout."""
    world = world_of(Messages([NOW_S - 9] * 50))
    world.fetcher.delay_s = 0.005
    for _batch in scan(world.plan("messages", page_size="5"), world.tools):
        assert world.fetcher.in_flight == 0
    assert len(world.targets) > 5
    assert world.fetcher.most_in_flight > 1


def test_notices_come_once_per_scan_node() -> None:
    world = world_of(Messages([NOW_S - 9]))
    made = world.plan("messages", ("created", ">=", (NOW_S - 300 * DAY_S) * US))
    for _rescan in range(3):
        assert world.rows(made) == [("m0",)]
    assert world.host.notices == list(made.notices)
    assert len(made.notices) == 1


def test_dropped_nuls_are_told_once() -> None:
    body = b'{"messages": [{"id": "a\\u0000b"}, {"id": "\\u0000"}], "next": ""}'
    world = World(lambda _path, _params: body)
    made = world.plan("messages", ("created", "<=", (NOW_S - 60) * US))
    assert set(world.rows(made)) == {("ab",), ("",)}
    assert world.host.notices == [
        "messages: the API sent NUL characters, which PostgreSQL cannot store; they are left out"
    ]


def test_batches_are_never_empty_and_keep_the_order_of_a_page() -> None:
    world = World(lambda _path, _params: {"campaigns": [{"id": i} for i in range(2500)]})
    batches = list(scan(world.plan("campaigns"), world.tools))
    assert all(batches)
    assert [row for batch in batches for row in batch] == [(i,) for i in range(2500)]
    assert world.stats.rows == 2500


def test_a_scan_of_no_columns_counts() -> None:
    world = world_of(Messages([NOW_S - 9] * 7), wanted=())
    assert world.rows(world.plan("messages", page_size="2")) == [()] * 7


REFUSED = ("customer_email", "=", "a@example.org")


def activities(status: int) -> Handler:
    """An activity log of a workspace that has no e-mail addresses as identifiers."""

    def answer(path: str, params: dict[str, str]) -> Any:
        if "id_type" in params:
            raise RequestError(Where("activities", path), status=status, reason="id_type email is not supported")
        return {"activities": [{"id": "01"}, {"id": "02"}], "next": ""}

    return answer


@pytest.mark.parametrize("status", [400, 404])
def test_a_filter_that_a_workspace_refuses_is_left_to_postgresql(status: int) -> None:
    world = World(activities(status))
    assert world.rows(world.plan("activities", REFUSED)) == [("01",), ("02",)]
    assert world.targets == [
        "/v1/activities?customer_id=a%40example.org&id_type=email&limit=100",
        "/v1/activities?limit=100",
    ]
    assert world.host.notices == [
        "activities: this workspace does not take the request GET /v1/activities with customer_id and id_type, "
        "so every row is read"
    ]


def test_other_refusals_stay_errors() -> None:
    world = World(activities(403))
    with pytest.raises(RequestError):
        world.rows(world.plan("activities", REFUSED))
    assert len(world.targets) == 1
