"""The line of the log about each request: never a token, a cookie or a query. What was refused is part of it.

What thumbq refuses for a reason of its own (5xx) is a warning besides, once a minute for each code: in an outage such
answers come as fast as clients ask.
"""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import web

from thumbq.core import keys, tracecontext
from thumbq.ports.observing import Answered, emit
from thumbq.ports.tracing import Answering, during
from thumbq.web.access import TOKEN_NAME
from thumbq.web.door import DOOR
from thumbq.web.problems import INTERNAL_ERROR, PROBLEMS
from thumbq.web.requestid import REQUEST_ID, request_id
from thumbq.web.route import route_of
from thumbq.web.services import HEALTH_PATHS
from thumbq.web.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

    from thumbq.web.problems import HttpProblem

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Refusals:
    """Counts the answers of 5xx by their codes."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def add(self, problem: HttpProblem) -> None:
        """Count one. A bug has a line of its own, with its stack trace."""
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and problem.code != INTERNAL_ERROR.code:
            tally = self._tallies.setdefault(problem.code, Tally("request.refused"))
            tally.add(code=problem.code, status=problem.status, **_cause(problem))


REFUSALS: Final = web.AppKey("refusals", Refusals)


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log a request, its answer, and what was refused in it."""
    # A connection has one task for all of its requests: what one has bound says nothing of the next one.
    structlog.contextvars.clear_contextvars()
    request[REQUEST_ID] = request_id(request.headers)
    structlog.contextvars.bind_contextvars(request_id=request[REQUEST_ID])
    if request.path in HEALTH_PATHS:
        response = await _answered(request, handler, log.debug)
    else:
        with during(_answering(request)) as note:
            response = await _answered(request, handler, log.info)
            refused = response.get(PROBLEMS, ())
            note(status=response.status, code=refused[0].code if refused else None)
            for problem in refused:
                request.app[REFUSALS].add(problem)
    structlog.contextvars.clear_contextvars()
    return response


def _answering(request: web.Request) -> Answering:
    route = route_of(request)
    path = None if route is None else route.path
    parent, state = (",".join(request.headers.getall(name, ())) for name in tracecontext.ATTRIBUTES)
    sender = tracecontext.parse(parent, state)
    return Answering(request.method, path, request.rel_url.raw_path, request.headers, partial(_origin, request), sender)


def _origin(request: web.Request) -> tuple[str, str]:
    """Return the scheme that the client used, and its address."""
    proxies = request.app[DOOR].proxies
    return proxies.scheme(request), proxies.client_address(request)


async def _answered(request: web.Request, handler: Handler, write: Callable[..., Any]) -> web.StreamResponse:
    began = time.perf_counter()
    response = await handler(request)
    refused = response.get(PROBLEMS, ())
    duration_s = time.perf_counter() - began
    route = route_of(request)
    bytes_in, bytes_out = request.content.total_bytes, response.content_length or 0
    path = None if route is None else route.path
    emit(Answered(path, request.method, response.status, duration_s, bytes_in, bytes_out))
    write(
        "http.request",
        method=request.method,
        path=request.rel_url.raw_path,
        client=request.app[DOOR].proxies.client_address(request),
        status=response.status,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        duration_ms=round(duration_s * 1000, 1),
        **({"token": request[TOKEN_NAME]} if TOKEN_NAME in request else {}),
        **(_refusal(request, refused) if refused else {}),
    )
    return response


def _refusal(request: web.Request, refused: tuple[HttpProblem, ...]) -> dict[str, Any]:
    """Return what was refused, and the job if there is one."""
    members: dict[str, Any] = {"code": refused[0].code, **_cause(refused[0])}
    if len(refused) > 1:
        members["codes"] = [problem.code for problem in refused]
    job_id = request.match_info.get("id", "")
    if keys.is_id(job_id):
        members["job_id"] = job_id
    return members


def _cause(problem: HttpProblem) -> dict[str, str]:
    return {} if problem.cause is None else {"error": problem.cause}
