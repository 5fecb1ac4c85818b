"""The worker: receives messages of queues, holds them by leases, and carries out what the jobs decide."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from thumbq.core import callbackmessage
from thumbq.jobs.burial import Burial
from thumbq.jobs.deadletterremoval import About, DeadLetterRemoval, of_callback, of_jobs
from thumbq.jobs.handler import MessageHandler
from thumbq.jobs.manifestwriter import ManifestWriter
from thumbq.ports import MAX_BATCH
from thumbq.webhooks.endpoints import MAX_HELD
from thumbq.worker.backlogs import Backlogs
from thumbq.worker.consumer import Consumer
from thumbq.worker.consumers import Consumers
from thumbq.worker.deadlettersweep import DeadLetterSweep
from thumbq.worker.leasedqueue import LeasedQueue, LeaseTimes
from thumbq.worker.places import Places
from thumbq.worker.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from thumbq.jobs.resources import JobResources
    from thumbq.ports import Backend, QueueAttributes
    from thumbq.settings import QueueConfig, Settings
    from thumbq.worker.consumer import Handler

__all__ = ["Consumer", "make_callback_consumer", "make_consumer", "make_consumers"]

CALLBACKS_HELD: Final = MAX_HELD + MAX_BATCH
"""How many callbacks a replica holds at once: more of them than may wait for their turns, so that it goes on."""


def make_consumers(
    queues: Sequence[tuple[QueueConfig, Backend, QueueAttributes]],
    *,
    resources: JobResources,
    settings: Settings,
    random: Random,
    callbacks: tuple[Backend, Handler] | None = None,
) -> Consumers:
    """Return the consumers of all queues of a replica, which share ``resources``.

    ``callbacks`` are the queue of callbacks and what calls them.
    """
    backlogs = Backlogs(settings.queue_weights)
    of_callbacks = None if callbacks is None else _removal(callbacks[0], resources, of_callback)
    consumers = {
        config.name: make_consumer(
            backend=backend,
            resources=resources,
            settings=settings,
            config=config,
            attributes=attributes,
            backlogs=backlogs,
            random=random,
            removals=() if of_callbacks is None else (of_callbacks,),
        )
        for config, backend, attributes in queues
    }
    if callbacks is not None:
        backend, handler = callbacks
        consumers[callbackmessage.QUEUE] = make_callback_consumer(
            backend=backend, handler=handler, resources=resources, settings=settings, random=random
        )
    return Consumers(consumers)


def make_callback_consumer(
    *, backend: Backend, handler: Handler, resources: JobResources, settings: Settings, random: Random
) -> Consumer:
    """Return the consumer of the queue of callbacks: it takes no render process, and waits for no other queue."""
    times = LeaseTimes(settings.wait_time_s, settings.visibility_timeout_s, settings.beat_interval_s)
    queue = LeasedQueue(backend.queue, times=times, clock=resources.clock, random=random, name=callbackmessage.QUEUE)
    receiver = Receiver(
        queue,
        queue_name=callbackmessage.QUEUE,
        fifo=False,
        places=Places(CALLBACKS_HELD, first=CALLBACKS_HELD),
        backlogs=Backlogs(),
        store_health=resources.health,
        clock=resources.clock,
        random=random,
    )
    burial = Burial(backend.dead_letters, ManifestWriter(resources), random=random)
    return Consumer(queue=queue, receiver=receiver, handler=handler, burial=burial, sweep=None)


def make_consumer(
    *,
    backend: Backend,
    resources: JobResources,
    settings: Settings,
    config: QueueConfig,
    attributes: QueueAttributes,
    backlogs: Backlogs,
    random: Random,
    removals: Sequence[DeadLetterRemoval] = (),
) -> Consumer:
    """Return a consumer of one queue; ``backlogs``, ``resources`` and ``removals`` are those of all queues."""
    removal = _removal(backend, resources, of_jobs)
    times = LeaseTimes(config.wait_time_s, settings.visibility_timeout_s, settings.beat_interval_s)
    more, name = partial(backlogs.seems_to_have_more, config.name), config.name
    queue = LeasedQueue(backend.queue, times=times, clock=resources.clock, random=random, backlog=more, name=name)
    handler = MessageHandler(
        resources,
        attributes=attributes,
        max_source_bytes=settings.max_source_bytes,
        random=random,
        queue_name=config.name,
        dead_letters=removals if removal is None else (removal, *removals),
    )
    receiver = Receiver(
        queue,
        queue_name=config.name,
        fifo=attributes.fifo,
        places=Places(settings.jobs_in_flight, first=settings.processes, waiting=resources.renderer.waiting),
        backlogs=backlogs,
        store_health=resources.health,
        clock=resources.clock,
        random=random,
    )
    burial = Burial(backend.dead_letters, ManifestWriter(resources), random=random)
    sweep = None
    if removal is not None:
        sweep = DeadLetterSweep(
            backend=backend,
            handler=handler,
            burial=burial,
            receiver=receiver,
            max_receive_count=attributes.max_receive_count,
            settle_s=settings.visibility_timeout_s + 2 * config.wait_time_s,
            walking=removal.walking,
            random=random,
        )
    return Consumer(queue=queue, receiver=receiver, handler=handler, burial=burial, sweep=sweep)


def _removal(backend: Backend, resources: JobResources, about: Callable[[str, str], About]) -> DeadLetterRemoval | None:
    if backend.dead_letters is None:
        return None
    queue, dead_letters = backend.queue, backend.dead_letters
    return DeadLetterRemoval(queue, dead_letters, resources.store, resources.bucket, about=about)
