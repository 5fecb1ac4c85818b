"""Making the HTTP side as the settings describe it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from thumbq.core.links import Links
from thumbq.intake.presigned import make_presigned_intake
from thumbq.intake.uploads import make_upload_intake
from thumbq.web.app import create_app
from thumbq.web.door import Door
from thumbq.web.jobstate import JobStates
from thumbq.web.services import WebServices
from thumbq.web.uploadlimits import UploadLimits
from thumbq.web.waiting import Waiters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from thumbq.core.catalog import CatalogInForce
    from thumbq.ports import Backend, Health
    from thumbq.ports.observing import Exposition
    from thumbq.settings import Settings
    from thumbq.web.accessrules import AccessRules
    from thumbq.webhooks.sender import CallbackSender


def make_app(
    settings: Settings,
    backend: Backend,
    queues: Mapping[str, Backend],
    *,
    catalogs: CatalogInForce,
    health: Health,
    access: AccessRules,
    callbacks: CallbackSender | None,
    exposition: Exposition | None = None,
) -> web.Application:
    """Return the application over the default queue's backend, and those of ``queues`` by their names."""
    rules = None if callbacks is None else callbacks.rules
    presigned = make_presigned_intake(
        backend,
        max_source_bytes=settings.max_source_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        expiry_s=settings.upload_expiry_s,
        callbacks=rules,
    )
    states = JobStates(backend, presigned)
    services = WebServices(
        backend=backend,
        states=states,
        waiters=Waiters(states.look_again, at_most=settings.max_waiters, random=Random()),  # noqa: S311 - jitter
        intake=make_upload_intake(backend, catalogs.preset_names, queues, rules),
        callbacks=callbacks,
        health=health,
        access=access,
        exposition=exposition,
        limits=UploadLimits(
            max_file_bytes=settings.max_upload_bytes,
            max_files=settings.max_upload_files,
            max_concurrent=settings.max_uploads,
        ),
        catalogs=catalogs,
        presigned=presigned,
        links=Links(settings.public_url or ""),
    )
    door = Door(
        listens_on=settings.host,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
    )
    return create_app(services, door)
