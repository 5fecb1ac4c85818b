"""What the handlers need; the composition root gives it to the application once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from thumbq.core.links import NO_BASE, Links
from thumbq.errors import BackendUnavailable
from thumbq.web.admission import RunningUploads

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from thumbq.core.catalog import Catalog
    from thumbq.intake.presigned import PresignedIntake
    from thumbq.intake.uploads import UploadIntake
    from thumbq.ports import Backend, Health
    from thumbq.web.manifestcache import ManifestCache
    from thumbq.web.uploadlimits import UploadLimits


@dataclass(frozen=True, slots=True)
class WebServices:
    """Everything behind the HTTP side.

    ``backend_timeout_s`` is how long a client waits for the store and the queue: less than clients and balancers
    wait for an answer.
    """

    backend: Backend
    intake: UploadIntake
    health: Health
    limits: UploadLimits
    catalog: Catalog
    presigned: PresignedIntake
    manifests: ManifestCache
    links: Links = NO_BASE
    backend_timeout_s: float = 20.0


HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Asked all the time, by those who decide about restarts and balance requests."""

SERVICES: Final = web.AppKey("services", WebServices)
UPLOADS: Final = web.AppKey("uploads", RunningUploads)


def in_time(handler: Handler) -> Handler:
    """Bound a handler that only reads from the store; past the bound it raises BackendUnavailable."""

    @functools.wraps(handler)
    async def bounded(request: web.Request) -> web.StreamResponse:
        timeout_s = request.app[SERVICES].backend_timeout_s
        with anyio.move_on_after(timeout_s):
            return await handler(request)
        raise BackendUnavailable(f"the store did not answer within {timeout_s:g} s")

    return bounded
