"""The worker: from messages to dispositions. ``make_consumer`` puts its parts together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thumbq.worker.acks import Acks
from thumbq.worker.consumer import Consumer
from thumbq.worker.disposition import Burial, Disposer
from thumbq.worker.guard import GuardedStore
from thumbq.worker.health import QueueHealth, StoreHealth
from thumbq.worker.job import JobRunner
from thumbq.worker.lease import LeaseKeeper
from thumbq.worker.making import Maker
from thumbq.worker.outcome import Outcomes
from thumbq.worker.receiving import Receiver
from thumbq.worker.slots import Slots
from thumbq.worker.suspects import Suspects
from thumbq.worker.sweep import Sweeper

if TYPE_CHECKING:
    from random import Random

    from thumbq.ports import Backend, Clock, QueueFacts, Renderer
    from thumbq.settings import Settings

__all__ = ["Consumer", "make_consumer"]


def make_consumer(
    *, backend: Backend, renderer: Renderer, settings: Settings, facts: QueueFacts, clock: Clock, random: Random
) -> Consumer:
    """Return a consumer over a backend, ready to run; ``facts`` are the queue's own settings."""
    backend = replace(backend, store=GuardedStore(backend.store))
    queue = backend.queue
    slots = Slots(settings.jobs_in_flight, first=settings.processes)
    health, store_health = QueueHealth(clock), StoreHealth(backend)
    outcomes = Outcomes(backend=backend, settings=settings, clock=clock)
    jobs = JobRunner(
        backend=backend,
        facts=facts,
        maker=Maker(store=backend.store, renderer=renderer, settings=settings),
        outcomes=outcomes,
        suspects=Suspects(backend),
        health=store_health,
        settings=settings,
        clock=clock,
        random=random,
    )
    receiver = Receiver(
        queue=queue,
        slots=slots,
        queue_health=health,
        store_health=store_health,
        settings=settings,
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
    burial = None if backend.dead_letters is None else Burial(backend.dead_letters, outcomes)
    sweeper = None
    if burial is not None:
        sweeper = Sweeper(
            queue=queue, jobs=jobs, burial=burial, receiver=receiver, facts=facts, settings=settings, random=random
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
    )
