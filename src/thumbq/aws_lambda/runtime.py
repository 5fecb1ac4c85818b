"""What all invocations in an execution environment share: clients, the pool, and what is known of the queues."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import structlog

from thumbq.aws import assembled
from thumbq.aws.check import checked
from thumbq.aws.eventtargets import open_targets
from thumbq.aws.session import open_clients
from thumbq.aws_lambda.queuebatch import QueueBatch
from thumbq.backends import description, log_warning
from thumbq.jobs.burial import Burial
from thumbq.jobs.eventpublisher import event_announcers
from thumbq.jobs.handler import MessageHandler
from thumbq.jobs.manifestwriter import ManifestWriter
from thumbq.jobs.resources import make_job_resources
from thumbq.jobs.storeprobe import check_store
from thumbq.memory import derived, memory_problem
from thumbq.process import SystemClock
from thumbq.rendering import render_pool
from thumbq.webhooks.making import make_sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.aws.session import Clients
    from thumbq.jobs.resources import JobResources
    from thumbq.pool.renderpool import RenderPool
    from thumbq.ports import Announcer, Backend
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def keep_open(settings: Settings, opened: Callable[[LambdaRuntime], None]) -> None:
    """Open the runtime, hand it to ``opened``, and keep it open until cancelled. Raises SetupError."""
    settings = derived(settings, uploads=False)
    async with (
        open_clients(connections=settings.jobs_in_flight, wait_time_s=0, events=settings.events) as clients,
        render_pool(settings) as pool,
    ):
        memory = memory_problem(settings, uploads=False)
        for problem in (memory, pool.unconfined()):
            if problem is not None:
                log_warning(problem)
        log.info("function.ready", **description(settings))
        opened(LambdaRuntime(settings, clients, pool))
        await anyio.sleep_forever()


class LambdaRuntime:
    """Clients and a pool, and one QueueBatch for each queue that messages have come from."""

    def __init__(self, settings: Settings, clients: Clients, pool: RenderPool) -> None:
        self._settings = settings
        self._clients = clients
        self._pool = pool
        self._clock = SystemClock()
        self._random = random.Random()  # noqa: S311 - jitter
        self._places = anyio.Semaphore(settings.jobs_in_flight)
        self._resources: JobResources | None = None
        self._queues: dict[str, QueueBatch] = {}

    async def queue(self, arn: str) -> QueueBatch:
        """Return what works off a queue's messages.

        Raises SetupError with all that is wrong with the bucket and the queue, or that the store cannot do, and
        BackendError when SQS does not answer.
        """
        if arn not in self._queues:
            backend = await self._open(arn)
            bucket = backend.bucket
            if self._resources is None:
                targets = await open_targets(self._clients, self._settings.events, own=[arn], warn=log_warning)
                found = await check_store(backend.store, bucket)
                for problem in found.warnings:
                    log_warning(problem)
                backend = replace(backend, store=found.store, event_targets=targets)
            self._queues[arn] = await self._queue_batch(backend)
        return self._queues[arn]

    async def _open(self, queue: str) -> Backend:
        bucket = self._settings.bucket
        assert bucket is not None
        [address] = await checked(self._clients, bucket=bucket, queues=[queue])
        return assembled(self._clients, address, bucket)

    async def _queue_batch(self, backend: Backend) -> QueueBatch:
        if self._resources is None:
            self._resources = make_job_resources(
                backend=backend,
                renderer=self._pool,
                settings=self._settings,
                clock=self._clock,
                announcers=await self._announcers(backend),
            )
        resources, attributes = self._resources, await backend.queue.attributes()
        return QueueBatch(
            name=attributes.name,
            queue=backend.queue,
            handler=MessageHandler(
                resources,
                attributes=attributes,
                max_source_bytes=self._settings.max_source_bytes,
                random=self._random,
            ),
            burial=Burial(backend.dead_letters, ManifestWriter(resources), random=self._random),
            places=self._places,
        )

    async def _announcers(self, backend: Backend) -> list[Announcer]:
        """Return who is told of jobs: callbacks are sent from here, and called by replicas of `thumbq serve`."""
        announcers: list[Announcer] = []
        config = self._settings.webhooks_queue
        if config is not None and config.queue is not None:
            sender = make_sender(self._settings, replace(await self._open(config.queue), store=backend.store))
            announcers += [] if sender is None else [sender]
        return [*announcers, *event_announcers(self._settings, backend)]
