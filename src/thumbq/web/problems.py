"""Every error that leaves over HTTP is made here: RFC 9457 problems, with ``success`` and ``message`` besides.

``type`` is ``urn:thumbq:problem:{code}``; the code is stable, and stands as a member of its own too. Everywhere else
an error has a code only: ``STATUSES`` gives each code its HTTP status.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import hdrs, web

from thumbq.errors import (
    BackendError,
    BackendUnavailable,
    BadAnswer,
    KeyNotFree,
    NotSent,
    StoreFull,
    ThumbqError,
    UploadRefused,
)
from thumbq.web.answers import Problem, ProblemAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

CONTENT_TYPE: Final = "application/problem+json"
EVERYWHERE: Final[Mapping[str, str]] = {hdrs.SERVER: "thumbq", "X-Content-Type-Options": "nosniff"}
"""The headers of every answer, also of one that no application has seen."""

BACKEND_RETRY_AFTER_S: Final = 5

STATUSES: Final[Mapping[str, int]] = {
    "bad-host": 400,
    "bad-request": 400,
    "callback-not-allowed": 400,
    "empty-file": 400,
    "field-after-file": 400,
    "field-too-large": 400,
    "form-incomplete": 400,
    "group-not-taken": 400,
    "incomplete-body": 400,
    "invalid-callback-url": 400,
    "invalid-cursor": 400,
    "invalid-field": 400,
    "invalid-idempotency-key": 400,
    "invalid-json": 400,
    "invalid-member": 400,
    "invalid-metadata": 400,
    "invalid-part-head": 400,
    "invalid-query": 400,
    "nested-form": 400,
    "no-boundary": 400,
    "no-file": 400,
    "not-multipart": 400,
    "repeated-field": 400,
    "tenant-not-taken": 400,
    "too-much-metadata": 400,
    "unknown-preset": 400,
    "unknown-priority": 400,
    "unauthorized": 401,
    "cross-site": 403,
    "form-expired": 403,
    "form-not-signed": 403,
    "insufficient-scope": 403,
    "no-dead-letters": 404,
    "no-direct-uploads": 404,
    "no-queue": 404,
    "request-timeout": 408,
    "job-not-ended": 409,
    "no-callback": 409,
    "deleted": 410,
    "upload-stalled": 408,
    "upload-too-slow": 408,
    "upload-under-way": 409,
    "part-head-too-large": 413,
    "too-large": 413,
    "too-many-fields": 413,
    "too-many-files": 413,
    "content-encoding": 415,
    "transfer-encoding": 415,
    "unsupported-format": 415,
    "wrong-host": 421,
    "idempotency-key-reused": 422,
    "rate-limited": 429,
    "internal-error": 500,
    "backend-bad-answer": 502,
    "backend-refused": 503,
    "backend-unavailable": 503,
    "busy": 503,
    "not-alive": 503,
    "not-ready": 503,
    "stopping": 503,
    "insufficient-storage": 507,
}
"""The status of each code, but for those of ``not_found``, ``not_made`` and aiohttp itself.

