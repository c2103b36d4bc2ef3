"""What a role may do with which privilege. Without those named in docs/security.md: one clear error."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.secrets.conftest import KEY, Vault
from tests.sql.helpers import Connection, asked, refused, rows, value

ASK = "Ask a superuser, or a member of pg_read_server_files, to set it."
MAPPING = "create user mapping for plain server customerio"


@pytest.fixture
def owner(vault: Vault, root: Connection) -> Iterator[Connection]:
    """A role that owns a server, which it made itself: it has USAGE on the wrapper, and is no superuser."""
    root.execute("create role owner login; grant usage on foreign data wrapper cio_fdw to owner")
    with psycopg.connect(vault.address, user="owner", autocommit=True) as db:
        db.execute("create server owned foreign data wrapper cio_fdw options (region 'eu')")
        yield db
    root.execute("drop owned by owner cascade; drop role owner")


def test_without_a_mapping(vault: Vault, root: Connection, plain: Connection) -> None:
    with refused("28000") as caught:
        rows(plain, "select id from customerio.campaigns")
    diagnostic = caught.value.diag
    assert diagnostic.message_primary == 'cio_fdw: no user mapping for the current user on server "customerio"'
    assert diagnostic.message_hint == (
        "CREATE USER MAPPING FOR CURRENT_USER SERVER \"customerio\" OPTIONS (app_api_key '...');"
    )
    assert asked(vault.sim) == []


def test_with_a_mapping_of_its_own(vault: Vault, root: Connection, plain: Connection) -> None:
    plain.execute(f"{MAPPING} options (app_api_key '{KEY}')")
    assert value(plain, "select count(*) from customerio.campaigns") == 4
    plain.execute("alter user mapping for plain server customerio options (set app_api_key 'other')")
    with refused("28000"):
        value(plain, "select count(*) from customerio.campaigns")


def test_usage_changes_nothing_of_others(vault: Vault, root: Connection, plain: Connection) -> None:
    plain.execute(f"{MAPPING} options (app_api_key 'its-own')")
    for statement in (
        "alter server customerio options (set base_url 'https://example.com')",
        "create server mine foreign data wrapper cio_fdw options (base_url 'https://example.com')",
        "create user mapping for public server customerio options (app_api_key 'x')",
        "create user mapping for postgres server customerio options (app_api_key 'x')",
        "alter user mapping for postgres server customerio options (set app_api_key 'x')",
        "drop user mapping for postgres server customerio",
    ):
        with refused("42501"):
            plain.execute(statement)
    assert asked(vault.sim) == []


def test_usage_reads_no_files_and_calls_no_other_hosts(vault: Vault, root: Connection, plain: Connection) -> None:
    plain.execute(f"{MAPPING} options (app_api_key 'its-own')")
    denied = {
        "alter user mapping for plain server customerio options (add app_api_key_file '/etc/hostname')": "HV024",
        "alter user mapping for plain server customerio options (add base_url 'https://example.com')": "HV00D",
        "create foreign table plain.t (id text) server customerio options (endpoint '../../etc')": "HV024",
        "create foreign table plain.t (id text) server customerio options (base_url 'https://example.com')": "HV00D",
        "create foreign table plain.t (id text) server customerio options (app_api_key 'x')": "HV00D",
        "set cio_fdw.python = '/tmp/python3'": "42501",
    }
    for statement, sqlstate in denied.items():
        with refused(sqlstate):
            plain.execute(statement)
    assert asked(vault.sim) == []


def test_a_key_file_set_by_the_superuser(vault: Vault, root: Connection, plain: Connection) -> None:
    """It works for the role, which cannot see the key."""
    path = vault.file("of_plain", KEY)
    root.execute(f"{MAPPING} options (app_api_key_file '{path}')")
    assert value(plain, "select count(*) from customerio.campaigns") == 4
    assert KEY not in str(rows(plain, "select * from pg_user_mappings"))


def test_a_role_lets_the_server_read_no_other_file(vault: Vault, root: Connection, plain: Connection) -> None:
    root.execute(f"{MAPPING} options (app_api_key_file '{vault.file('of_plain', KEY)}')")
    with refused("HV024") as caught:
        plain.execute("alter user mapping for plain server customerio options (set app_api_key_file '/etc/passwd')")
    assert caught.value.diag.message_primary == 'cio_fdw: option "app_api_key_file" names a file of the server'
    assert caught.value.diag.message_hint == ASK


def test_the_owner_of_a_server_is_no_superuser(owner: Connection) -> None:
    owner.execute("alter server owned options (add timeout '5', set region 'us')")
    for statement in (
        "alter server owned options (drop region, add base_url 'https://example.com')",
        "alter server owned options (drop region, add base_url 'http://127.0.0.1:9200')",
        "create server other foreign data wrapper cio_fdw options (base_url 'https://example.com')",
    ):
        with refused("HV024") as caught:
            owner.execute(statement)
        assert caught.value.diag.message_primary == 'cio_fdw: option "base_url" names the host that gets the API keys'
        assert caught.value.diag.message_hint == ASK
    with refused("HV024"):
        owner.execute("create user mapping for owner server owned options (app_api_key_file '/etc/passwd')")


def test_a_member_of_pg_read_server_files_may(root: Connection, owner: Connection) -> None:
    root.execute("grant pg_read_server_files to owner")
    owner.execute("alter server owned options (drop region, add base_url 'https://example.com')")
    owner.execute("create user mapping for owner server owned options (app_api_key_file '/nowhere/key')")
