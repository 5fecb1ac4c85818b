"""``POST /try``: a picture as a preset would make it that is none yet. Nothing of it is stored."""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from aiohttp import hdrs, web
from pydantic import ValidationError

from thumbq.core.fairness import BEHIND_ALL
from thumbq.core.preset import Preset
from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable
from thumbq.web.bodies import invite, read_whole, running
from thumbq.web.filetaker import too_large
from thumbq.web.problems import ProblemRaised, not_made, problem_of
from thumbq.web.queries import query_of
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    from thumbq.ports import Rendered, Renderer, RenderSource
    from thumbq.web.admission import RunningUpload

UNMADE: Final = (
    *("unsupported-format", "too-large", "too-many-frames", "too-many-scans", "truncated", "corrupt"),
    *("decode-timeout", "out-of-memory", "render-crashed"),
)
"""Why there may be no rendition; a job would fail with the same codes."""

_RETRY_AFTER_S: Final = 1
_BROKEN: Final = "The body ends early or is damaged."
_NOT_ASKED: Final = frozenset({"name", "key"})
_TWICE: Final = "focal_point"
_NO_VALUE: Final = frozenset("_ \t")  # pydantic takes these in numbers, and no option has any


class TryQuery(Preset):
    """The options of a preset as parameters of a query: it has no name, and what is left out is not null.

    Clients are told no defaults: generated ones would send them, and an option that would do nothing is refused.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema, for the document."""
        schema = handler.resolve_ref_schema(handler(core))
        members = {name: member for name, member in schema["properties"].items() if name not in _NOT_ASKED}
        for member in members.values():
            member.pop("default", None)
            for arm in member.pop("anyOf", ()):
                member.update({} if arm["type"] == "null" else arm)
        return {**schema, "properties": members, "required": []}


class Tries:
    """The tries of a replica: one at a time, by the same processes as jobs and behind all of them."""

    def __init__(self) -> None:
        self._renderer: Renderer | None = None
        self._one_runs = False

    def use(self, renderer: Renderer) -> None:
        """Render by this from now on."""
        self._renderer = renderer

    @contextmanager
    def one(self) -> Iterator[Renderer]:
        """Have the only try. Raises ProblemRaised when there is one, or no process yet."""
        if self._one_runs or self._renderer is None:
            raise _busy("Another try runs on this replica.")
        self._one_runs = True
        try:
            yield self._renderer
        finally:
            self._one_runs = False


TRIES: Final = web.AppKey("tries", Tries)


async def try_preset(request: web.Request) -> web.Response:
    """Answer the rendition of the picture that the body is."""
    preset = _preset(request)
    with request.app[TRIES].one() as renderer, renderer.source() as source, running(request) as upload:
        await _read(request, upload, source)
        rendered = await _rendered(renderer, source, preset, wait_s=request.app[SERVICES].backend_timeout_s)
    [image] = rendered.images
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store"}
    if rendered.cpu_s is not None:
        headers["Server-Timing"] = f"cpu;dur={1000 * rendered.cpu_s:.1f}"
    return web.Response(body=image.body, content_type=image.content_type, headers=headers)


async def _read(request: web.Request, upload: RunningUpload, source: RenderSource) -> None:
    limit = request.app[SERVICES].limits.max_file_bytes
    if (request.content_length or 0) > limit:
        raise ProblemRaised(too_large(limit))
    await invite(request)
    content = await read_whole(request, upload, max_bytes=limit, what="picture", if_broken=_BROKEN)
    if content is None:
        raise ProblemRaised(too_large(limit))
    source.write(content)


async def _rendered(renderer: Renderer, source: RenderSource, preset: Preset, *, wait_s: float) -> Rendered:
    """Render. Raises ProblemRaised, also when jobs have all processes for ``wait_s`` seconds."""
    try:
        async with AsyncExitStack() as stack:
            with anyio.move_on_after(wait_s) as wait:
                process = await stack.enter_async_context(renderer.acquire(BEHIND_ALL))
            if wait.cancelled_caught:
                raise _busy("Jobs have all render processes.")
            return await process.render(source, [preset])
    except (RenderRefused, RenderKilled) as error:
        raise ProblemRaised(not_made(error.code, error.text)) from None
    except RenderUnavailable:
        raise _busy("There is no render process at the moment.") from None


def _preset(request: web.Request) -> Preset:
    given: dict[str, Any] = {}
    asked = query_of(request)
    for name in dict.fromkeys(asked):
        values = asked.getall(name)
        if name in _NOT_ASKED or name not in Preset.model_fields:
            raise _wrong(f'there is no option "{name[:100]}"')
        if len(values) > 1 and name != _TWICE:
            raise _wrong(f"{name} is there twice")
        if any(_NO_VALUE & set(value) for value in values):
            raise _wrong(f"{name} has no such value")
        given[name] = values if name == _TWICE else values[0]
    try:
        return Preset.model_validate({"name": "try", **given}, strict=False)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in fault["loc"][:1])
        raise _wrong(f"{where}{fault['msg'].removeprefix('Value error, ')}") from None


def _busy(why: str) -> ProblemRaised:
    return ProblemRaised(problem_of("busy", f"{why} Try again in a moment.", retry_after_s=_RETRY_AFTER_S))


def _wrong(reason: str) -> ProblemRaised:
    return ProblemRaised(problem_of("invalid-query", f"The query is wrong: {reason}."))
