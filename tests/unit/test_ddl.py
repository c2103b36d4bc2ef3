"""CREATE FOREIGN TABLE commands: quoting, and the choice of tables."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.catalog import ENDPOINTS
from cio_fdw.ddl import create_foreign_table, import_commands, quote_identifier, quote_literal, unknown_table
from cio_fdw.endpoint import Column, Endpoint
from cio_fdw.errors import UnknownSchemaError, UnknownTableError

ODD = Endpoint(
    name="odd",
    doc="Odd names.",
    path="/v1/odd",
    rows_key="odd",
    key=("id",),
    columns=(Column("id", "bigint", "."), Column("from", "text", "."), Column('a"b', "text[]", ".")),
    sample={"odd": []},
)


@pytest.mark.parametrize(
    ("name", "quoted"), [("id", '"id"'), ("from", '"from"'), ('a"b', '"a""b"'), ("Ünïc ode", '"Ünïc ode"')]
)
def test_quote_identifier(name: str, quoted: str) -> None:
    assert quote_identifier(name) == quoted


@pytest.mark.parametrize(
    ("text", "quoted"), [("a", "'a'"), ("it's", "'it''s'"), ("a\\b", " E'a\\\\b'"), ("\\'", " E'\\\\'''"), ("", "''")]
)
def test_quote_literal(text: str, quoted: str) -> None:
    assert quote_literal(text) == quoted


def unquoted(literal: str) -> str:
    """What PostgreSQL reads: E'' strings with backslashes, others without (standard_conforming_strings)."""
    escaped = literal.startswith(" E")
    body = literal[3 if escaped else 1 : -1]
    assert re.fullmatch(r"(?:''|\\\\|[^'\\])*" if escaped else r"(?:''|[^'])*", body), "the literal ends early"
    return body.replace("''", "'").replace("\\\\", "\\") if escaped else body.replace("''", "'")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("'\\\"aE ;\n") | st.characters(exclude_characters="\0"), max_size=12))
def test_quoting_is_what_postgresql_reads_back(text: str) -> None:
    assert unquoted(quote_literal(text)) == text
    identifier = quote_identifier(text)
    assert re.fullmatch(r'"(?:""|[^"])*"', identifier, re.DOTALL)
    assert identifier[1:-1].replace('""', '"') == text


def test_a_whole_command() -> None:
    assert create_foreign_table(ODD, 'my "server') == (
        'CREATE FOREIGN TABLE "odd" ("id" bigint, "from" text, "a""b" text[], "raw" jsonb) '
        'SERVER "my ""server" OPTIONS (endpoint \'odd\')'
    )


USUAL = [endpoint.name for endpoint in ENDPOINTS.values() if not endpoint.by_page]


def imported(mode: str, *tables: str) -> list[str]:
    commands = import_commands(ENDPOINTS, "s", "customerio", mode, tables)
    found = [re.match(r'CREATE FOREIGN TABLE "(\w+)"', command) for command in commands]
    return [match[1] for match in found if match]


def test_import_all() -> None:
    assert imported("all") == USUAL
    assert set(ENDPOINTS) - set(USUAL) == {"activities_by_page"}


def test_import_limit_to_and_except() -> None:
    assert imported("limit to", "messages", "campaigns") == ["campaigns", "messages"]
    assert imported("except", "messages") == [name for name in USUAL if name != "messages"]
    assert imported("limit to", "activities_by_page") == ["activities_by_page"]


def test_another_remote_schema() -> None:
    with pytest.raises(UnknownSchemaError) as caught:
        import_commands(ENDPOINTS, "s", "public", "all", ())
    assert caught.value.message == 'there is no remote schema "public"'
    assert caught.value.hint == (
        "The one remote schema is customerio: IMPORT FOREIGN SCHEMA customerio FROM SERVER ..."
    )


@pytest.mark.parametrize("mode", ["limit to", "except"])
def test_a_table_that_is_none(mode: str) -> None:
    with pytest.raises(UnknownTableError) as caught:
        import_commands(ENDPOINTS, "s", "customerio", mode, ("messages", "mesages"))
    assert caught.value.message == 'there is no endpoint "mesages"'
    assert caught.value.hint == f"Endpoints: {', '.join(ENDPOINTS)}."


def test_unknown_table_lists_what_there_is() -> None:
    assert unknown_table("x", ("a", "b")).hint == "Endpoints: a, b."
