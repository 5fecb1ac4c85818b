"""``POST /upload``: the files of a form become originals and jobs.

The answer is 201 when all files are stored and queued, 207 when some are (``success`` is then false, and every
entry of ``data.jobs`` has its ``status`` or its ``problem``), and the first problem, with its status, when none is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio
from aiohttp import hdrs, web

from thumbq.errors import UploadRefused
from thumbq.web import problems
from thumbq.web.jobs import job_url, queued_renditions
from thumbq.web.parts import EXAMPLE, FIELD, FileParts, request_too_large
from thumbq.web.problems import HttpProblem, ProblemRaised
from thumbq.web.services import SERVICES, UPLOAD_SLOTS

if TYPE_CHECKING:
    from thumbq.intake import Accepted, Intake
    from thumbq.web.services import WebServices

_BUSY_RETRY_AFTER_S: Final = 1
_NAMES_SHOWN: Final = 5
_NAME_CHARS_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class _Refused:
    filename: str | None
    problem: HttpProblem


@dataclass(slots=True)
class _Batch:
    """What became of the files of one request, in their order."""

    entries: list[Accepted | _Refused] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)


async def upload(request: web.Request) -> web.Response:
    """Take the files of a form in, and answer what became of each."""
    services = request.app[SERVICES]
    if request.content_type != "multipart/form-data":
        text = f"Send multipart/form-data with a part named {FIELD}, for example: {EXAMPLE}"
        raise ProblemRaised(HttpProblem(400, "not-multipart", text))
    if (request.content_length or 0) > services.limits.max_request_bytes:
        raise request_too_large(services.limits)
    slots = request.app[UPLOAD_SLOTS]
    try:
        slots.acquire_nowait()
    except anyio.WouldBlock:
        text = "Too many uploads are running at once. Try again in a moment."
        raise ProblemRaised(HttpProblem(503, "busy", text, retry_after_s=_BUSY_RETRY_AFTER_S)) from None
    try:
        batch = await _take_files(FileParts(request, services.limits), services.intake)
    finally:
        slots.release()
    return _answer(batch, services)


async def _take_files(parts: FileParts, intake: Intake) -> _Batch:
    batch = _Batch(fields=parts.fields)
    outage: HttpProblem | None = None
    while (part := await parts.next()) is not None:
        # While the store or the queue fails, one file's wait for it is enough: the others share its problem.
        problem = part.content if isinstance(part.content, HttpProblem) else outage
        if problem is not None:
            batch.entries.append(_Refused(part.filename, problem))
            continue
        assert isinstance(part.content, bytes)
        try:
            batch.entries.append(await intake.accept(part.content, filename=part.filename))
        except problems.EXPLAINED as error:
            problem = problems.explain(error)
            batch.entries.append(_Refused(part.filename, problem))
            if not isinstance(error, UploadRefused):
                outage = problem
    return batch


def _answer(batch: _Batch, services: WebServices) -> web.Response:
    if not batch.entries:
        raise ProblemRaised(HttpProblem(400, "no-file", _no_file_text(batch.fields)))
    stored = [entry for entry in batch.entries if not isinstance(entry, _Refused)]
    refused = [entry for entry in batch.entries if isinstance(entry, _Refused)]
    data = {"jobs": [_entry_members(entry, services) for entry in batch.entries]}
    if not stored:
        return problems.response(refused[0].problem, data=data)
    headers = {}
    if len(batch.entries) == 1:
        headers[hdrs.LOCATION] = data["jobs"][0]["url"]
    if refused:
        message = f"Stored and queued {len(stored)} of {len(batch.entries)} files; the others say their problem"
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
        "renditions": queued_renditions(services, entry.id),
    }


def _no_file_text(fields: list[str]) -> str:
    if not fields:
        return f"The form is empty; it needs a part named {FIELD}, for example: {EXAMPLE}"
    names = ", ".join(name[:_NAME_CHARS_SHOWN] or "(no name)" for name in fields[:_NAMES_SHOWN])
    more = " and more" if len(fields) > _NAMES_SHOWN else ""
    return f"The form has no part named {FIELD}; it has: {names}{more}. For example: {EXAMPLE}"
