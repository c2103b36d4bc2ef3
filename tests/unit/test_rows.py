"""Records to tuples: the fast way and the slow way give the same rows, and errors repeat no value."""

from __future__ import annotations

import json
from typing import Any, Optional

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.convert import MAX_EPOCH_S, US
from cio_fdw.decoder import MISFITS, fast_reader
from cio_fdw.endpoint import Column, Endpoint
from cio_fdw.errors import RecordError
from cio_fdw.pages import parse
from cio_fdw.rows import RowReader, records_as

SECRET = "ana@example.org"
HINT = "The whole record is in the column raw; leave this column out of the query to read the rest."
ZOO = Endpoint(
    name="zoo",
    doc="Every type, nested and not.",
    path="/v1/zoo",
    rows_key="zoo",
    key=("id", "owner_id"),
    columns=(
        Column("id", "bigint", "."),
        Column("name", "text", ".", fallback="owner.name"),
        Column("owner_id", "text", ".", source="owner.ids.own"),
        Column("owner", "jsonb", "."),
        Column("owner_ids", "jsonb", ".", source="owner.ids"),
        Column("weight", "float8", "."),
        Column("alive", "bool", ".", source="state.alive"),
        Column("born", "timestamptz", ".", fallback="created"),
        Column("fed", "timestamptz", ".", source="state.fed", zero_is_null=True),
        Column("tags", "text[]", "."),
        Column("keeper", "bigint", ".", fallback="keeper_id"),
    ),
    sample={"zoo": []},
)
ALL = {**ENDPOINTS, "zoo": ZOO}


def raw(record: Any) -> msgspec.Raw:
    return msgspec.Raw(record if isinstance(record, bytes) else json.dumps(record).encode())


def read(endpoint: Endpoint, wanted: tuple[str, ...], record: Any, constants: Any = None) -> tuple[Any, ...]:
    (row,) = RowReader(endpoint, wanted).read([raw(record)], constants)
    return row


def slow(endpoint: Endpoint, wanted: tuple[str, ...], record: Any) -> tuple[Any, ...]:
    return RowReader(endpoint, wanted)._slow(raw(record))


def fast(endpoint: Endpoint, wanted: tuple[str, ...], record: Any) -> tuple[Any, ...]:
    """Raises one of MISFITS when this record does not take the fast way."""
    columns = [endpoint.column(name) for name in wanted]
    return fast_reader(tuple(column for column in columns if column))([raw(record)])[0]


# Records like the API's, and records with anything anywhere.

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
    | st.sampled_from(("", "7", "-7.0", "true", "0", 0, 0.0, 1767225600, 2**53 + 1, 2**63, "1767225600"))
    | st.sampled_from((MAX_EPOCH_S, MAX_EPOCH_S + 1, -MAX_EPOCH_S, -MAX_EPOCH_S - 1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
ORDINARY: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "text": st.text(max_size=8),
    "bool": st.booleans(),
    "float8": st.floats(allow_nan=False, allow_infinity=False),
    "timestamptz": st.integers(0, 2 * 10**9),
    "text[]": st.lists(st.text(max_size=4) | st.none(), max_size=3),
    "jsonb": st.dictionaries(st.text("xyz", max_size=3), st.integers() | st.text(max_size=3), max_size=2),
}


@st.composite
def cases(draw: st.DrawFn, wild: bool) -> tuple[Endpoint, tuple[str, ...], bytes]:
    endpoint = ALL[draw(st.sampled_from(sorted(ALL)))]
    columns = [column for column in endpoint.columns if draw(st.booleans())]
    record: dict[str, Any] = {}
    for column in columns:
        paths = [column.key_path, *([tuple(column.fallback.split("."))] if column.fallback else [])]
        value = draw(ORDINARY[column.type] | junk if wild else ORDINARY[column.type])
        place(record, draw(st.sampled_from(paths)), value)
    if wild and draw(st.booleans()):
        record[draw(st.sampled_from(("owner", "state", "metrics", "customer_identifiers", "new")))] = draw(junk)
    for key in draw(st.lists(st.sampled_from(sorted(record)), max_size=2)) if record else ():
        if not isinstance(record[key], dict):
            record[key] = None
    names = [column.name for column in endpoint.all_columns]
    wanted = draw(st.lists(st.sampled_from(names), unique=True, max_size=8))
    text = json.dumps(record, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from((None, 1))))
    return endpoint, tuple(wanted), text.encode("utf-8", "surrogatepass")


