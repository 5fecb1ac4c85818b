"""The OpenAPI 3.1 document of the table of routes: ``GET /openapi.json``."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from thumbq.core.jobdocument import Document, JobId
from thumbq.core.outcome import Outcome
from thumbq.core.token import Scope
from thumbq.web.answers import ProblemAnswer
from thumbq.web.door import SAFE, SIGNED_PATH
from thumbq.web.problems import CONTENT_TYPE, STATUSES
from thumbq.web.route import ANY, JSON, OF_ACCESS, OF_RATE, Body
from thumbq.web.services import HEALTH_PATHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core.core_schema import WithDefaultSchema

    from thumbq.web.route import Route

_REF: Final = "#/components/schemas/"
_FILE: Final = {"type": "string", "format": "binary"}
_PATH_TYPES: Final = {"id": JobId}
_TOKEN: Final = "token"  # noqa: S105 - the name of the security scheme
_ABOUT_TOKENS: Final = "One of the named scopes is enough. A service that is open asks for no token."
_CALLBACK_HEADERS: Final = {
    "webhook-id": "The same one at each call about one outcome.",
    "webhook-timestamp": "When the call was made, in seconds since 1970.",
    "webhook-signature": "`v1,` and a signature of id, time-stamp and body, one for each secret with spaces between.",
}
_INFO: Final = {
    "title": "thumbq",
    "version": "1",
    "summary": "Image uploads in, thumbnails out.",
    "license": {"name": "MIT", "identifier": "MIT"},
}


_TAGS: Final = {"upload": "uploads", "uploads": "uploads", "inbox": "uploads", "jobs": "jobs"}
"""The tag of an operation, by the first segment of its path: generators of clients make a module or a class of each."""
_TAG_OF_OTHERS: Final = "service"


class _Schemas(GenerateJsonSchema):
    """Makes schemas that clients can be generated of: no titles that repeat names, and no defaults that say nothing."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made


@dataclass(frozen=True, slots=True)
class OpenApi:
    """The OpenAPI document of an application's routes, made when it is first asked for."""

    make: Callable[[], str]


OPENAPI: Final = web.AppKey("openapi", OpenApi)


async def get_document(request: web.Request) -> web.Response:
    """Answer the document."""
    text = request.app[OPENAPI].make()
    return web.Response(text=text, content_type=JSON, headers={hdrs.CACHE_CONTROL: "no-cache"})


def make_document(routes: Sequence[Route], base: str = "") -> str:
    """Return the document of these routes, as JSON for people too. ``base`` is their address; "" where it is served."""
    routes = [route for route in routes if not route.file_of_page]
    _, schemas = models_json_schema(
        [(model, _mode(model)) for model in _models(routes)],
        ref_template=_REF + "{model}",
        schema_generator=_Schemas,
    )
    paths: dict[str, Any] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "webhooks": {f"job.{status}": _callback(status) for status in ("done", "failed")},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer", "description": _ABOUT_TOKENS}},
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _models(routes: Iterable[Route]) -> Iterator[type[BaseModel]]:
    yield ProblemAnswer
    yield Outcome
    for route in routes:
        for body in (route.body, *(body for _, body in route.answers.values())):
            if body is not None and body.model is not None:
                yield body.model


def _mode(model: type[BaseModel]) -> Any:
    return "serialization" if issubclass(model, Document) else "validation"


def _operation(route: Route) -> dict[str, Any]:
    parameters = [*_path_parameters(route), *_parameters(route.query, "query"), *_parameters(route.headers, "header")]
    tag = _TAGS.get(route.path.split("/")[1], _TAG_OF_OTHERS)
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "tags": [tag]}
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    operation["responses"] = _answers(route) | _problems(route)
    operation["security"] = [{_TOKEN: [scope]} for scope in Scope if scope in {*route.scopes, route.scope_by_id}]
    return operation


def _callback(status: str) -> dict[str, Any]:
    """Describe a callback: a request that this service makes, by the specification of Standard Webhooks."""
    schema = {"type": "string"}
    return {
        "post": {
            "operationId": f"job_{status}",
            "summary": f"A job is {status}.",
            "parameters": [
                {"name": name, "in": "header", "required": True, "description": text, "schema": schema}
                for name, text in _CALLBACK_HEADERS.items()
            ],
            "requestBody": {"required": True, "content": _content(Body(JSON, Outcome))},
            "responses": {
                "2XX": {"description": "It is taken."},
                "410": {"description": "It is not wanted, and does not come again."},
                "default": {"description": "It comes again."},
            },
            "security": [],
        }
    }


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name, description in route.parameters.items():
        schema = TypeAdapter(_PATH_TYPES.get(name, str)).json_schema()
        schema.pop("description", None)
        yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _parameters(model: type[BaseModel] | None, place: str) -> Iterator[dict[str, Any]]:
    if model is None:
        return
    schema = model.model_json_schema(schema_generator=_Schemas)
    for name, member in schema["properties"].items():
        description = member.pop("description", "")
        required = name in schema.get("required", ())
        style = {"style": "deepObject", "explode": True} if _is_object(member) else {}
        yield {"name": name, "in": place, "required": required, "description": description, "schema": member} | style


def _is_object(member: Mapping[str, Any]) -> bool:
    return any(one.get("type") == "object" for one in member.get("anyOf", [member]))


def _answers(route: Route) -> dict[str, Any]:
    return {
        str(status): {"description": text} | ({} if body is None else {"content": _content(body)})
        for status, (text, body) in sorted(route.answers.items())
    }


def _content(body: Body) -> dict[str, Any]:
    if body.model is not None:
        schema: Mapping[str, Any] = {"$ref": f"{_REF}{body.model.__name__}"}
    else:
        schema = {"type": "object"} if body.media_type == JSON else _FILE
    return {body.media_type: {"schema": schema}}


def problem_codes(route: Route) -> dict[int, list[str]]:
    """Return the codes of what may go wrong, by their statuses."""
    codes: dict[int, list[str]] = defaultdict(list)
    from_a_page = ("cross-site",) if route.method not in SAFE and route.path != SIGNED_PATH else ()
    access, rate = OF_ACCESS if route.scopes else (), () if route.path in HEALTH_PATHS else OF_RATE
    for code in (*ANY, *from_a_page, *access, *rate, *route.problems):
        codes[STATUSES[code]].append(code)
    if route.missing:
        codes[HTTPStatus.NOT_FOUND] += route.missing
    if route.unmade:
        codes[HTTPStatus.UNPROCESSABLE_ENTITY] += route.unmade
    codes[HTTPStatus.EXPECTATION_FAILED].append("expectation-failed")
    return codes


def _problems(route: Route) -> dict[str, Any]:
    return {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in sorted(codes)),
            "content": {CONTENT_TYPE: {"schema": {"$ref": f"{_REF}{ProblemAnswer.__name__}"}}},
        }
        for status, codes in sorted(problem_codes(route).items())
    }
