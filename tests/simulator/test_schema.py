"""Every response of every route fits the schemas of the API's description.

The description is found through CIO_API_SPEC (a path of app-api.yaml); it is not part of this repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from cio_fdw.catalog import ENDPOINTS

SPEC = os.environ.get("CIO_API_SPEC", "")
pytestmark = pytest.mark.skipif(not SPEC, reason="CIO_API_SPEC does not name app-api.yaml: schemas are not checked")
UNDECLARED = {"transactional_message_id", "trigger_name", "conditions"}
"""Keys that were seen in answers and are not in the description (OBSERVED.md)."""
NULL_LISTS = {"identifiers", "ids", "collections"}
"""Lists that were seen to be null when they are empty, which the description does not say (OBSERVED.md)."""


@pytest.fixture(scope="session")
def spec():
    return yaml.safe_load(Path(SPEC).read_text(encoding="utf-8"))


def validator(spec, schema) -> Draft202012Validator:
    return Draft202012Validator({"components": spec["components"], **schema})


def response_schema(spec, path: str, status: str):
    """The schema of a path's answer; names of holes do not matter."""
    shape = re.sub(r"{\w+}", "{}", path)
    operation = next(item["get"] for name, item in spec["paths"].items() if re.sub(r"{\w+}", "{}", name) == shape)
    response = operation["responses"][status]
    if "$ref" in response:
        response = spec["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response["content"]["application/json"]["schema"]


def check(spec, schema, response) -> None:
    body = {key: value for key, value in response.json().items() if value is not None or key not in NULL_LISTS}
    errors = [error.message for error in validator(spec, schema).iter_errors(body)]
    assert errors == []


def bodies(api, get, endpoint):
    """Each page of the list; of a child those of the first twenty parents."""
    paths = [endpoint.path]
    if endpoint.parent:
        keys = [row[endpoint.parent.key] for row in api.data(endpoint.parent.endpoint)[:20]]
        paths = [endpoint.path.format(**{endpoint.parent.column: key}) for key in keys]
    for path in paths:
        params = dict(endpoint.fixed_params)
        while True:
            response = get(path, **params)
            yield response
            following = response.json().get("next")
            if not following:
                break
            params = {"limit": 1000, **params, "start": following}


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_lists_fit_their_schema(spec, api, get, name):
    endpoint = ENDPOINTS[name]
    schema = response_schema(spec, endpoint.path, "200")
    for response in bodies(api, get, endpoint):
        check(spec, schema, response)


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_rows_have_no_key_that_the_description_lacks(spec, api, name):
    schema = response_schema(spec, ENDPOINTS[name].path, "200")["properties"][ENDPOINTS[name].rows_key]["items"]
    if "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    assert {key for row in api.data(name) for key in row} <= set(schema["properties"]) | UNDECLARED


def test_activity_types_are_declared(spec, api):
    schema = validator(spec, spec["components"]["schemas"]["ActivityType"])
    assert [kind for kind in {row["type"] for row in api.data("activities")} if not schema.is_valid(kind)] == []


@pytest.mark.parametrize("name", sorted(name for name in ENDPOINTS if ENDPOINTS[name].one_row))
def test_single_reads_fit_their_schema(spec, api, get, name):
    path = f"{ENDPOINTS[name].path}/{{key}}"
    for row in api.data(name)[:50]:
        response = get(path.replace("{key}", str(row[ENDPOINTS[name].key[0]])))
        check(spec, response_schema(spec, path, "200"), response)
    check(spec, response_schema(spec, path, "404"), get(path.replace("{key}", "99999999")))


def test_errors_fit_their_schema(spec, api, get, session):
    schema = {"$ref": "#/components/schemas/Errors"}
    assert get("/v1/messages", start="x").status_code == 400
    check(spec, schema, get("/v1/messages", start="x"))
    api.set_rate(1)
    get("/v1/messages")
    limited = get("/v1/messages")
    assert limited.status_code == 429
    check(spec, schema, limited)
    api.set_rate(0)
    session.headers["Authorization"] = "Bearer wrong"
    check(spec, schema, get("/v1/messages"))


def test_a_body_that_does_not_fit_is_noticed(spec):
    schema = response_schema(spec, "/v1/messages", "200")
    assert list(validator(spec, schema).iter_errors({"messages": [{"created": "yesterday"}]}))
