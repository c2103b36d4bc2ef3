"""`cio-fdw doctor`: looks for what keeps queries from working, and says what to do about it.

    ok    PostgreSQL 16.4, extension cio_fdw 0.1.0
    FAIL  the API refuses the key (HTTP 401)
          Either …, or …

Two requests are sent: one from this machine, one through the server. Nothing is changed, and the key is not printed.
Exit code: 0 when nothing failed, 1 otherwise. Errors: ServerError when the database cannot be reached.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from cio_fdw import __version__
from cio_fdw.ddl import quote_identifier
from cio_fdw.errors import CioError
from cio_fdw.options import Settings, resolve
from cio_fdw.secret import Secret
from cio_fdw.server.api_check import check_api
from cio_fdw.server.database_check import Database, checked_through_server
from cio_fdw.server.finding import FAIL, OK, WARN, Finding

OLDEST_MAJOR, NEWEST_MAJOR = 14, 18


@dataclass
class Patient:
    """One foreign server under examination, as far as it is known."""

    database: Database
    server: str
    key_env: str
    settings: Optional[Settings] = None
    key: Optional[Secret] = None


def doctor(conninfo: str, server: Optional[str], key_env: str) -> int:
    """Prints the findings; the exit code. Raises ServerError."""
    failed = False
    with Database.connect(conninfo) as database:
        for finding in examine(database, server, key_env):
            failed |= finding.level == FAIL
            sys.stdout.write(f"{finding}\n")
            sys.stdout.flush()
    return 1 if failed else 0


def examine(database: Database, server: Optional[str], key_env: str) -> Iterator[Finding]:
    """The findings, in the order in which to mend what they name."""
    yield from _versions(database)
    names = [name for name, _options in database.servers()]
    if server is None and len(names) == 1:
        server = names[0]
    if server not in names:
        yield _no_server(server, names)
        return
    patient = Patient(database, server, key_env)
    yield from _options(patient)
    yield from _key(patient)
    if patient.settings and patient.key:
        yield from check_api(server, patient.settings, patient.key, database.clock_offset_s())
    yield from checked_through_server(database, server)


def _versions(database: Database) -> Iterator[Finding]:
    version, major = database.version()
    if not OLDEST_MAJOR <= major <= NEWEST_MAJOR:
        yield Finding(WARN, f"PostgreSQL {version}: tested are {OLDEST_MAJOR} to {NEWEST_MAJOR}")
    installed, available = database.extension()
    if installed is None and available is None:
        yield Finding(
            FAIL,
            f"PostgreSQL {version} does not have the extension cio_fdw",
            "Install it on the server: make install PG_CONFIG=…, or cio-fdw install-host --pg-config ….",
        )
    elif installed is None:
        yield Finding(FAIL, "the extension cio_fdw is not in this database", "CREATE EXTENSION cio_fdw;")
    elif installed != available:
        yield Finding(
            WARN,
            f"the extension is at version {installed}, its files at {available}",
            "ALTER EXTENSION cio_fdw UPDATE;",
        )
    else:
        yield Finding(OK, f"PostgreSQL {version}, extension cio_fdw {installed}, this command {__version__}")


def _no_server(wanted: Optional[str], names: list[str]) -> Finding:
    if wanted is not None:
        known = ", ".join(names) or "none"
        return Finding(FAIL, f'there is no foreign server "{wanted}" of cio_fdw', f"Those that are there: {known}.")
    if names:
        return Finding(FAIL, "there are several foreign servers", f"Say which: --server {'|'.join(names)}")
    return Finding(
        FAIL,
        "there is no foreign server of cio_fdw in this database",
        "CREATE SERVER customerio FOREIGN DATA WRAPPER cio_fdw OPTIONS (region 'us');   -- or 'eu'",
    )


def _options(patient: Patient) -> Iterator[Finding]:
    options = dict(patient.database.servers())[patient.server]
    try:
        patient.settings = settings = resolve(options)
    except CioError as error:
        yield Finding(FAIL, error.message, error.hint or "")
        return
    yield Finding(
        OK,
        f'server "{patient.server}" asks {settings.base_url}, at most {settings.requests_per_second} requests a second '
        f"and {settings.max_concurrency} at once",
    )


def _key(patient: Patient) -> Iterator[Finding]:
    role, mapping = patient.database.role(), patient.database.mapping(patient.server)
    name = quote_identifier(patient.server)
    create = f"CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (app_api_key '…');"
    if mapping is None:
        yield Finding(FAIL, f'role "{role}" has no user mapping on server "{patient.server}"', create)
    elif mapping.options is not None and not {"app_api_key", "app_api_key_file"} & mapping.options.keys():
        yield Finding(FAIL, f'the user mapping of role "{role}" has no key', create.replace("CREATE", "ALTER"))
    text, source = _key_text(patient, mapping.options if mapping else None)
    if text:
        patient.key = Secret(text)
        yield Finding(OK, f"the key comes from {source}; its hash is {patient.key.fingerprint()}")
    elif mapping is not None:
        yield Finding(
            WARN,
            "the key cannot be seen from here, so it is only tried through the server",
            f"Connect as a superuser or as the mapping's owner, or give the key in {patient.key_env}.",
        )


def _key_text(patient: Patient, options: Optional[dict[str, Any]]) -> tuple[str, str]:
    """The key and where it is from; empty when it is not to be had."""
    options = options or {}
    if options.get("app_api_key"):
        return options["app_api_key"], "the user mapping"
    if options.get("app_api_key_file"):
        text = patient.database.first_line(options["app_api_key_file"])
        if text:
            return text, "the file that the user mapping names"
    return os.environ.get(patient.key_env, "").strip(), f"the environment variable {patient.key_env}"
