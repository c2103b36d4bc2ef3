"""Settings that PostgreSQL keeps as text where the native extension is not loaded."""

from __future__ import annotations

import pytest

from cio_fdw.errors import SettingError
from cio_fdw.multicorn.settings import LOG_MIN_MS, caching, log_min_ms


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, True), ("", True), ("on", True), ("OFF", False), ("of", False), (" t ", True), ("no", False), ("0", False)],
)
def test_caching(text: str, found: bool) -> None:
    assert caching(text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, LOG_MIN_MS), ("", LOG_MIN_MS), ("0", 0), ("-1", -1), ("250", 250), ("1.5s", 1500), ("2 min", 120_000)],
)
def test_log_min_ms(text: str, found: int) -> None:
    assert log_min_ms(text) == found


@pytest.mark.parametrize("text", ["o", "maybe", " ", "2"])
def test_what_is_no_boolean(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        caching(text)
    assert caught.value.message == f'invalid value for parameter "cio_fdw.cache": "{text}"'
    assert caught.value.sqlstate == "22023"


@pytest.mark.parametrize("text", ["soon", "1 year", "1s2"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(SettingError):
        log_min_ms(text)
