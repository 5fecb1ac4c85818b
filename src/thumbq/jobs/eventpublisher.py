"""Events for AWS's own plumbing: topics, queues and buses are told of jobs that have ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from thumbq.core.catalog import CatalogInForce
from thumbq.core.jobevent import make_event
from thumbq.core.links import Links
from thumbq.errors import BackendError, Problem
from thumbq.jobdocuments import outcome_document
from thumbq.ports.observing import Told, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.jobevent import JobEvent
    from thumbq.core.manifest import Manifest
    from thumbq.ports import Announcer, Backend, EventTarget, ObjectStore
    from thumbq.settings import Settings


@dataclass(frozen=True, slots=True)
class EventPublisher:
    """Publishes each job's end to all targets. An Announcer."""

    targets: Sequence[EventTarget]
    store: ObjectStore
    catalogs: CatalogInForce
    links: Links

    async def announce(self, manifest: Manifest, *, attempt: int) -> None:
        """Publish the end that a manifest records, to all targets at the same time; see Announcer.

        One that fails keeps none of the others from it. They get it again together with that one.
        """
        event = make_event(await outcome_document(manifest, self.store, self.catalogs.current, self.links), manifest)
        failures: list[BackendError] = []
        async with anyio.create_task_group() as tasks:
            for target in self.targets:
                tasks.start_soon(_publish, target, event, attempt, failures)
        if failures:
            raise failures[0]


async def _publish(target: EventTarget, event: JobEvent, attempt: int, failures: list[BackendError]) -> None:
    try:
        await target.send(event)
    except BackendError as error:
        failures.append(error)
        emit(Told("event", "failed", attempt))
    else:
        emit(Told("event", "done", attempt))


def event_announcers(
    settings: Settings, backend: Backend, catalogs: CatalogInForce | None = None
) -> Sequence[Announcer]:
    """Return the announcer of events, none where nothing is to be told."""
    if not backend.event_targets:
        return ()
    links = Links(settings.public_url or "")
    catalogs = catalogs or CatalogInForce(settings.catalog)
    return (EventPublisher(backend.event_targets, backend.store, catalogs, links),)


def events_problem(settings: Settings) -> Problem | None:
    """Return why no events will be published, though the settings name targets."""
    if settings.local is None or not settings.events:
        return None
    what = "events are not available on a local directory: nothing is published to the targets in THUMBQ_EVENTS"
    return Problem(what, "unset it, or keep things in S3 and SQS")
