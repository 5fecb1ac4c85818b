"""What the handlers need; the composition root gives it to the application once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from thumbq.core.links import NO_BASE, Links
from thumbq.errors import BackendUnavailable
from thumbq.intake.presigned import PresignedIntake, make_presigned_intake
from thumbq.intake.uploads import UploadIntake, make_upload_intake
from thumbq.web.accessrules import OPEN, AccessRules
from thumbq.web.admission import RunningUploads
from thumbq.web.manifestcache import ManifestCache
from thumbq.web.uploadlimits import UploadLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

    from thumbq.core.catalog import Catalog
    from thumbq.ports import Backend, Health
    from thumbq.settings import Settings


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
    access: AccessRules = OPEN
    backend_timeout_s: float = 20.0


HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Asked all the time, by those who decide about restarts and balance requests."""


def make_web_services(
    backend: Backend, queues: Mapping[str, Backend], *, settings: Settings, health: Health, access: AccessRules
) -> WebServices:
    """Return the services over a backend, its other ``queues`` by their names, as the settings have them."""
    return WebServices(
        backend=backend,
        manifests=ManifestCache(backend.store),
        intake=make_upload_intake(backend, settings.catalog.presets, queues),
        health=health,
        access=access,
        limits=UploadLimits(
            max_file_bytes=settings.max_upload_bytes,
            max_files=settings.max_upload_files,
            max_concurrent=settings.max_uploads,
        ),
        catalog=settings.catalog,
        presigned=make_presigned_intake(
            backend,
            max_source_bytes=settings.max_source_bytes,
            max_upload_bytes=settings.max_upload_bytes,
            expiry_s=settings.upload_expiry_s,
        ),
    )


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
