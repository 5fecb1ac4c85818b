"""The OpenAPI document: it is valid, the same everywhere, and has all that the service answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openapi_spec_validator import OpenAPIV31SpecValidator

from thumbq.web.openapi import make_document, problem_codes
from thumbq.web.problems import STATUSES
from thumbq.web.routes import ROUTES

if TYPE_CHECKING:
    from support.servers.web import Served

CHECKED_IN: Final = Path(__file__).parents[2] / "deploy" / "openapi.json"


def test_the_document_is_valid() -> None:
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
