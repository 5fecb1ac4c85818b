"""``PUT /upload/{filename}``: the body is a file, the fields are in the query. Answers are as those of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from thumbq.errors import UploadRefused
from thumbq.web import fields, idempotency, problems
from thumbq.web.bodies import invite, read_whole, running
from thumbq.web.fields import Fields
from thumbq.web.filetaker import taking_files, too_large
from thumbq.web.problems import ProblemRaised, problem_of
from thumbq.web.queries import query_of
from thumbq.web.services import SERVICES
from thumbq.web.uploadanswer import answer

if TYPE_CHECKING:
    from aiohttp import web

    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.web.filetaker import FileTaker
    from thumbq.web.problems import HttpProblem

_BROKEN: Final = "The body ends early or is damaged; nothing of it is stored."


async def put_upload(request: web.Request) -> web.Response:
    """Take the file that the body is, and answer what became of it."""
    # As in a form: what is no UTF-8 is a replacement character. In aiohttp's own it stays escaped.
    key, filename = idempotency.key_of(request), unquote(request.rel_url.raw_name)
    async with taking_files(request.app[SERVICES], key) as taker:
        try:
            entry = await taker.take(filename, await _read(request, taker))
        except (UploadRefused, ProblemRaised) as error:
            entry = await taker.refuse(filename, problems.explain(error))
    return await answer(request, [entry], replayed=taker.replayed)


async def _read(request: web.Request, taker: FileTaker) -> bytes | HttpProblem:
    taker.use(_options(request))
    limit = request.app[SERVICES].limits.max_file_bytes
    if (request.content_length or 0) > limit:
        return too_large(limit)
    with running(request) as upload:
        await invite(request)
        content = await read_whole(request, upload, max_bytes=limit, what="upload", if_broken=_BROKEN)
    return too_large(limit) if content is None else content


def _options(request: web.Request) -> UploadOptions:
    found = Fields()
    for name, text in query_of(request).items():
        if not fields.is_option(name):
            there_are = f"there are {fields.NAMES_FOR_PEOPLE}"
            raise ProblemRaised(problem_of("invalid-query", f'There is no field "{name[:100]}"; {there_are}.'))
        content = text.encode()
        found.add(name, content if len(content) <= fields.MAX_FIELD_BYTES else None, "utf-8")
    return found.options()
