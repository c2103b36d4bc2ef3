"""Every option of SERVER, USER MAPPING, FOREIGN TABLE and IMPORT, in one table.

    CREATE SERVER customerio FOREIGN DATA WRAPPER cio_fdw OPTIONS (region 'eu', timeout '30')
    resolve(server={"region": "eu", "timeout": "30"})
    -> Settings(base_url="https://api-eu.customer.io", timeout_s=30.0, …)

The table drives the validator, its hints, docs/options.md and `resolve`. A table beats a server.
Errors: OptionNameError, OptionValueError, MissingKeyError, KeyFileError.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address
from typing import Callable, Optional
from urllib.parse import urlsplit

from cio_fdw.errors import MissingKeyError, OptionNameError, OptionValueError
from cio_fdw.secret import Secret, read_key_file

REGIONS = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
SERVER, MAPPING, TABLE, WRAPPER = "server", "user mapping", "foreign table", "foreign data wrapper"
SCOPES = (WRAPPER, SERVER, MAPPING, TABLE)


@dataclass(frozen=True)
class Option:
    """One row of the table. `check` returns a complaint, or None when the text is fine."""

    name: str
    scopes: tuple[str, ...]
    type: str
    default: Optional[str]
    doc: str
    check: Callable[[str], Optional[str]]
    unit: str = ""
    secret: bool = False
    privileged: str = ""
    """Why only a superuser or a member of pg_read_server_files may set it; empty when everybody may."""


def _number(low: float, high: float, *, whole: bool = True) -> Callable[[str], Optional[str]]:
    pattern = re.compile(r"\d{1,15}" if whole else r"\d{1,15}(\.\d{1,6})?", re.ASCII)

    def check(text: str) -> Optional[str]:
        if pattern.fullmatch(text) and low <= float(text) <= high:
            return None
        return f"must be {'a whole' if whole else 'a'} number from {low:g} to {high:g}"

    return check


def _region(text: str) -> Optional[str]:
    return None if text in REGIONS else "must be 'us' or 'eu'"


def _base_url(text: str) -> Optional[str]:
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        return "is not a URL"
    if not host or url.scheme not in ("http", "https"):
        return "must look like https://api.customer.io"
    if url.username is not None or url.password is not None:
        return "must not hold a user name or password"
    # "?" and "#" are looked for in the text, as an empty query or fragment leaves no trace in `url`.
    if re.search(r"[?#]|[^!-~]", text) or re.search(r"/v1/*$", url.path):
        return "must be the root of the API: no query, no fragment, no spaces, no /v1"
    if url.scheme == "http" and not _is_loopback(host):
        return "must be https, unless it is a loopback address"
    return None


def _throttle_url(text: str) -> Optional[str]:
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        return "is not a URL"
    if url.scheme not in ("redis", "rediss") or not host or re.search(r"[^!-~]", text):
        return "must look like redis://host:6379/0"
    if url.password is not None:
        return "must not hold a password: that is the option throttle_password of the user mapping"
    if re.search(r"[?#]", text) or not re.fullmatch(r"(/\d{0,4})?", url.path):
        return "must end with the number of the database: no query, no fragment"
    return None


def _fallback(text: str) -> Optional[str]:
    return None if text in ("error", "local") else "must be 'error' or 'local'"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def parse_instant(text: str) -> Optional[int]:
    """Unix seconds of an ISO 8601 date or time (UTC when it names no zone), None when it is not one."""
    try:
        instant = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=timezone.utc)
    return int(instant.timestamp())


def _instant(text: str) -> Optional[str]:
    return None if parse_instant(text) is not None else "must be an ISO 8601 time, such as 2026-01-01T00:00:00Z"


def _key(text: str) -> Optional[str]:
    return None if re.fullmatch(r"[!-~]{1,512}", text) else "must be 1 to 512 visible ASCII characters"


def _absolute(text: str) -> Optional[str]:
    return None if text.startswith("/") and "\0" not in text else "must be an absolute path"


def _boolean(text: str) -> Optional[str]:
    return None if text in ("true", "false") else "must be 'true' or 'false'"


def _endpoint(text: str) -> Optional[str]:
    return None if re.fullmatch(r"[a-z_][a-z0-9_]*", text) else "must be the name of an endpoint"


_NAMES_FILE = "names a file of the server"

OPTIONS: tuple[Option, ...] = (
    Option("region", (SERVER,), "text", "us", "Where the workspace lives: `us` or `eu`.", _region),
    Option(
        "base_url", (SERVER,), "text", None,
        "Root of the API, instead of `region`. https, or http on a loopback address.", _base_url,
        privileged="names the host that gets the API keys",
    ),
    Option(
        "anchor_date", (SERVER,), "timestamp", None,
        "Earliest time that time-ranged tables show; default: all that the API keeps.", _instant,
    ),
    Option(
        "requests_per_second", (SERVER,), "integer", "10", "Most requests in any one second.", _number(1, 1000),
    ),
    Option(
        "max_concurrency", (SERVER,), "integer", "3", "Most requests under way at once.", _number(1, 32),
    ),
    Option(
        "timeout", (SERVER,), "number", "60", "Longest wait for one answer, from connect to last byte.",
        _number(0.1, 3600, whole=False), unit="s",
    ),
    Option(
        "max_retries", (SERVER,), "integer", "5",
        "Retries of a request after 408, 429, 5xx and network errors.", _number(0, 100),
    ),
    Option(
        "trust_metric_filter", (SERVER,), "boolean", "false",
        "Whether `opened IS NOT NULL` and the like are pushed as `metric=opened`; the API's exact meaning of it is "
        "not documented.", _boolean,
    ),
    Option(
        "state_dir", (SERVER,), "text", None,
        "Directory on the server for the state of the rate limit; default: `cio_fdw` in the data directory.",
        _absolute, privileged=_NAMES_FILE,
    ),
    Option(
        "throttle_url", (SERVER,), "text", None,
        "Redis that keeps the rate limit for several PostgreSQL servers: `redis://HOST:PORT/DB`, or `rediss://…`.",
        _throttle_url, privileged="makes the server connect to a host of one's choice",
    ),
    Option(
        "throttle_fallback", (SERVER,), "text", "error",
        "When that Redis does not answer: `error`, or `local` for the limit of this PostgreSQL server alone.",
        _fallback,
    ),
    Option(
        "cache_ttl", (SERVER, TABLE), "integer", "0",
        "How old an answer of the API may be that is used again, by any backend; 0: none is.", _number(0, 86_400),
        unit="s",
    ),
    Option(
        "cache_max_mb", (SERVER,), "integer", "256",
        "Most room on the disk for the answers of one key; the oldest make room.", _number(1, 100_000), unit="MB",
    ),
    Option(
        "app_api_key", (MAPPING,), "text", None, "The App API key.", _key, secret=True,
    ),
    Option(
        "app_api_key_file", (MAPPING,), "text", None,
        "File on the server whose first line is the App API key, instead of `app_api_key`.", _absolute,
        privileged=_NAMES_FILE,
    ),
    Option(
        "throttle_password", (MAPPING,), "text", None,
        "Password of the Redis of `throttle_url`.", _key, secret=True,
    ),
    Option(
        "endpoint", (TABLE,), "text", None, "Endpoint the table reads; default: the table's name.", _endpoint,
    ),
    Option(
        "page_size", (SERVER, TABLE), "integer", None,
        "Rows asked for in one request, where the API lets one choose; default: the API's maximum.",
        _number(1, 30000), unit="rows",
    ),
    Option(
        "all_keys", (TABLE,), "boolean", "false",
        "Of `_requests` and `_limits`: whether they show every key of the server, not only that of the user mapping.",
        _boolean, privileged="shows what other roles do",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Options resolved to typed values; times in seconds. `key` is None while planning."""

    base_url: str
    region: Optional[str]
    anchor_s: Optional[int]
    requests_per_second: int
    max_concurrency: int
    timeout_s: float
    max_retries: int
    page_size: Optional[int]
    trust_metric_filter: bool = False
    state_dir: Optional[str] = None
    all_keys: bool = False
    cache_ttl_s: int = 0
    cache_max_bytes: int = 2**28
    throttle_url: Optional[str] = None
    throttle_fallback: str = "error"
    throttle_password: Optional[Secret] = None
    key: Optional[Secret] = None