def place(record: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = record.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        record = inner
    record.setdefault(path[-1], value)


def outcome(reader: Any, *args: Any) -> Any:
    try:
        return [(value, type(value)) for value in reader(*args)]
    except RecordError as error:
        return (error.message, error.detail, error.hint)


@settings(max_examples=200, deadline=None)
@given(cases(wild=True))
def test_both_ways_give_the_same_rows_and_errors(case: tuple[Endpoint, tuple[str, ...], bytes]) -> None:
    endpoint, wanted, record = case
    if wanted:
        assert outcome(read, endpoint, wanted, record) == outcome(slow, endpoint, wanted, record)


def of_page(endpoint: Endpoint, wanted: tuple[str, ...], records: list[bytes], *, decoded: bool) -> Any:
    """The rows of a page whose records may be `decoded` at once, and whether they were."""
    body = b'{"%s": [%s]}' % (endpoint.rows_key.encode(), b", ".join(records))
    page = parse(endpoint, body, record=records_as(endpoint, wanted) if decoded else None)
    return RowReader(endpoint, wanted).read(page.records), isinstance(page.records[0], msgspec.Struct)


@settings(max_examples=300, deadline=None)
@given(cases(wild=True), cases(wild=False))
def test_a_page_that_is_decoded_at_once_gives_the_same_rows_and_errors(
    case: tuple[Endpoint, tuple[str, ...], bytes], other: tuple[Endpoint, tuple[str, ...], bytes]
) -> None:
    endpoint, wanted, record = case
    records = [record, other[2], record]

    def rows(decoded: bool) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in of_page(endpoint, wanted, records, decoded=decoded)[0]]

    assert outcome(rows, True) == outcome(rows, False)


@pytest.mark.parametrize(
    ("wanted", "records", "decoded"),
    [
        (("id", "name", "born"), [b'{"id": 1}', b'{"owner": {"name": "a"}, "new": [1]}'], True),
        ((), [b"{}"], True),
        (("id",), [b'{"id": 1}', b'{"id": "2"}'], False),
        (("id",), [b'{"id": 1, "owner": []}'], False),
        (("raw",), [b"{}"], False),
        (("owner",), [b"{}"], False),
        (tuple(column.name for column in ENDPOINTS["messages"].columns[:13]), [b"{}"], False),
    ],
)
def test_few_columns_of_the_expected_types_are_decoded_with_the_page(
    wanted: tuple[str, ...], records: list[bytes], decoded: bool
) -> None:
    endpoint = ZOO if len(wanted) < 13 else ENDPOINTS["messages"]
    at_once, afterwards = (of_page(endpoint, wanted, records, decoded=way) for way in (True, False))
    assert at_once == (afterwards[0], decoded)


@settings(max_examples=200, deadline=None)
@given(cases(wild=False))
def test_a_record_of_the_expected_types_takes_the_fast_way(case: tuple[Endpoint, tuple[str, ...], bytes]) -> None:
    endpoint, wanted, record = case
    assert fast(endpoint, wanted, record) == slow(endpoint, wanted, record)


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=list(ENDPOINTS))
def test_samples_take_the_fast_way_with_every_column(endpoint: Endpoint) -> None:
    wanted = tuple(column.name for column in endpoint.all_columns)
    for record in endpoint.sample[endpoint.rows_key]:
        assert fast(endpoint, wanted, record) == slow(endpoint, wanted, record)


def test_a_message_without_inner_objects_takes_the_fast_way() -> None:
    messages = ENDPOINTS["messages"]
    wanted = ("id", "customer_id", "customer_email", "sent", "metrics", "customer_identifiers")
    assert fast(messages, wanted, {"id": "a"}) == ("a", None, None, None, None, None)


