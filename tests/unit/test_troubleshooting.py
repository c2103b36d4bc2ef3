"""docs/troubleshooting.md: every error has its section, with SQLSTATE and message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cio_fdw.errors import CioError, RequestError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"


def classes(root: type[CioError]) -> list[type[CioError]]:
    return [found for one in root.__subclasses__() for found in (one, *classes(one))]


def own_classes() -> list[type[CioError]]:
    return [found for found in classes(CioError) if found.__module__ == "cio_fdw.errors"]


def sections() -> dict[str, str]:
    """Text of each section by the name of its class: "## UnauthorizedError (28000)"."""
    found = re.split(r"^## (\w+) \((\w{5})\)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {name: f"{state}\n{body}" for name, state, body in zip(found[::3], found[1::3], found[2::3])}


def test_every_error_has_a_section_and_no_section_is_of_another() -> None:
    assert sorted(sections()) == sorted(one.__name__ for one in own_classes())


@pytest.mark.parametrize("one", own_classes(), ids=lambda one: one.__name__)
def test_section_tells_sqlstate_and_message(one: type[CioError]) -> None:
    text = sections()[one.__name__]
    assert text.startswith(f"{one.sqlstate}\n")
    if issubclass(one, RequestError):
        assert f"`{one.what}`" in text
