"""The worker: from messages to dispositions. The functions here put its parts together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thumbq.worker.acks import Acks
from thumbq.worker.attempts import Attempts
from thumbq.worker.consumer import Consumer
from thumbq.worker.disposition import Burial, Disposer
from thumbq.worker.guard import GuardedStore
from thumbq.worker.health import QueueHealth, StoreHealth
from thumbq.worker.job import JobRunner
from thumbq.worker.lease import LeaseKeeper
from thumbq.worker.making import Maker
from thumbq.worker.outcome import Outcomes
from thumbq.worker.receiving import Receiver
from thumbq.worker.slots import Backlogs, ByteBudget, Slots
from thumbq.worker.suspects import Alone, Suspects
from thumbq.worker.sweep import Sweeper

if TYPE_CHECKING:
    from random import Random

    from thumbq.ports import Backend, Clock, QueueAttributes, Renderer
    from thumbq.settings import Settings

__all__ = ["Consumer", "Shop", "make_burial", "make_consumer", "make_jobs", "make_shop"]


@dataclass(frozen=True, slots=True)
class Shop:
    """What all queues of a replica share: one store, one pool, one budget of memory."""

    renderer: Renderer
    budget: ByteBudget
    backlogs: Backlogs
    outcomes: Outcomes
    alone: Alone
    health: StoreHealth


def make_shop(*, backend: Backend, renderer: Renderer, settings: Settings, clock: Clock) -> Shop:
    """Return the shared parts; ``backend`` may be that of any of the queues."""
    backend = replace(backend, store=GuardedStore(backend.store))
    return Shop(
        renderer=renderer,
        budget=ByteBudget(settings.max_in_flight_bytes, settings.queue_weights),
        backlogs=Backlogs(settings.queue_weights),
        outcomes=Outcomes(backend=backend, settings=settings, clock=clock),
        alone=Alone(settings.queue_weights),
        health=StoreHealth(backend),
    )


def make_jobs(
    *,
    backend: Backend,
    shop: Shop,
    settings: Settings,
    attributes: QueueAttributes,
    clock: Clock,
    random: Random,
    queue_name: str = "",
) -> JobRunner:
    """Return the runner of one queue's jobs; ``queue_name`` is the queue's name in the settings."""
    backend = replace(backend, store=GuardedStore(backend.store))
    attempts = Attempts(
        backend=backend,
        attributes=attributes,
        maker=Maker(
            store=backend.store, renderer=shop.renderer, budget=shop.budget, settings=settings, queue=queue_name
        ),
        outcomes=shop.outcomes,
        suspects=Suspects(backend, shop.alone, queue=queue_name),
        health=shop.health,
        settings=settings,
        clock=clock,
        random=random,
    )
    return JobRunner(bucket=backend.bucket, attributes=attributes, attempts=attempts)


def make_burial(backend: Backend, shop: Shop) -> Burial | None:
    """Return what copies failed messages to a queue's dead letters; None when it has none."""
    return None if backend.dead_letters is None else Burial(backend.dead_letters, shop.outcomes)


def make_consumer(
    *,
    backend: Backend,
    shop: Shop,
    settings: Settings,
    attributes: QueueAttributes,
    clock: Clock,
    random: Random,
    queue_name: str = "",
) -> Consumer:
    """Return a consumer of one queue; ``attributes`` are the queue's, ``queue_name`` its name in the settings."""
    queue = backend.queue
    slots = Slots(settings.jobs_in_flight, first=settings.processes)
    health = QueueHealth(clock)
    jobs = make_jobs(
        backend=backend,
        shop=shop,
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
        backlogs=shop.backlogs,
        queue_health=health,
        store_health=shop.health,
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
    burial = make_burial(backend, shop)
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
