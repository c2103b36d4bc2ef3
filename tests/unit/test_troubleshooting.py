"""docs/troubleshooting.md: every error has its section, and every message of the sources its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cio_fdw.errors import CioError, RequestError
from tests.unit import messages

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"


def classes(root: type[CioError]) -> list[type[CioError]]:
    return [found for one in root.__subclasses__() for found in (one, *classes(one))]


def own_classes() -> list[type[CioError]]:
    return [found for found in classes(CioError) if found.__module__ == "cio_fdw.errors"]


def sections() -> dict[str, str]:
    """Text of each section by the name of its class: "## UnauthorizedError (28000)"."""
    of_classes = PAGE.read_text().partition("\n## The native host\n")[0]
    found = re.split(r"^## (\w+) \((\w{5})\)$", of_classes, flags=re.MULTILINE)[1:]
    return {name: f"{state}\n{body}" for name, state, body in zip(found[::3], found[1::3], found[2::3])}


def test_every_error_has_a_section_and_no_section_is_of_another() -> None:
    assert sorted(sections()) == sorted(one.__name__ for one in own_classes())


@pytest.mark.parametrize("one", own_classes(), ids=lambda one: one.__name__)
def test_section_tells_sqlstate_and_message(one: type[CioError]) -> None:
    text = sections()[one.__name__]
    assert text.startswith(f"{one.sqlstate}\n")
    if issubclass(one, RequestError):
        assert f"`{one.what}`" in text


def shown(text: str) -> set[str]:
    """The messages that a part of the page names: code at the beginning of an item, or after another."""
    return {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)}


@pytest.mark.parametrize(("name", "texts"), sorted(messages.python_messages().items()))
def test_section_has_the_messages_of_its_class(name: str, texts: set[str]) -> None:
    assert texts - shown(sections()[name]) == set()


def test_messages_of_the_native_host_have_an_entry() -> None:
    part = PAGE.read_text().partition("\n## The native host\n")[2].partition("\n## ")[0]
    assert messages.host_messages() - shown(part) == set()


def test_messages_of_cio_sync_have_an_entry_and_no_entry_is_of_another() -> None:
    part = shown(PAGE.read_text().partition("\n## cio_sync\n")[2])
    assert messages.sync_messages() - part == set()
    assert {text for text in part if text.startswith("cio: ")} - messages.sync_messages() == set()


def test_notices_of_scans_have_an_entry() -> None:
    assert messages.notices() - shown(PAGE.read_text()) == set()


def test_the_sources_are_read() -> None:
    """A reader that finds nothing would find nothing missing."""
    assert {'invalid option "…" for a …'} <= messages.python_messages()["OptionNameError"]
    assert "cio_fdw could not start Python: …" in messages.host_messages()
    assert {
        "cio: … is not a mirror",
        "cio: bucket must be at least a minute, and without months",
    } <= messages.sync_messages()
    assert len(messages.notices()) >= 4