@pytest.mark.parametrize("other", [{"id": "7"}, {"id": 7.0}, {"id": 2**63}, {"owner": []}, {"owner": "ana"}])
def test_a_record_of_another_shape_leaves_the_fast_way(other: dict[str, Any]) -> None:
    with pytest.raises(MISFITS):
        fast(ZOO, ("id", "owner_id"), other)


def test_a_whole_row() -> None:
    record = b"""{"id": 9007199254740993, "owner": {"name":"Ana",  "ids": {"own":"o1"}}, "weight": 2,
        "state": {"alive": true, "fed": 0}, "created": 1767225600,
        "tags": ["a", null], "keeper_id": 3, "new": [1.50]}"""
    wanted = tuple(column.name for column in ZOO.all_columns)
    assert read(ZOO, wanted, record) == (
        9007199254740993,
        "Ana",
        "o1",
        b'{"name":"Ana",  "ids": {"own":"o1"}}',
        b'{"own":"o1"}',
        2.0,
        True,
        1767225600 * US,
        None,
        ["a", None],
        3,
        record,
    )


@pytest.mark.parametrize("way", [fast, slow])
@pytest.mark.parametrize(
    ("wanted", "record", "row"),
    [
        ((), {"id": 7}, ()),
        (("raw",), b'{ "id":7 }', (b'{ "id":7 }',)),
        (("raw", "id"), b'{ "id":7 }', (b'{ "id":7 }', 7)),
        (("id", "raw", "name"), b'{"id":7}', (7, b'{"id":7}', None)),
        (("owner", "owner_id"), b'{"owner": {"ids": {"own": "x"}} }', (b'{"ids": {"own": "x"}}', "x")),
        (("owner_id", "owner"), {}, (None, None)),
        (("owner_ids",), b'{"owner": {"ids": null}}', (None,)),
        (("owner",), b'{"owner": {}}', (b"{}",)),
        (("owner",), b'{"owner": "1.50"}', (b'"1.50"',)),
        (("owner",), b'{"owner": 1.50}', (b"1.50",)),
        (("name",), {"name": None, "owner": {"name": "b"}}, ("b",)),
        (("name",), {"name": "", "owner": {"name": "b"}}, ("",)),
        (("name",), {"name": "a", "owner": {}}, ("a",)),
        (("fed",), {"state": {"fed": 0}}, (None,)),
        (("born",), {"born": 0}, (0,)),
        (("born",), {"born": None, "created": 5}, (5 * US,)),
        (("born",), {"created": MAX_EPOCH_S}, (MAX_EPOCH_S * US,)),
        (("id",), {"id": 2**63 - 1}, (2**63 - 1,)),
        (("id",), {"id": -(2**63)}, (-(2**63),)),
        (("id",), b'{"id": 1, "id": 2}', (2,)),
        (("id",), b'{"\\u0069d": 5}', (5,)),
    ],
)
def test_rows_of_expected_records(way: Any, wanted: tuple[str, ...], record: Any, row: tuple[Any, ...]) -> None:
    assert way(ZOO, wanted, record) == row


@pytest.mark.parametrize(
    ("wanted", "record", "row"),
    [
        (("id", "name"), {"id": "7", "name": 7}, (7, "7")),
        (("id",), {"id": 7.0}, (7,)),
        (("owner_id", "owner"), b'{"owner": null}', (None, None)),
        (("owner_id", "owner"), b'{"owner": "ana"}', (None, b'"ana"')),
        (("owner_id", "owner_ids"), b'{"owner": {"ids": [1]}}', (None, b"[1]")),
        (("fed",), {"state": {"fed": "0"}}, (None,)),
        (("born",), {"born": "", "created": 5}, (None,)),
        (("tags",), {"tags": [1, {"a": 2}]}, (["1", '{"a":2}'],)),
        (("weight", "alive"), {"weight": "1.5", "state": {"alive": "true"}}, (1.5, True)),
    ],
)
def test_rows_of_unexpected_records(wanted: tuple[str, ...], record: Any, row: tuple[Any, ...]) -> None:
    assert read(ZOO, wanted, record) == row