def validate(scope: str, given: Mapping[str, str], *, privileged: bool = True) -> None:
    """Checks the options of one CREATE or ALTER. Raises OptionNameError, OptionValueError.

    `privileged`: whether the current role may name files of the server.
    """
    valid = {option.name: option for option in OPTIONS if scope in option.scopes}
    for name, text in given.items():
        option = valid.get(name)
        if option is None:
            raise OptionNameError(f'invalid option "{name}" for a {scope}', hint=_name_hint(name, scope, valid))
        complaint = option.check(text)
        if complaint:
            shown = "" if _may_hold_secret(option, text) else f' "{text}"'
            raise OptionValueError(f'invalid value{shown} for option "{name}": it {complaint}', hint=option.doc)
        if option.privileged and not privileged:
            raise OptionValueError(
                f'option "{name}" {option.privileged}',
                hint="Ask a superuser, or a member of pg_read_server_files, to set it.",
            )
    for one, other in (("region", "base_url"), ("app_api_key", "app_api_key_file")):
        if one in given and other in given:
            text = f'options "{one}" and "{other}" exclude each other'
            raise OptionValueError(text, hint=f"Give one: {one} or {other}.")


def _may_hold_secret(option: Option, text: str) -> bool:
    """Whether an error must not repeat `text`: a key put into the wrong option, a password in a URL."""
    return option.secret or MAPPING in option.scopes or "@" in text


