"""``POST /upload``: the files of a form become originals and jobs, as the fields before them say.

The answer is 201 when all files are stored and queued, 207 when some are (``success`` is then false, and every
entry of ``data.jobs`` has its ``status`` or its ``problem``), and the first problem, with its status, when none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from thumbq.errors import UploadRefused
from thumbq.web import problems
from thumbq.web.jobs import job_url, renditions_to_come
from thumbq.web.parts import EXAMPLE, FIELD, FileParts, request_too_large
from thumbq.web.problems import HttpProblem, ProblemRaised
from thumbq.web.services import SERVICES, UPLOADS

if TYPE_CHECKING:
    from thumbq.intake.uploads import Accepted
    from thumbq.web.services import WebServices

_NAMES_SHOWN: Final = 5
_NAME_CHARS_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class _Refused:
    filename: str | None
    problem: HttpProblem


async def upload(request: web.Request) -> web.Response:
    """Take the files of a form in, and answer what became of each."""
    services = request.app[SERVICES]
    if request.content_type != "multipart/form-data":
        text = f"Send multipart/form-data with a part named {FIELD}, for example: {EXAMPLE}"
        raise ProblemRaised(HttpProblem(400, "not-multipart", text))
    if (request.content_length or 0) > services.limits.max_request_bytes:
        raise request_too_large(services.limits)
    uploads = request.app[UPLOADS]
    with uploads.slot():
        files = _Files(FileParts(request, services.limits, uploads, check=services.intake.check), services)
        entries = await files.take_all()
    if not entries:
        raise ProblemRaised(HttpProblem(400, "no-file", _no_file_text(files.other_fields)))
    return _answer(entries, services)


class _Files:
    """Takes the files of one request in, in their order. No more than one is in memory at any time."""

    def __init__(self, parts: FileParts, services: WebServices) -> None:
        self._parts = parts
        self._services = services
        self._outage: HttpProblem | None = None

    @property
    def other_fields(self) -> list[str]:
        return self._parts.fields

    async def take_all(self) -> list[Accepted | _Refused]:
        entries = []
        while (entry := await self._take_next()) is not None:
            entries.append(entry)
        return entries

    async def _take_next(self) -> Accepted | _Refused | None:
        part = await self._parts.next()
        if part is None:
            return None
        if isinstance(part.content, HttpProblem):
            return _Refused(part.filename, part.content)
        if self._outage is not None:
            # While the store or the queue fails, one file's wait for it is enough: the others share its problem.
            return _Refused(part.filename, self._outage)
        try:
            return await self._services.intake.accept(
                part.content,
                filename=part.filename,
                asked=self._parts.asked,
                within_s=self._services.backend_timeout_s,
            )
        except problems.EXPLAINED as error:
            problem = problems.explain(error)
            if not isinstance(error, UploadRefused):
                self._outage = problem
            return _Refused(part.filename, problem)


def _answer(entries: list[Accepted | _Refused], services: WebServices) -> web.Response:
    stored = [entry for entry in entries if not isinstance(entry, _Refused)]
    refused = [entry for entry in entries if isinstance(entry, _Refused)]
    data = {"jobs": [_entry_members(entry, services) for entry in entries]}
    if not stored:
        return problems.response(refused[0].problem, data=data)
    headers = {}
    if len(entries) == 1:
        headers[hdrs.LOCATION] = data["jobs"][0]["url"]
    if refused:
        message = f"Stored and queued {len(stored)} of {len(entries)} parts; the others say their problem"
    elif len(stored) > 1:
        message = f"Successfully uploaded {len(stored)} files and sent {len(stored)} messages"
    else:
        message = "Successfully uploaded file and sent message"
    return web.json_response(
        {"success": not refused, "message": message, "data": data}, status=207 if refused else 201, headers=headers
    )


def _entry_members(entry: Accepted | _Refused, services: WebServices) -> dict[str, Any]:
    if isinstance(entry, _Refused):
        return {"original": {"filename": entry.filename}, "problem": entry.problem.members()}
    assert entry.id is not None
    return {
        "id": entry.id,
        "status": "queued",
        "url": job_url(entry.id),
        "original": {"filename": entry.filename, "bytes": entry.size, "content_type": entry.content_type},
        "renditions": renditions_to_come(services, entry.source.key, entry.presets),
    }


def _no_file_text(fields: list[str]) -> str:
    if not fields:
        return f"The form is empty; it needs a part named {FIELD}, for example: {EXAMPLE}"
    names = ", ".join(name[:_NAME_CHARS_SHOWN] or "(no name)" for name in fields[:_NAMES_SHOWN])
    more = " and more" if len(fields) > _NAMES_SHOWN else ""
    return f"The form has no part named {FIELD}; it has: {names}{more}. For example: {EXAMPLE}"
