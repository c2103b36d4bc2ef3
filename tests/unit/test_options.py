"""The option table: each row with good and bad values, hints, precedence, and no secret in an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_fdw.errors import CioError, KeyFileError, MissingKeyError, OptionNameError, OptionValueError
from cio_fdw.options import MAPPING, OPTIONS, SCOPES, SERVER, TABLE, WRAPPER, parse_instant, resolve, validate

KEY = "s3cr3t-k3y"
BY_NAME = {option.name: option for option in OPTIONS}

# Option: accepted texts, refused texts, the complaint.
ROOT = "must be the root of the API: no query, no fragment, no spaces, no /v1"
VALUES: dict[str, tuple[list[str], list[str], str]] = {
    "region": (["us", "eu"], ["", "US", "de", "us "], "must be 'us' or 'eu'"),
    "base_url": (
        ["https://api.customer.io", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost/x/", "https://h:1/p"],
        ["https://h?", "https://h#", "https://h/?a=1", "https://h/#a", "https://h/v1", "https://h/v1/", "https://h/v1//",
         "https://h /", "https://h/\n", "https://h/\u00e9"],
        ROOT,
    ),
    "anchor_date": (
        ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "2026-01-01 00:00:00.5"],
        ["", "yesterday", "2026-13-01", "1767225600x"],
        "must be an ISO 8601 time, such as 2026-01-01T00:00:00Z",
    ),
    "requests_per_second": (["1", "10", "1000"], ["0", "1001", "-1", "1.5", "", "ten", "٣"],
                            "must be a whole number from 1 to 1000"),
    "max_concurrency": (["1", "32"], ["0", "33", " 3", "3\n"], "must be a whole number from 1 to 32"),
    "timeout": (["0.1", "60", "3600", "1.25"], ["0", "0.09", "3601", "1e3", "inf", "nan", ".5", "1."],
                "must be a number from 0.1 to 3600"),
    "max_retries": (["0", "100"], ["101", "-1", "+1"], "must be a whole number from 0 to 100"),
    "cache_ttl": (["0", "300", "86400"], ["", "-1", "86401", "5m"], "must be a whole number from 0 to 86400"),
    "cache_max_mb": (["1", "256"], ["0", "100001", "1GB"], "must be a whole number from 1 to 100000"),
    "trust_metric_filter": (["true", "false"], ["", "on", "1", "True"], "must be 'true' or 'false'"),
    "app_api_key": (["k", "!~", "x" * 512], ["", "a b", "a\nb", "x" * 513, "k\u00e9y"],
                    "must be 1 to 512 visible ASCII characters"),
    "app_api_key_file": (["/etc/key", "/"], ["", "key", "./key", "/a\0b"], "must be an absolute path"),
    "state_dir": (["/var/lib/cio", "/"], ["", "state", "./state", "/a\0b"], "must be an absolute path"),
    "throttle_url": (["redis://h", "rediss://h:6379/0", "redis://user@h/15"],
                     ["", "http://h", "redis://", "redis:///0", "redis://h /"], "must look like redis://host:6379/0"),
    "throttle_fallback": (["error", "local"], ["", "none", "Local"], "must be 'error' or 'local'"),
    "throttle_password": (["p", "!~"], ["", "a b"], "must be 1 to 512 visible ASCII characters"),
    "endpoint": (["messages", "a1_b"], ["", "Messages", "1a", "a-b", "v1/messages"], "must be the name of an endpoint"),
    "all_keys": (["true", "false"], ["", "on", "True", "1"], "must be 'true' or 'false'"),
    "page_size": (["1", "30000"], ["0", "30001", "all"], "must be a whole number from 1 to 30000"),
}  # fmt: skip


def test_every_option_is_tried() -> None:
    assert set(BY_NAME) == set(VALUES)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, (good, _, _) in VALUES.items() for text in good])
def test_good_values(name: str, text: str) -> None:
    for scope in BY_NAME[name].scopes:
        validate(scope, {name: text})


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, (_, bad, _) in VALUES.items() for text in bad])
def test_bad_values(name: str, text: str) -> None:
    option = BY_NAME[name]
    shown = "" if option.scopes == (MAPPING,) else f' "{text}"'
    with pytest.raises(OptionValueError) as caught:
        validate(option.scopes[0], {name: text})
    assert caught.value.message == f'invalid value{shown} for option "{name}": it {VALUES[name][2]}'
    assert caught.value.hint == option.doc


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://api.customer.io", "must be https, unless it is a loopback address"),
        ("http://127.0.0.1.example.org", "must be https, unless it is a loopback address"),
        ("http://localhost.example.org", "must be https, unless it is a loopback address"),
        ("http://0.0.0.0", "must be https, unless it is a loopback address"),
        ("ftp://h", "must look like https://api.customer.io"),
        ("api.customer.io", "must look like https://api.customer.io"),
        ("https://", "must look like https://api.customer.io"),
        ("", "must look like https://api.customer.io"),
        ("https://h:port", "is not a URL"),
        ("https://h:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
    ],
)
def test_base_url_must_be_safe(url: str, complaint: str) -> None:
    with pytest.raises(OptionValueError) as caught:
        validate(SERVER, {"base_url": url})
    assert caught.value.message == f'invalid value "{url}" for option "base_url": it {complaint}'


@pytest.mark.parametrize(
    "url", ["https://me:s3cr3t-k3y@h", "https://s3cr3t-k3y@h", "https://me:s3cr3t-k3y@[", "s3cr3t-k3y@h"]
)
def test_a_base_url_with_credentials_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(OptionValueError) as caught:
        validate(SERVER, {"base_url": url})
    assert caught.value.message.startswith('invalid value for option "base_url": it ')
    assert KEY not in everything(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from([option.name for option in OPTIONS if MAPPING in option.scopes]),
    text=st.text(min_size=8, max_size=30).map(lambda text: f"\u00e9{KEY}{text}"),
)
def test_no_error_repeats_what_may_be_a_key(name: str, text: str) -> None:
    with pytest.raises(OptionValueError) as caught:
        validate(MAPPING, {name: text})
    assert KEY not in everything(caught.value)


def test_a_key_as_an_option_name_elsewhere_is_pointed_to_the_mapping() -> None:
    with pytest.raises(OptionNameError) as caught:
        validate(SERVER, {"app_api_key": KEY})
    assert caught.value.message == 'invalid option "app_api_key" for a server'
    assert caught.value.hint == 'Option "app_api_key" belongs to the user mapping.'
    assert KEY not in everything(caught.value)


def test_an_option_of_two_scopes_names_both() -> None:
    with pytest.raises(OptionNameError) as caught:
        validate(MAPPING, {"page_size": "5"})
    assert caught.value.hint == 'Option "page_size" belongs to the server or the foreign table.'


def test_a_near_miss_is_named_and_the_valid_options_are_listed() -> None:
    with pytest.raises(OptionNameError) as caught:
        validate(SERVER, {"time_out": "5"})
    assert caught.value.message == 'invalid option "time_out" for a server'
    valid = ", ".join(option.name for option in OPTIONS if SERVER in option.scopes)
    assert caught.value.hint == f'Perhaps you meant "timeout". Valid options of a server: {valid}.'


def test_a_wild_guess_gets_the_list_only() -> None:
    with pytest.raises(OptionNameError) as caught:
        validate(TABLE, {"qqq": "5"})
    assert caught.value.hint == "Valid options of a foreign table: cache_ttl, endpoint, page_size, all_keys."


def test_the_wrapper_has_no_options() -> None:
    with pytest.raises(OptionNameError) as caught:
        validate(WRAPPER, {"qqq": "5"})
    assert caught.value.hint == "Valid options of a foreign data wrapper: none."


@pytest.mark.parametrize("scope", SCOPES)
def test_no_options_are_fine_everywhere(scope: str) -> None:
    validate(scope, {})


def test_only_the_privileged_name_files_of_the_server() -> None:
    validate(MAPPING, {"app_api_key_file": "/etc/key"}, privileged=True)
    validate(MAPPING, {"app_api_key": KEY}, privileged=False)
    with pytest.raises(OptionValueError) as caught:
        validate(MAPPING, {"app_api_key_file": "/etc/key"}, privileged=False)
    assert caught.value.message == 'option "app_api_key_file" names a file of the server'
    assert caught.value.hint == "Ask a superuser, or a member of pg_read_server_files, to set it."


def test_only_the_privileged_choose_the_host_that_gets_the_keys() -> None:
    validate(SERVER, {"region": "eu", "timeout": "5"}, privileged=False)
    with pytest.raises(OptionValueError) as caught:
        validate(SERVER, {"base_url": "https://api.example.com"}, privileged=False)
    assert caught.value.message == 'option "base_url" names the host that gets the API keys'
    assert caught.value.hint == "Ask a superuser, or a member of pg_read_server_files, to set it."


def test_alternatives_exclude_each_other() -> None:
    with pytest.raises(OptionValueError) as caught:
        validate(SERVER, {"region": "eu", "base_url": "https://h"})
    assert caught.value.message == 'options "region" and "base_url" exclude each other'
    assert caught.value.hint == "Give one: region or base_url."
    with pytest.raises(OptionValueError) as caught:
        validate(MAPPING, {"app_api_key": KEY, "app_api_key_file": "/f"})
    assert caught.value.message == 'options "app_api_key" and "app_api_key_file" exclude each other'
    assert KEY not in everything(caught.value)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_table_documents_itself(option) -> None:
    assert option.scopes
    assert set(option.scopes) <= set(SCOPES)
    assert option.doc.endswith(".")
    assert option.default is None or option.check(option.default) is None
    assert re.fullmatch(r"[a-z_]+", option.name)


def test_defaults() -> None:
    settings_ = resolve({})
    assert settings_.base_url == "https://api.customer.io"
    assert settings_.region == "us"
    assert (settings_.anchor_s, settings_.page_size, settings_.key) == (None, None, None)
    assert (settings_.requests_per_second, settings_.max_concurrency) == (10, 3)
    assert (settings_.timeout_s, settings_.max_retries) == (60.0, 5)


def test_resolve_takes_what_is_given() -> None:
    settings_ = resolve(
        {"region": "eu", "anchor_date": "1970-01-02", "timeout": "1.5", "page_size": "5", "max_retries": "0"},
        {},
        {"app_api_key": KEY},
    )
    assert settings_.base_url == "https://api-eu.customer.io"
    assert (settings_.anchor_s, settings_.timeout_s, settings_.page_size, settings_.max_retries) == (86_400, 1.5, 5, 0)
    assert settings_.key is not None
    assert settings_.key.reveal() == KEY


def test_a_table_beats_a_server() -> None:
    assert resolve({"page_size": "5"}, {"page_size": "7"}).page_size == 7
    assert resolve({"page_size": "5"}, {"endpoint": "x"}).page_size == 5


def test_base_url_loses_its_slash_and_has_no_region() -> None:
    settings_ = resolve({"base_url": "http://127.0.0.1:99/root//"})
    assert (settings_.base_url, settings_.region) == ("http://127.0.0.1:99/root", None)


def test_resolve_validates_again() -> None:
    with pytest.raises(OptionValueError):
        resolve({"timeout": "soon"})
    with pytest.raises(OptionNameError):
        resolve({}, {"timeout": "5"})


def test_a_mapping_without_a_key() -> None:
    with pytest.raises(MissingKeyError) as caught:
        resolve({}, None, {})
    assert caught.value.message == "no App API key for this user"
    assert caught.value.hint == "ALTER USER MAPPING FOR CURRENT_USER SERVER … OPTIONS (ADD app_api_key '…');"


def test_the_key_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    key = resolve({}, None, {"app_api_key_file": str(file)}).key
    assert key is not None
    assert key.reveal() == KEY
    with pytest.raises(KeyFileError):
        resolve({}, None, {"app_api_key_file": str(tmp_path / "none")})


@pytest.mark.parametrize("content", [f"{KEY} and more", "x" * 513, f"\ufeff{KEY}"])
def test_a_file_that_holds_no_key(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(MissingKeyError) as caught:
        resolve({}, None, {"app_api_key_file": str(file)})
    assert caught.value.message == "the key file does not hold an App API key"
    assert KEY not in everything(caught.value)


@pytest.mark.parametrize(
    ("text", "epoch_s"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00Z", 0),
        (" 1970-01-01T02:00:00+02:00 ", 0),
        ("1970-01-01 00:00:01.9", 1),
        ("soon", None),
        ("", None),
    ],
)
def test_parse_instant(text: str, epoch_s: int | None) -> None:
    assert parse_instant(text) == epoch_s


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_parse_instant_takes_any_text(text: str) -> None:
    assert parse_instant(text) is None or isinstance(parse_instant(text), int)


def everything(error: CioError) -> str:
    return "\n".join(map(str, (error, repr(error), error.message, error.hint, error.detail, error.__context__)))
