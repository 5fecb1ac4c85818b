"""The aiohttp application: its routes, and what every answer has in common."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.web.access import check_access, show_rate
from thumbq.web.admission import RunningUploads
from thumbq.web.answerheaders import complete
from thumbq.web.bodies import expect
from thumbq.web.door import DOOR, Door, guard
from thumbq.web.nowhere import Router
from thumbq.web.openapi import OPENAPI, OpenApi, make_document
from thumbq.web.originals import ORIGINALS, OriginalsInMemory
from thumbq.web.problems import problem_middleware
from thumbq.web.queuedesk import DESK
from thumbq.web.requestlog import REFUSALS, Refusals, log_requests
from thumbq.web.route import TABLE
from thumbq.web.routes import ROUTES
from thumbq.web.services import SERVICES, UPLOADS, WebServices
from thumbq.web.trying import TRIES, Tries
from thumbq.web.uploadlimits import UploadLimits

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from thumbq.web.queuedesk import QueueDesk

__all__ = ["UploadLimits", "WebServices", "create_app"]


_PARAMETER: Final = re.compile(r"{(\w+)}")
_ANY_TEXT: Final = r"{\1:[^/]+}"  # aiohttp's own pattern has no braces


def create_app(services: WebServices, door: Door, desk: QueueDesk, *, page: bool = True) -> web.Application:
    """Return the application, with the page or without. It opens and closes nothing: that belongs to the caller."""
    routes = [route for route in ROUTES if page or not route.of_page]
    app = web.Application(middlewares=[log_requests, _close_when_stopping, problem_middleware, guard, check_access])
    app._router = Router()  # noqa: SLF001 - its public way warns
    app[SERVICES] = services
    app[DOOR] = door
    app[DESK] = desk
    app[REFUSALS] = Refusals()
    app[ORIGINALS] = OriginalsInMemory()
    app[TRIES] = Tries()
    app[UPLOADS] = RunningUploads(services.limits)
    app.on_response_prepare.append(_complete)
    app.on_response_prepare.append(show_rate)
    app[OPENAPI] = OpenApi(functools.cache(lambda: make_document(routes, services.links.base)))
    app[TABLE] = {(route.method, route.path): route for route in routes}
    for route in routes:
        # GET answers HEAD too.
        for method in (route.method, hdrs.METH_HEAD) if route.method == hdrs.METH_GET else (route.method,):
            app.router.add_route(method, _PARAMETER.sub(_ANY_TEXT, route.path), route.handler, expect_handler=expect)
    return app


async def _complete(request: web.Request, response: web.StreamResponse) -> None:
    complete(request, response, request.app[DOOR].origins)


@web.middleware
async def _close_when_stopping(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if request.app[SERVICES].health.stopping() or request.app[UPLOADS].stopping:
        response.force_close()
    return response
