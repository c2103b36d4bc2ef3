"""app_api_key_file: taken when it is safe, else one error that says what is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.secrets.conftest import KEY, Vault
from tests.sql.helpers import Connection, refused, value

HINT = "Make it a regular file of the server's user: chown postgres FILE; chmod 600 FILE."
QUERY = "select count(*) from customerio.campaigns"


@contextmanager
def key_file(root: Connection, path: str) -> Iterator[None]:
    """The superuser's mapping names this file within the block."""
    root.execute("drop user mapping for current_user server customerio")
    root.execute(f"create user mapping for current_user server customerio options (app_api_key_file '{path}')")
    try:
        yield
    finally:
        root.execute("drop user mapping for current_user server customerio")
        root.execute(f"create user mapping for current_user server customerio options (app_api_key '{KEY}')")


def refusal(root: Connection, path: str) -> tuple[str, str]:
    """Message and hint of a scan with this key file; at once, and without the path or the content."""
    began_s = time.monotonic()
    with key_file(root, path), refused("28000") as caught:
        value(root, QUERY)
    assert time.monotonic() - began_s < 3
    assert path not in str(caught.value)
    return caught.value.diag.message_primary or "", caught.value.diag.message_hint or ""


def test_a_good_file_and_a_key_that_changes(vault: Vault, root: Connection) -> None:
    path = vault.file("good", f"{KEY}\n# of the workspace\n")
    with key_file(root, path):
        assert value(root, QUERY) == 4
        vault.file("good", "another-key\n")
        with refused("28000") as caught:
            value(root, QUERY)
        assert "bad App API key or wrong region" in str(caught.value)
        assert "another-key" not in str(caught.value)
        vault.file("good", KEY)
        assert value(root, QUERY) == 4


def test_a_file_open_to_others(vault: Vault, root: Connection) -> None:
    for mode in (0o604, 0o644):
        message = "cio_fdw: the key file is open to every user of the machine"
        assert refusal(root, vault.file("open", KEY, mode)) == (message, HINT)


def test_a_file_of_somebody_else(vault: Vault, root: Connection) -> None:
    path = vault.cluster.private_dir / "foreign"
    path.write_text(KEY)
    path.chmod(0o600)
    if vault.cluster.account.uid == os.geteuid():
        path.chmod(0)
    assert refusal(root, str(path)) == ("cio_fdw: cannot open the key file: Permission denied", HINT)


def test_what_is_no_file(vault: Vault, root: Connection) -> None:
    directory = vault.cluster.private_dir
    os.mkfifo(directory / "fifo")
    vault.own(directory / "fifo", 0o600)
    (directory / "link").symlink_to("/dev/zero")
    not_regular = ("cio_fdw: the key file is not a regular file", HINT)
    for path in (directory / "fifo", directory / "link", directory, "/dev/zero"):
        assert refusal(root, str(path)) == not_regular
    assert refusal(root, "/nowhere/key") == ("cio_fdw: cannot open the key file: No such file or directory", HINT)


def test_a_file_that_holds_no_key(vault: Vault, root: Connection) -> None:
    first_line = "Its first line must be the App API key."
    assert refusal(root, vault.file("empty", "\n")) == ("cio_fdw: the key file is empty", first_line)
    message = "cio_fdw: the key file does not hold an App API key"
    hint = "Its first line must be the key: 1 to 512 visible ASCII characters."
    for content in ("root:x:0:0:root of all:/root\n", "x" * 600, "x" * 10_000_000, "ключ"):
        assert refusal(root, vault.file("other", content)) == (message, hint)
