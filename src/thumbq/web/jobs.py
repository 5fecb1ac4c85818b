"""``GET /jobs/{id}``: the state of a job. Any replica can answer: it is read from the store. And its end by DELETE.

With ``Prefer: wait=N`` the answer is held while nothing differs from ``If-None-Match``, or, without one, while no job
has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from thumbq.core import keys
from thumbq.core.jobdocument import Absent
from thumbq.jobdocuments import job_document
from thumbq.web import preferences
from thumbq.web.answers import JobAnswer
from thumbq.web.connection import Connection
from thumbq.web.preferences import PreferHeaders
from thumbq.web.problems import ProblemRaised, not_found, problem_of
from thumbq.web.services import SERVICES, in_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thumbq.jobdocuments import JobState
    from thumbq.web.answers import Answer


class MatchHeaders(BaseModel):
    """The headers of a request about what the client may have already."""

    if_none_match: Annotated[
        str | Absent, Field(alias=hdrs.IF_NONE_MATCH, description="`ETag` of what the client has.")
    ] = None


class NewsHeaders(PreferHeaders, MatchHeaders):
    """The headers of a request that may wait until the answer is another one."""


async def get_job(request: web.Request) -> web.Response:
    """Answer the state of a job: awaiting-upload, expired, queued, done or failed."""
    services, job_id = request.app[SERVICES], job_id_of(request)
    with in_time(services):
        state = await services.states.find(job_id, with_original=True)
    if state is None:
        raise no_job()

    def answer(states: Mapping[str, JobState]) -> JobAnswer:
        if states[job_id].deleted:
            raise deleted()
        job = job_document(job_id, states[job_id], services.catalog, services.links)
        return JobAnswer(success=True, message=f"The job is {job.status}", data=job)

    return await answer_when_new(request, {job_id: state}, answer)


async def delete_job(request: web.Request) -> web.Response:
    """Delete a job, whatever its state; 204, also when it was deleted before."""
    services, job_id = request.app[SERVICES], job_id_of(request)
    structlog.contextvars.bind_contextvars(job_id=job_id)
    try:
        with in_time(services):
            was_there = await services.deleter.delete(job_id)
    finally:
        services.states.forget(job_id)
        services.waiters.has_ended(job_id)
    if not was_there:
        raise no_job()
    return web.Response(status=204)


async def answer_when_new(
    request: web.Request, states: Mapping[str, JobState], answer: Callable[[Mapping[str, JobState]], Answer]
) -> web.Response:
    """Answer the states of jobs, at once or when there is news of them."""
    services = request.app[SERVICES]
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache"}

    def is_news(now: Mapping[str, JobState]) -> bool:
        if request.if_none_match:
            return not _is_known(request, answer(now))
        return any(state.has_ended for state in now.values()) or not now

    seconds = preferences.wait_s(request)
    if seconds is not None and not services.waiters.full:
        headers |= preferences.applied(seconds)
        states = await services.waiters.wait(states, is_news, within_s=seconds, gone=gone(request))
    made = answer(states)
    headers[hdrs.ETAG] = f'"{made.etag}"'
    if _is_known(request, made):
        return web.Response(status=304, headers=headers)
    return made.response(headers=headers)


def _is_known(request: web.Request, answer: Answer) -> bool:
    return any(etag.value in {answer.etag, "*"} for etag in request.if_none_match or ())


def gone(request: web.Request) -> Callable[[], bool]:
    """Return what says whether a request's client has gone away, or has closed its direction at least."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    return lambda: connection.client_closed


def job_id_of(request: web.Request) -> str:
    """Return the id of the job that a request is about. Raises ProblemRaised for what is none."""
    job_id = request.match_info["id"]
    if not keys.is_id(job_id):
        raise no_job()
    return job_id


def deleted() -> ProblemRaised:
    """Return the problem of a job that was deleted."""
    return ProblemRaised(problem_of("deleted", "The job was deleted."))


def no_job() -> ProblemRaised:
    """Return the problem of an id that no job has."""
    return ProblemRaised(not_found("no-job", "There is no job with this id."))
