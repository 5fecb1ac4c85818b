"""Making the HTTP side as the settings describe it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from thumbq.core.links import Links
from thumbq.deletion.deleting import JobDeleter
from thumbq.deletion.tombstones import Tombstones
from thumbq.intake.claims import make_claims
from thumbq.intake.presigned import make_presigned_intake
from thumbq.intake.uploads import make_upload_intake
from thumbq.process import SystemClock
from thumbq.web.app import create_app
from thumbq.web.door import Door
from thumbq.web.jobstate import JobStates
from thumbq.web.queuedesk import DeskQueue, QueueDesk
from thumbq.web.queueseries import QueueSeries
from thumbq.web.services import WebServices
from thumbq.web.uploadlimits import UploadLimits
from thumbq.web.waiting import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from thumbq.core.catalog import CatalogInForce
    from thumbq.ports import Backend, Clock, Health
    from thumbq.ports.observing import Exposition
    from thumbq.settings import QueueConfig, Settings
    from thumbq.web.accessrules import AccessRules
    from thumbq.webhooks.sender import CallbackSender


def make_desk(queues: Iterable[tuple[QueueConfig, Backend]], *, replica: str, clock: Clock) -> QueueDesk:
    """Return what operators of the queues need."""
    found = {config.label: DeskQueue(config.label, config.name, backend) for config, backend in queues}
    return QueueDesk(replica, found, QueueSeries(queue.name for queue in found.values()), clock)


def make_app(
    settings: Settings,
    backend: Backend,
    desk: QueueDesk,
    *,
    catalogs: CatalogInForce,
    health: Health,
    access: AccessRules,
    callbacks: CallbackSender | None,
    exposition: Exposition | None = None,
) -> web.Application:
    """Return the application over the default queue's ``backend``, and the queues of the ``desk``."""
    queues = {
        each.name: each.backend for each in desk.queues.values() if each.name and each.name in settings.queue_weights
    }
    rules = None if callbacks is None else callbacks.rules
    presigned = make_presigned_intake(
        backend,
        max_source_bytes=settings.max_source_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        expiry_s=settings.upload_expiry_s,
        callbacks=rules,
        key_prefixes=settings.key_prefixes,
    )
    tombstones = Tombstones(backend.store, backend.bucket, catalogs, SystemClock())
    states = JobStates(backend, presigned, tombstones)
    services = WebServices(
        backend=backend,
        states=states,
        deleter=JobDeleter(tombstones, list(queues.values()) or [backend]),
        waiters=Waiters(states.look_again, at_most=settings.max_waiters, random=Random()),  # noqa: S311 - jitter
        intake=make_upload_intake(backend, catalogs.preset_names, queues, rules, settings.key_prefixes),
        claims=make_claims(backend, settings.key_prefixes),
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
    return create_app(services, _make_door(settings), desk, page=settings.page)


def _make_door(settings: Settings) -> Door:
    return Door(
        listens_on=settings.host,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
    )
