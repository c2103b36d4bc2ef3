"""Routes come from catalog entries: one that the simulator has never heard of is served from its sample."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request

from cio_fdw.endpoint import Column, Endpoint, Filter, OneRow, Paging, Parent
from cio_fdw.simulator import behaviour
from cio_fdw.simulator.api import Api
from cio_fdw.simulator.behaviour import Behaviour
from cio_fdw.simulator.world import World

CITIES = Endpoint(
    name="cities",
    doc="Cities.",
    path="/v1/cities",
    rows_key="towns",
    key=("id",),
    filters=(Filter("land", "country"),),
    columns=(Column("id", "bigint", "Id."), Column("land", "text", "Country.", source="place.country")),
    sample={"towns": [{"id": n, "place": {"country": "ch" if n < 3 else "de"}} for n in range(1, 6)]},
)
STREETS = Endpoint(
    name="streets",
    doc="Streets of a city.",
    path="/v1/cities/{city_id}/streets",
    rows_key="streets",
    key=("city_id", "name"),
    parent=Parent("cities", "id", "city_id"),
    paging=Paging(size_param="limit", page_size=2, max_size=3),
    columns=(Column("city_id", "bigint", "City."), Column("name", "text", "Name.")),
    sample={"streets": [{"name": name} for name in "abcd"], "next": ""},
)
SWISS = Endpoint(
    name="swiss_cities",
    doc="Cities of one country.",
    path="/v1/cities",
    rows_key="towns",
    key=("id",),
    fixed_params=(("country", "ch"),),
    columns=CITIES.columns,
    sample=CITIES.sample,
)


def ask(world: World, path: str, query: str = ""):
    headers = [(b"authorization", b"Bearer k")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
    answer = Api(world, "k").answer(Request(scope))
    return answer.status_code, answer.body


def world_of(monkeypatch, **behaviours: Behaviour) -> World:
    monkeypatch.setattr(behaviour, "BEHAVIOUR", behaviours)
    return World({e.name: e for e in (SWISS, STREETS, CITIES)}, {}, "newest")


def test_a_new_entry_is_served_from_its_sample_with_its_filters(monkeypatch):
    world = world_of(monkeypatch)
    status, body = ask(world, "/v1/cities", "country=ch")
    assert (status, body.count(b'"id"')) == (200, 2)
    assert ask(world, "/v1/cities")[1].count(b'"id"') == 5
    assert ask(world, "/v1/cities/1")[0] == 404, "no single read unless the entry has one"


def test_an_entry_with_a_single_read_has_its_route(monkeypatch):
    monkeypatch.setattr(behaviour, "BEHAVIOUR", {})
    city = replace(CITIES, one_row=OneRow("/v1/cities/{id}", "town"))
    world = World({city.name: city}, {}, "newest")
    assert ask(world, "/v1/cities/2") == (200, b'{"town":{"id":2,"place":{"country":"ch"}}}')
    assert ask(world, "/v1/cities/77")[0] == 404
    assert ask(world, "/v1/cities/x")[0] == 400


def test_two_entries_of_one_path_share_a_table(monkeypatch):
    world = world_of(monkeypatch)
    assert world.views["swiss_cities"].table is world.views["cities"].table
    assert len(world.views["swiss_cities"].table.pairs(world.views["swiss_cities"].fixed)) == 2


def test_children_are_kept_per_parent(monkeypatch):
    world = world_of(monkeypatch)
    assert ask(world, "/v1/cities/1/streets")[1] == b'{"streets":[{"name":"a"},{"name":"b"}],"next":"Mg"}'
    assert ask(world, "/v1/cities/1/streets", "start=Mg")[1].endswith(b'{"name":"d"}],"next":""}')
    assert ask(world, "/v1/cities/1/streets", "limit=99")[1].count(b"name") == 3
    assert ask(world, "/v1/cities/77/streets")[0] == 404
    assert world.delete("cities", (1,))
    assert ask(world, "/v1/cities/1/streets")[0] == 404
    assert len(world.views["streets"].table) == 16


def test_children_of_a_sample_name_their_own_parent(monkeypatch):
    monkeypatch.setattr(behaviour, "BEHAVIOUR", {})
    streets = replace(STREETS, sample={"streets": [{"city_id": 31, "name": "a"}], "next": ""})
    world = World({e.name: e for e in (streets, CITIES)}, {}, "newest")
    assert ask(world, "/v1/cities/2/streets")[1] == b'{"streets":[{"city_id":2,"name":"a"}],"next":""}'


def test_an_empty_list_can_be_null(monkeypatch):
    world = world_of(monkeypatch, cities=Behaviour(null_when_empty=True))
    assert ask(world, "/v1/cities", "country=xx")[1] == b'{"towns":null}'


def test_a_list_can_hand_out_next_with_its_last_row(monkeypatch):
    world = world_of(monkeypatch, streets=Behaviour(next_on_last=True))
    assert ask(world, "/v1/cities/1/streets", "start=Mg")[1].endswith(b'"next":"NA"}')
    assert ask(world, "/v1/cities/1/streets", "start=NA")[1] == b'{"streets":[],"next":""}'


def test_a_list_can_be_open_to_everyone(monkeypatch):
    world = world_of(monkeypatch, cities=Behaviour(keyless=True))
    scope = {"type": "http", "method": "GET", "path": "/v1/cities", "query_string": b"", "headers": []}
    assert Api(world, "k").answer(Request(scope)).status_code == 200
    assert Api(world_of(monkeypatch), "k").answer(Request(scope)).status_code == 401


def test_lists_can_show_the_documents_of_another_endpoint(monkeypatch):
    houses = Endpoint(
        name="houses", doc="Houses.", path="/v1/houses", rows_key="houses", key=("id",),
        columns=(Column("id", "bigint", "Id."), Column("city_id", "bigint", "City.")),
        sample={"houses": [{"id": n, "city_id": n % 2 + 1} for n in range(4)]},
    )  # fmt: skip
    of_city = Endpoint(
        name="city_houses", doc="Houses of a city.", path="/v1/cities/{city_id}/houses", rows_key="houses",
        key=("id",), parent=Parent("cities", "id", "city_id"), columns=houses.columns, sample=houses.sample,
    )  # fmt: skip
    monkeypatch.setattr(behaviour, "BEHAVIOUR", {"city_houses": Behaviour(store="houses")})
    world = World({e.name: e for e in (CITIES, of_city, houses)}, {}, "newest")
    assert ask(world, "/v1/cities/2/houses")[1] == b'{"houses":[{"id":1,"city_id":2},{"id":3,"city_id":2}]}'
    assert world.views["city_houses"].table is world.views["houses"].table