A code that is missing is a bug.
"""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HttpProblem:
    """One thing that went wrong, for the client: ``detail`` is a sentence that says what to do about it.

    ``cause`` is for the log only: the text of the store or the queue may name hosts and accounts.
    """

    status: int
    code: str
    detail: str
    retry_after_s: int | None = None
    cause: str | None = None

    def document(self) -> Problem:
        """Return the members of RFC 9457, and the code."""
        return Problem(**self._members())

    def answer(self, data: Mapping[str, Any] | None) -> ProblemAnswer:
        """Return the whole answer; ``data`` becomes a member of its own."""
        more: dict[str, Any] = {} if data is None else {"data": dict(data)}
        return ProblemAnswer(**self._members(), success=False, message=self.detail, **more)

    def _members(self) -> dict[str, Any]:
        return {
            "type": f"urn:thumbq:problem:{self.code}",
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }


PROBLEMS: Final = web.ResponseKey("problems", tuple[HttpProblem, ...])
"""All problems of an answer, for the log."""


def problem_of(code: str, detail: str, *, retry_after_s: int | None = None, cause: str | None = None) -> HttpProblem:
    """Return the problem of a code that STATUSES has."""
    return HttpProblem(STATUSES[code], code, detail, retry_after_s, cause)


def not_found(code: str, detail: str, *, retry_after_s: int | None = None) -> HttpProblem:
    """Return the problem of a job or a rendition that is not there, whatever the code means elsewhere."""
    return HttpProblem(HTTPStatus.NOT_FOUND, code, detail, retry_after_s)


def not_made(code: str, detail: str) -> HttpProblem:
    """Return the problem of a picture that a render does not make, whatever the code means elsewhere."""
    return HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, code, detail)


class ProblemRaised(ThumbqError):
    """Ends a handler with a problem as its answer."""

    def __init__(self, problem: HttpProblem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def response(
    problem: HttpProblem, *, data: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a problem as an answer; ``data`` becomes a member of its own."""
    text = json.dumps(problem.answer(data).members())
    answer = web.Response(status=problem.status, text=text, content_type=CONTENT_TYPE)
    answer[PROBLEMS] = (problem,)
    answer.headers.update(headers or {})
    answer.headers[hdrs.CACHE_CONTROL] = "no-store"
    if problem.retry_after_s is not None:
        answer.headers[hdrs.RETRY_AFTER] = str(problem.retry_after_s)
    return answer


INTERNAL_ERROR: Final = problem_of("internal-error", "Something went wrong here; the log says what.")

EXPLAINED: Final = (ProblemRaised, UploadRefused, BackendError)
"""The errors that have a meaning for the client."""


def explain(error: ProblemRaised | UploadRefused | BackendError) -> HttpProblem:
    """Return the problem of an error."""
    if isinstance(error, ProblemRaised):
        return error.problem
    if isinstance(error, UploadRefused):
        return problem_of(error.code, error.text)
    retry_after_s, cause = BACKEND_RETRY_AFTER_S, str(error)
    if isinstance(error, BadAnswer):
        text = "The store or the queue gave no answer that can be read. Try again later."
        return problem_of("backend-bad-answer", text, retry_after_s=retry_after_s, cause=cause)
    if isinstance(error, StoreFull):
        text = "There is no room for another upload. Try again once somebody has made some."
        return problem_of("insufficient-storage", text, cause=cause)
    if isinstance(error, BackendUnavailable | NotSent):
        text = "The store or the queue cannot be reached now. Try again in a moment."
        return problem_of("backend-unavailable", text, retry_after_s=retry_after_s, cause=cause)
    text = "The store or the queue refused the request. Try again later."
    return problem_of("backend-refused", text, retry_after_s=retry_after_s, cause=cause)


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error of a handler into a problem."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return from_aiohttp(error)
    except EXPLAINED as error:
        return response(explain(error))
    except KeyNotFree as error:
        return response(problem_of(error.code, error.text, retry_after_s=error.retry_after_s))
    except Exception:  # a bug in one handler: the client gets an answer all the same, and the log all of it
        log.exception("request.failed", method=request.method, path=request.rel_url.raw_path)
        return response(INTERNAL_ERROR)


_DETAILS: Final = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; the header Allow says which it takes.",
    HTTPStatus.EXPECTATION_FAILED: "The only expectation that is met here is 100-continue.",
}


def from_aiohttp(error: web.HTTPException) -> web.Response:
    """Return an error of aiohttp's own as a problem; its code is the name of its status."""
    status = HTTPStatus(error.status)
    code = status.phrase.lower().replace(" ", "-")
    allow: dict[str, str] = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return response(
        HttpProblem(status, code, _DETAILS.get(status, f"{status.description or status.phrase}.")), headers=allow
    )
