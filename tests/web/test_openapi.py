"""The OpenAPI document: it is valid, the same everywhere, and has all that the service answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from thumbq.web.openapi import make_document, problem_codes
from thumbq.web.problems import STATUSES
from thumbq.web.routes import ROUTES

if TYPE_CHECKING:
    from support.servers.web import Served

CHECKED_IN: Final = Path(__file__).parents[2] / "deploy" / "openapi.json"


def test_the_document_is_valid() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - slow to import, in each worker

    OpenAPIV31SpecValidator(json.loads(make_document(ROUTES))).validate()


async def test_it_is_served_as_it_is_checked_in(served: Served) -> None:
    async with served.http.get("/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.text() == CHECKED_IN.read_text(), (
            "run: python -c 'from thumbq.web import openapi, routes;"
            ' print(openapi.make_document(routes.ROUTES), end="")\' > deploy/openapi.json'
        )


def test_every_problem_is_one_of_a_route() -> None:
    told = {code for route in ROUTES for codes in problem_codes(route).values() for code in codes}
    assert told >= STATUSES.keys()


def test_clients_can_be_generated_of_it() -> None:
    document = json.loads(make_document(ROUTES))
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {tag for operation in operations for tag in operation["tags"]} == {"uploads", "jobs", "service"}
    # Forms and queries have no null, and a job's members are absent rather than null.
    parameters = [parameter for operation in operations for parameter in operation.get("parameters", ())]
    schemas = document["components"]["schemas"]
    assert "null" not in json.dumps([parameters, schemas["UploadForm"], schemas["Job"], schemas["Rendition"]])


def test_what_it_says_of_values_is_json_schema() -> None:
    """A constraint under a name of pydantic's own would be read by nobody."""
    text = make_document(ROUTES)
    assert not re.findall(r'"(?:ge|gt|le|lt|min_length|max_length|multiple_of)": [^{]', text)
    [limit] = [each for each in json.loads(text)["paths"]["/jobs"]["get"]["parameters"] if each["name"] == "limit"]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 100)


def test_its_examples_are_as_it_says() -> None:
    document = json.loads(make_document(ROUTES))
    schemas = [*document["components"]["schemas"].values()]
    schemas += [
        parameter["schema"]
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
    ]
    examples = [(schema, example) for schema in schemas for example in schema.get("examples", ())]
    assert examples
    for schema, example in examples:
        Draft202012Validator({**schema, "components": document["components"]}).validate(example)


def test_it_names_the_public_address() -> None:
    assert json.loads(make_document(ROUTES))["servers"] == [{"url": "/"}]
    base = "https://pictures.example.com/thumbs"
    assert json.loads(make_document(ROUTES, base))["servers"] == [{"url": base}]