def test_a_null_is_a_null_in_every_column() -> None:
    record = {column.key_path[0]: None for column in ZOO.columns}
    wanted = tuple(column.name for column in ZOO.columns)
    assert read(ZOO, wanted, record) == (None,) * len(wanted)


def test_constants_fill_only_what_the_record_lacks() -> None:
    actions = ENDPOINTS["campaign_actions"]
    wanted = ("id", "campaign_id", "name")
    assert read(actions, wanted, {"id": 1}, {"campaign_id": 7}) == (1, 7, None)
    assert read(actions, wanted, {"id": 1, "campaign_id": None}, {"campaign_id": 7}) == (1, 7, None)
    assert read(actions, wanted, {"id": 1, "campaign_id": 8}, {"campaign_id": 7}) == (1, 8, None)


def test_many_records_keep_their_order() -> None:
    records = [raw({"id": i if i % 3 else str(i)}) for i in range(50)]
    assert RowReader(ZOO, ("id",)).read(records) == [(i,) for i in range(50)]


@pytest.mark.parametrize(
    ("wanted", "record", "message"),
    [
        (
            "weight",
            {"id": 7, "owner": {"ids": {"own": "o1"}}, "weight": SECRET},
            "table zoo, column weight, record id 7, owner_id o1: the API sent text that is no float8",
        ),
        (
            "born",
            {"id": 7, "owner": {"ids": {"own": "o1"}}, "born": 1767225600000},
            "table zoo, column born, record id 7, owner_id o1: the API sent a time beyond the year 5138",
        ),
        (
            "tags",
            {"id": "x" * 500, "owner": [SECRET], "tags": {"a": SECRET}},
            f"table zoo, column tags, record id {'x' * 64}, owner_id ?: the API sent an object where a list belongs",
        ),
        (
            "id",
            {"id": {"mail": SECRET}},
            "table zoo, column id, record id ?, owner_id ?: the API sent an object where a whole number belongs",
        ),
        (
            "id",
            {"id": 2**63, "owner": {"ids": {"own": "o1"}}},
            f"table zoo, column id, record id {2**63}, owner_id o1: the API sent a number beyond bigint",
        ),
    ],
)
def test_a_misfit_names_table_column_and_record_and_no_value(wanted: str, record: Any, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(ZOO, (wanted,), record)
    assert (caught.value.message, caught.value.hint, caught.value.detail) == (message, HINT, None)
    assert SECRET not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (b"5", "a record is not an object"),
        (b"null", "a record is not an object"),
        (b'["ana@example.org"]', "a record is not an object"),
        (b'{"id": "ana@example.org"', "a record is not usable JSON"),
        (b'{"id": "\xff"}', "a record is not usable JSON"),
        (b'{"id": "x", "a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "a record is not usable JSON"),
    ],
)
def test_a_record_that_is_none(record: bytes, what: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(ZOO, ("id",), record)
    assert caught.value.message == f"table zoo: {what}"
    assert SECRET not in f"{caught.value}{caught.value.detail}{caught.value.__cause__}"


def test_an_unwanted_column_does_no_harm() -> None:
    assert read(ZOO, ("id",), {"id": 7, "born": SECRET, "owner": SECRET}) == (7,)


def test_an_unknown_column_is_our_fault() -> None:
    with pytest.raises(KeyError):
        RowReader(ZOO, ("nope",))


def test_the_reader_of_nothing_counts() -> None:
    assert RowReader(ZOO, ()).read([raw({"id": 1}), raw({"id": 2})]) == [(), ()]


def test_jsonb_is_none_or_bytes() -> None:
    row: tuple[Optional[bytes], ...] = read(ZOO, ("owner", "raw"), b'{"owner": [ ]}')
    assert row == (b"[ ]", b'{"owner": [ ]}')
    assert [type(value) for value in row] == [bytes, bytes]
