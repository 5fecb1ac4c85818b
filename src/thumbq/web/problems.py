"""Every error that leaves over HTTP is made here: RFC 9457 problems, with ``success`` and ``message`` besides.

``type`` is ``urn:thumbq:problem:{code}``; the code is stable, and stands as a member of its own too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import hdrs, web

from thumbq.errors import AccessDenied, BackendUnavailable, SendRefused, ThumbqError, UploadRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

CONTENT_TYPE: Final = "application/problem+json"
BACKEND_RETRY_AFTER_S: Final = 5

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HttpProblem:
    """One thing that went wrong, for the client: ``detail`` is a sentence that says what to do about it."""

    status: int
    code: str
    detail: str
    retry_after_s: int | None = None

    def members(self) -> dict[str, Any]:
        """Return the members of RFC 9457, and the code."""
        return {
            "type": f"urn:thumbq:problem:{self.code}",
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }


class ProblemRaised(ThumbqError):
    """Ends a handler with a problem as its answer."""

    def __init__(self, problem: HttpProblem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def response(
    problem: HttpProblem, *, data: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a problem as an answer; ``data`` becomes a member of its own."""
    document = {**problem.members(), "success": False, "message": problem.detail}
    if data is not None:
        document["data"] = data
    answer = web.Response(status=problem.status, text=json.dumps(document), content_type=CONTENT_TYPE)
    answer.headers.update(headers or {})
    answer.headers[hdrs.CACHE_CONTROL] = "no-store"
    if problem.retry_after_s is not None:
        answer.headers[hdrs.RETRY_AFTER] = str(problem.retry_after_s)
    return answer


INTERNAL_ERROR: Final = HttpProblem(500, "internal-error", "Something went wrong here; the log says what.")

EXPLAINED: Final = (UploadRefused, BackendUnavailable, SendRefused, AccessDenied)
"""The errors that have a meaning for the client."""


def explain(error: UploadRefused | BackendUnavailable | SendRefused | AccessDenied) -> HttpProblem:
    """Return what a client is told of an error.

    What the store or the queue said is logged here and not told: it may name hosts and accounts.
    """
    if isinstance(error, UploadRefused):
        return HttpProblem(error.status, error.code, error.text)
    if isinstance(error, BackendUnavailable):
        code, detail = "backend-unavailable", "The store or the queue cannot be reached now. Try again in a moment."
    else:
        code, detail = "backend-refused", "The store or the queue refused the request. Try again later."
    log.warning("request.backend_failed", code=code, error=str(error))
    return HttpProblem(503, code, detail, retry_after_s=BACKEND_RETRY_AFTER_S)


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem."""
    try:
        return await handler(request)
    except ProblemRaised as raised:
        return response(raised.problem)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return from_aiohttp(error)
    except EXPLAINED as error:
        return response(explain(error))
    except Exception:  # a bug in one handler: the client gets an answer all the same, and the log all of it
        log.exception("request.failed", method=request.method, path=request.rel_url.raw_path)
        return response(INTERNAL_ERROR)


_DETAILS: Final = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; the header Allow says which it takes.",
    HTTPStatus.EXPECTATION_FAILED: "The only expectation that is met here is 100-continue.",
}


def from_aiohttp(error: web.HTTPException) -> web.Response:
    """Return an error of aiohttp's own as a problem."""
    status = HTTPStatus(error.status)
    code = status.phrase.lower().replace(" ", "-")
    allow: dict[str, str] = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return response(
        HttpProblem(status, code, _DETAILS.get(status, f"{status.description or status.phrase}.")), headers=allow
    )
