"""The aiohttp application: its routes, and what every answer has in common."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from thumbq.web.admission import RunningUploads
from thumbq.web.openapi import OPENAPI, OpenApi, make_document
from thumbq.web.problems import problem_middleware
from thumbq.web.requestlog import REFUSALS, Refusals, log_requests
from thumbq.web.routes import ROUTES
from thumbq.web.services import SERVICES, UPLOADS, WebServices
from thumbq.web.uploadlimits import UploadLimits

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

__all__ = ["UploadLimits", "WebServices", "create_app"]


def create_app(services: WebServices) -> web.Application:
    """Return the application. It opens and closes nothing: what it uses belongs to the caller."""
    app = web.Application(middlewares=[log_requests, _close_when_stopping, problem_middleware])
    app[SERVICES] = services
    app[REFUSALS] = Refusals()
    app[UPLOADS] = RunningUploads(services.limits)
    app.on_response_prepare.append(_forbid_sniffing)
    app[OPENAPI] = OpenApi(functools.cache(lambda: make_document(ROUTES)))
    for route in ROUTES:
        # GET answers HEAD too.
        add = (
            app.router.add_get
            if route.method == hdrs.METH_GET
            else functools.partial(app.router.add_route, route.method)
        )
        add(route.path, route.handler, name=route.name)
    return app


async def _forbid_sniffing(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"


@web.middleware
async def _close_when_stopping(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if request.app[SERVICES].health.stopping() or request.app[UPLOADS].stopping:
        response.force_close()
    return response
