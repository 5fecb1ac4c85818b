"""The answer to an upload: what became of each of its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import hdrs

from thumbq.core import jobmetadata
from thumbq.core.jobdocument import Job, Original
from thumbq.jobdocuments import JobState, future_renditions, job_document
from thumbq.ports import ObjectInfo
from thumbq.web import idempotency, preferences, problems
from thumbq.web.answers import RefusedFile, UnnamedFile, UploadAnswer, UploadedFiles
from thumbq.web.jobs import gone
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from thumbq.intake.uploads import Accepted
    from thumbq.web.problems import HttpProblem
    from thumbq.web.services import WebServices

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not stored."""

    filename: str | None
    problem: HttpProblem


async def answer(request: web.Request, entries: Sequence[Accepted | Refused], *, replayed: bool) -> web.Response:
    """Return the answer to an upload: when its jobs have ended, if the client likes to wait for that.

    One that is ``replayed`` says so.
    """
    services = request.app[SERVICES]
    stored = [entry for entry in entries if not isinstance(entry, Refused)]
    refused = [entry for entry in entries if isinstance(entry, Refused)]
    headers, states = await _wait(request, stored)
    headers |= idempotency.replayed(replayed=replayed)
    jobs = [_entry(entry, services, states) for entry in entries]
    told = tuple(entry.problem for entry in refused)
    if not stored:
        response = problems.response(told[0], data={"jobs": [job.members() for job in jobs]})
        response[problems.PROBLEMS] = told
        return response
    if len(entries) == 1:
        headers[hdrs.LOCATION] = services.links.job(_id(stored[0]))
    if refused:
        message = f"Stored and queued {len(stored)} of {len(entries)} parts; the others say their problem"
    elif len(stored) > 1:
        message = f"Successfully uploaded {len(stored)} files and sent {len(stored)} messages"
    else:
        message = "Successfully uploaded file and sent message"
    uploaded = UploadAnswer(success=not refused, message=message, data=UploadedFiles(jobs=jobs))
    response = uploaded.response(207 if refused else 201, headers)
    response[problems.PROBLEMS] = told
    return response


def _entry(entry: Accepted | Refused, services: WebServices, states: Mapping[str, JobState]) -> Job | RefusedFile:
    if isinstance(entry, Refused):
        return RefusedFile(original=UnnamedFile(filename=entry.filename), problem=entry.problem.document())
    if (state := states.get(_id(entry))) is not None and not state.deleted:
        return job_document(_id(entry), state, services.catalog, services.links)
    metadata = jobmetadata.decode(entry.metadata)
    more: dict[str, Any] = {} if metadata is None else {"metadata": metadata}
    return Job(
        id=_id(entry),
        status="queued",
        url=services.links.job(_id(entry)),
        original=Original(filename=entry.filename, bytes=entry.size, content_type=entry.content_type),
        renditions=future_renditions(services.catalog, services.links, entry.source.key, entry.presets),
        **more,
    )


def _id(entry: Accepted) -> str:
    assert entry.id is not None, "an upload over HTTP gets a new id"
    return entry.id


async def _wait(request: web.Request, stored: Sequence[Accepted]) -> tuple[dict[str, str], Mapping[str, JobState]]:
    """Wait for the jobs to end if the client likes to; return what holds, and the states."""
    services, seconds = request.app[SERVICES], preferences.wait_s(request)
    if seconds is None or not stored or services.waiters.full:
        return {}, {}
    try:
        states = await services.waiters.wait(
            {_id(entry): _queued(entry) for entry in stored},
            lambda states: all(state.has_ended for state in states.values()),
            within_s=seconds,
            gone=gone(request),
        )
    except Exception:  # a bug: the upload is done nonetheless, and an error would have it sent again
        log.exception("upload.bug")
        return {}, {}
    return preferences.applied(seconds), states


def _queued(entry: Accepted) -> JobState:
    """Return the state of a job that was just queued."""
    return JobState(
        entry.source.key,
        replaceable=False,
        original=ObjectInfo(entry.size, "", entry.content_type, entry.metadata),
    )
