"""The aiohttp application: its routes, and what every answer has in common."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from thumbq.web import health, inbox, jobs, presigned, upload
from thumbq.web.admission import RunningUploads
from thumbq.web.problems import problem_middleware
from thumbq.web.services import SERVICES, UPLOADS, WebServices
from thumbq.web.uploadlimits import UploadLimits

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

__all__ = ["UploadLimits", "WebServices", "create_app"]

_HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def create_app(services: WebServices) -> web.Application:
    """Return the application. It opens and closes nothing: what it uses belongs to the caller."""
    app = web.Application(middlewares=[_log_requests, _close_when_stopping, problem_middleware])
    app[SERVICES] = services
    app[UPLOADS] = RunningUploads(services.limits)
    app.on_response_prepare.append(_forbid_sniffing)
    app.add_routes(
        [
            web.post("/upload", upload.upload),
            web.post("/uploads", presigned.presign_upload),
            web.post("/inbox", inbox.accept_presigned_upload),
            web.get("/jobs/{id}", jobs.get_job),
            web.get("/jobs/{id}/{preset}", jobs.get_rendition),
            web.get("/livez", health.livez),
            web.get("/readyz", health.readyz),
        ]
    )
    return app


async def _forbid_sniffing(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"


@web.middleware
async def _close_when_stopping(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if request.app[SERVICES].health.stopping() or request.app[UPLOADS].stopping:
        response.force_close()
    return response


@web.middleware
async def _log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.perf_counter()
    response = await handler(request)
    write = log.debug if request.path in _HEALTH_PATHS else log.info
    write(
        "http.request",
        method=request.method,
        path=request.rel_url.raw_path,
        status=response.status,
        duration_ms=round((time.perf_counter() - began) * 1000, 1),
    )
    return response
