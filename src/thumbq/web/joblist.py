"""``GET /jobs``: those that are named, or a page of all, the newest first.

A page is read from listings of originals, so that any replica can go on where another has ended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from aiohttp import hdrs
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from yarl import URL

from thumbq.core import keys
from thumbq.core.jobdocument import Absent
from thumbq.jobdocuments import job_document
from thumbq.web.answers import JobsAnswer, JobsFound
from thumbq.web.jobs import answer_when_new
from thumbq.web.newest import newest
from thumbq.web.problems import ProblemRaised, problem_of
from thumbq.web.queries import query_of
from thumbq.web.services import SERVICES, in_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from aiohttp import web

    from thumbq.core.jobdocument import Job
    from thumbq.jobdocuments import JobState
    from thumbq.web.services import WebServices

MAX_IDS: Final = 50
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50


def _spelled(pattern: str, what: str) -> BeforeValidator:
    """Take a text of this pattern only: pydantic alone takes underscores in numbers, and numbers as times."""
    spelling = re.compile(pattern, re.ASCII)

    def check(given: Any) -> Any:
        if isinstance(given, str) and not spelling.fullmatch(given):
            raise PydanticCustomError("spelling", f"Input should be {what}")
        return given

    return BeforeValidator(check)


_NUMBER: Final = _spelled(r"\d{1,9}", "a number")
_TIME: Final = _spelled(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", "a time with its offset (RFC 3339)"
)


class JobsQuery(BaseModel):
    """Which jobs are asked for: those with these ids, or a page of all."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[tuple[str, ...], Field(description="Ids of jobs.", max_length=MAX_IDS)] = ()
    limit: Annotated[int, Field(description="How many jobs a page has.", ge=1, le=MAX_PAGE), _NUMBER] = DEFAULT_PAGE
    cursor: Annotated[str | Absent, Field(description="`next` of the page before.")] = None
    before: Annotated[
        AwareDatetime | Absent, _TIME, Field(description="Only jobs that were uploaded before this time, RFC 3339.")
    ] = None


async def get_jobs(request: web.Request) -> web.Response:
    """Answer the jobs that the query names, or a page of all."""
    query = _query(request)
    return await (_named(request, tuple(dict.fromkeys(query.id))) if query.id else _page(request, query))


def _query(request: web.Request) -> JobsQuery:
    asked = query_of(request)
    given = {name: asked[name] for name in ("limit", "cursor", "before") if name in asked}
    for name in given:
        if len(asked.getall(name)) > 1:
            raise _wrong(f"{name} is there twice")
    ids = tuple(asked.getall("id", ()))
    if ids and given:
        raise _wrong("id names single jobs: leave out limit, cursor and before")
    try:
        return JobsQuery.model_validate({"id": ids, **given})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise _wrong(f"{fault['loc'][0]}: {fault['msg']}") from None


async def _named(request: web.Request, asked: Sequence[str]) -> web.Response:
    services = request.app[SERVICES]
    with in_time(services):
        all_found = await services.states.find_all(filter(keys.is_id, asked))
    found = {job_id: state for job_id, state in all_found.items() if not state.deleted}

    def answer(states: Mapping[str, JobState]) -> JobsAnswer:
        jobs = _documents(services, states)
        unknown = [text for text in asked if text not in states or states[text].deleted]
        message = f"Found {len(jobs)} of {len(asked)} jobs"
        return JobsAnswer(success=True, message=message, data=JobsFound(jobs=jobs, unknown=unknown))

    return await answer_when_new(request, found, answer)


async def _page(request: web.Request, query: JobsQuery) -> web.Response:
    services, after = request.app[SERVICES], _after(query)
    with in_time(services):
        originals = await newest(services.backend, after=after, limit=query.limit + 1)
        states = await services.states.read_all(originals[: query.limit])
    jobs = _documents(services, states)
    message = f"The {len(jobs)} newest jobs" if not after else f"{len(jobs)} more jobs"
    if len(originals) <= query.limit:
        return JobsAnswer(success=True, message=message, data=JobsFound(jobs=jobs)).response()
    cursor = keys.upload_id(originals[query.limit - 1])
    link = URL(services.links.jobs()).with_query({"limit": str(query.limit), "cursor": cursor or ""})
    return JobsAnswer(success=True, message=message, data=JobsFound(jobs=jobs, next=cursor)).response(
        headers={hdrs.LINK: f'<{link}>; rel="next"'}
    )


def _after(query: JobsQuery) -> str:
    """Return the id behind which a page begins; "" for all."""
    if query.cursor is not None and not keys.is_id(query.cursor):
        raise ProblemRaised(problem_of("invalid-cursor", "The cursor is none of a page: begin without one."))
    return max(query.cursor or "", "" if query.before is None else keys.last_id_at(_ms(query.before)))


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _documents(services: WebServices, states: Mapping[str, JobState]) -> list[Job]:
    return [
        job_document(job_id, state, services.catalog, services.links)
        for job_id, state in states.items()
        if not state.deleted
    ]


def _wrong(reason: str) -> ProblemRaised:
    return ProblemRaised(problem_of("invalid-query", f"The query is wrong: {reason}."))
