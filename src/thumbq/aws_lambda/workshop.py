"""What all invocations in an execution environment share: clients, the pool, and what is known of the queues."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio
import structlog

from thumbq.aws import assembled
from thumbq.aws.check import checked
from thumbq.aws.session import open_clients
from thumbq.aws_lambda.batch import QueueWork
from thumbq.pool.memory import memory_problem
from thumbq.process import SystemClock
from thumbq.rendering import render_pool
from thumbq.worker import make_burial, make_job_resources, make_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.aws.session import Clients
    from thumbq.pool import RenderPool
    from thumbq.ports import Backend
    from thumbq.settings import Settings
    from thumbq.worker import JobResources

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def keep_open(settings: Settings, opened: Callable[[Workshop], None]) -> None:
    """Open a workshop, hand it to ``opened``, and keep it open until cancelled. Raises SetupError."""
    async with (
        open_clients(connections=settings.jobs_in_flight, wait_time_s=0) as clients,
        render_pool(settings) as pool,
    ):
        memory = memory_problem(settings.processes, settings.render_memory_bytes, settings.max_in_flight_bytes)
        for problem in (memory, pool.unconfined()):
            if problem is not None:
                log.warning("service.warning", problem=problem.what, fix=problem.fix)
        log.info("function.ready", processes=settings.processes)
        opened(Workshop(settings, clients, pool))
        await anyio.sleep_forever()


class Workshop:
    """Clients and a pool, and one QueueWork for each queue that messages have come from."""

    def __init__(self, settings: Settings, clients: Clients, pool: RenderPool) -> None:
        self._settings = settings
        self._clients = clients
        self._pool = pool
        self._clock = SystemClock()
        self._random = random.Random()  # noqa: S311 - jitter
        self._places = anyio.Semaphore(settings.jobs_in_flight)
        self._shop: JobResources | None = None
        self._queues: dict[str, QueueWork] = {}

    async def queue(self, arn: str) -> QueueWork:
        """Return what works off a queue's messages.

        Raises SetupError with all that is wrong with the bucket and the queue, BackendError when SQS does not answer.
        """
        if arn not in self._queues:
            bucket = self._settings.bucket
            assert bucket is not None
            [address] = await checked(self._clients, bucket=bucket, queues=[arn])
            self._queues[arn] = await self._queue_work(assembled(self._clients, address, bucket))
        return self._queues[arn]

    async def _queue_work(self, backend: Backend) -> QueueWork:
        settings, clock, attributes = self._settings, self._clock, await backend.queue.attributes()
        if self._shop is None:
            self._shop = make_job_resources(backend=backend, renderer=self._pool, settings=settings, clock=clock)
        return QueueWork(
            backend=backend,
            attributes=attributes,
            jobs=make_jobs(
                backend=backend,
                resources=self._shop,
                settings=settings,
                attributes=attributes,
                clock=clock,
                random=self._random,
            ),
            burial=make_burial(backend, self._shop),
            places=self._places,
            random=self._random,
        )