def _name_hint(name: str, scope: str, valid: Mapping[str, Option]) -> str:
    elsewhere = next((option for option in OPTIONS if option.name == name), None)
    if elsewhere:
        return f'Option "{name}" belongs to the {" or the ".join(elsewhere.scopes)}.'
    close = difflib.get_close_matches(name, valid, n=1)
    meant = f'Perhaps you meant "{close[0]}". ' if close else ""
    return f"{meant}Valid options of a {scope}: {', '.join(valid) or 'none'}."


def resolve(
    server: Mapping[str, str], table: Optional[Mapping[str, str]] = None, mapping: Optional[Mapping[str, str]] = None
) -> Settings:
    """The settings of one scan. Without `mapping` (planning, EXPLAIN) the key stays None."""
    defaults = {option.name: option.default for option in OPTIONS if option.default is not None}
    merged = {**defaults, **server, **(table or {})}
    for scope, given in ((SERVER, server), (TABLE, table or {}), (MAPPING, mapping or {})):
        validate(scope, given)
    base_url = server.get("base_url")
    return Settings(
        base_url=(base_url or REGIONS[merged["region"]]).rstrip("/"),
        region=None if base_url else merged["region"],
        anchor_s=parse_instant(merged["anchor_date"]) if "anchor_date" in merged else None,
        requests_per_second=int(merged["requests_per_second"]),
        max_concurrency=int(merged["max_concurrency"]),
        timeout_s=float(merged["timeout"]),
        max_retries=int(merged["max_retries"]),
        page_size=int(merged["page_size"]) if "page_size" in merged else None,
        trust_metric_filter=merged["trust_metric_filter"] == "true",
        state_dir=merged.get("state_dir"),
        all_keys=merged["all_keys"] == "true",
        cache_ttl_s=int(merged["cache_ttl"]),
        cache_max_bytes=int(merged["cache_max_mb"]) * 2**20,
        throttle_url=merged.get("throttle_url"),
        throttle_fallback=merged["throttle_fallback"],
        throttle_password=Secret(mapping["throttle_password"]) if mapping and "throttle_password" in mapping else None,
        key=None if mapping is None else _read_key(mapping),
    )


def _read_key(mapping: Mapping[str, str]) -> Secret:
    if "app_api_key" in mapping:
        return Secret(mapping["app_api_key"])
    if "app_api_key_file" in mapping:
        key = read_key_file(mapping["app_api_key_file"])
        if _key(key.reveal()):
            raise MissingKeyError(
                "the key file does not hold an App API key",
                hint="Its first line must be the key: 1 to 512 visible ASCII characters.",
            )
        return key
    raise MissingKeyError(
        "no App API key for this user",
        hint="ALTER USER MAPPING FOR CURRENT_USER SERVER … OPTIONS (ADD app_api_key '…');",
    )
