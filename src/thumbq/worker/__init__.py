"""The worker: from messages to dispositions. The functions here put its parts together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thumbq.jobs.burial import Burial
from thumbq.jobs.bytebudget import ByteBudget
from thumbq.jobs.fencing import FencedStore
from thumbq.jobs.handler import MessageHandler
from thumbq.jobs.manifestwriter import ManifestWriter
from thumbq.jobs.poison import PriorityLock, Suspects
from thumbq.jobs.processing import Processor
from thumbq.jobs.runner import JobRunner
from thumbq.jobs.storehealth import StoreHealth
from thumbq.worker.acks import Acks
from thumbq.worker.backlogs import Backlogs
from thumbq.worker.consumer import Consumer
from thumbq.worker.deadlettersweep import Sweeper
from thumbq.worker.disposer import Disposer
from thumbq.worker.lease import LeaseKeeper
from thumbq.worker.places import Places
from thumbq.worker.queuehealth import QueueHealth
from thumbq.worker.receiver import Receiver

if TYPE_CHECKING:
    from random import Random

    from thumbq.ports import Backend, Clock, QueueAttributes, Renderer
    from thumbq.settings import Settings

__all__ = ["Consumer", "JobResources", "make_burial", "make_consumer", "make_job_resources", "make_jobs"]


@dataclass(frozen=True, slots=True)
class JobResources:
    """What all queues of a replica share: one store, one pool, one budget of memory."""

    renderer: Renderer
    budget: ByteBudget
    backlogs: Backlogs
    outcomes: ManifestWriter
    alone: PriorityLock
    health: StoreHealth


def make_job_resources(*, backend: Backend, renderer: Renderer, settings: Settings, clock: Clock) -> JobResources:
    """Return the shared parts; ``backend`` may be that of any of the queues."""
    backend = replace(backend, store=FencedStore(backend.store))
    return JobResources(
        renderer=renderer,
        budget=ByteBudget(settings.max_in_flight_bytes, settings.queue_weights),
        backlogs=Backlogs(settings.queue_weights),
        outcomes=ManifestWriter(backend=backend, settings=settings, clock=clock),
        alone=PriorityLock(settings.queue_weights),
        health=StoreHealth(backend),
    )


def make_jobs(
    *,
    backend: Backend,
    resources: JobResources,
    settings: Settings,
    attributes: QueueAttributes,
    clock: Clock,
    random: Random,
    queue_name: str = "",
) -> MessageHandler:
    """Return the runner of one queue's jobs; ``queue_name`` is the queue's name in the settings."""
    backend = replace(backend, store=FencedStore(backend.store))
    attempts = JobRunner(
        backend=backend,
        attributes=attributes,
        maker=Processor(
            store=backend.store,
            renderer=resources.renderer,
            budget=resources.budget,
            settings=settings,
            queue=queue_name,
        ),
        outcomes=resources.outcomes,
        suspects=Suspects(backend, resources.alone, queue=queue_name),
        health=resources.health,
        settings=settings,
        clock=clock,
        random=random,
    )
    return MessageHandler(bucket=backend.bucket, attributes=attributes, attempts=attempts)


def make_burial(backend: Backend, resources: JobResources) -> Burial | None:
    """Return what copies failed messages to a queue's dead letters; None when it has none."""
    return None if backend.dead_letters is None else Burial(backend.dead_letters, resources.outcomes)


def make_consumer(
    *,
    backend: Backend,
    resources: JobResources,
    settings: Settings,
    attributes: QueueAttributes,
    clock: Clock,
    random: Random,
    queue_name: str = "",
) -> Consumer:
    """Return a consumer of one queue; ``attributes`` are the queue's, ``queue_name`` its name in the settings."""
    queue = backend.queue
    slots = Places(settings.jobs_in_flight, first=settings.processes)
    health = QueueHealth(clock)
    jobs = make_jobs(
        backend=backend,
        resources=resources,
        settings=settings,
        attributes=attributes,
        clock=clock,
        random=random,
        queue_name=queue_name,
    )
    receiver = Receiver(
        queue=queue,
        queue_name=queue_name,
        slots=slots,
        backlogs=resources.backlogs,
        queue_health=health,
        store_health=resources.health,
        settings=settings,
        fifo=attributes.fifo,
        clock=clock,
        random=random,
    )
    keeper = LeaseKeeper(
        queue=queue,
        clock=clock,
        health=health,
        visibility_timeout_s=settings.visibility_timeout_s,
        beat_interval_s=settings.beat_interval_s,
    )
    acks = Acks(queue=queue, clock=clock, health=health, random=random)
    burial = make_burial(backend, resources)
    sweeper = None
    if burial is not None:
        sweeper = Sweeper(
            queue=queue,
            jobs=jobs,
            burial=burial,
            receiver=receiver,
            attributes=attributes,
            settings=settings,
            random=random,
        )
    return Consumer(
        receiver=receiver,
        slots=slots,
        jobs=jobs,
        keeper=keeper,
        acks=acks,
        disposer=Disposer(burial=burial, keeper=keeper, acks=acks, random=random),
        sweeper=sweeper,
        health=health,
        clock=clock,
        wait_time_s=settings.wait_time_s,
        fifo=attributes.fifo,
    )
