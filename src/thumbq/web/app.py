"""The aiohttp application: its routes, and what every answer has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from thumbq.web import health, inbox, jobs, presigned, upload
from thumbq.web.admission import RunningUploads
from thumbq.web.problems import problem_middleware
from thumbq.web.requestlog import REFUSALS, Refusals, log_requests
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
