"""The composition root: the one place that knows all the parts, and the order in which they start and stop."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import structlog
from aiohttp import web

from thumbq.errors import Problem, SetupError
from thumbq.intake import Intake
from thumbq.pool import RenderPool
from thumbq.web.app import create_app
from thumbq.web.services import UploadLimits, WebServices
from thumbq.worker.consumer import Consumer
from thumbq.worker.job import JobRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from thumbq.ports import Backend
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KILL_RESERVE_S: Final = 2.0
"""The end of the shutdown's deadline that is kept for killing renders and giving their messages back."""

NO_BACKEND: Final = """\
thumbq does not know where to keep things. Say one of:
  thumbq serve --local DIR                       files and SQLite in one directory; nothing else needed
  THUMBQ_BUCKET=… THUMBQ_QUEUE=… thumbq serve    S3 and SQS, with AWS's usual variables for the rest
See thumbq serve --help, or thumbq setup to make a bucket and a queue."""


class NoBackend(SetupError):
    """Neither a local directory nor a bucket and a queue are named."""

    def __init__(self) -> None:
        super().__init__(())
        self.args = (NO_BACKEND,)


class SystemClock:
    """The machine's clocks; the monotonic one also counts while the machine sleeps, where the system can."""

    _id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def monotonic(self) -> float:
        """Return seconds since some moment in the past."""
        return time.clock_gettime(self._id)

    def wall(self) -> float:
        """Return POSIX seconds."""
        return time.time()


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Open and check the backend that the settings name. Raises SetupError with everything that is wrong."""
    if settings.local is not None:
        from thumbq.local import open_local  # noqa: PLC0415 - each start loads only the backend that it uses

        async with open_local(settings.local, clock=SystemClock()) as backend:
            yield backend
    elif settings.bucket is not None and settings.queue is not None:
        from thumbq.aws import open_aws  # noqa: PLC0415 - botocore takes a third of a second to import

        async with open_aws(
            bucket=settings.bucket,
            queue=settings.queue,
            connections=settings.jobs_in_flight + settings.max_uploads,
            wait_time_s=settings.wait_time_s,
        ) as backend:
            yield backend
    else:
        raise NoBackend


def render_pool(settings: Settings) -> RenderPool:
    """Return the pool that the settings describe, not yet started."""
    return RenderPool(
        processes=settings.processes,
        memory_limit_bytes=settings.render_memory_bytes,
        timeout_s=settings.render_timeout_s,
    )


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the whole service until SIGTERM or SIGINT; ``announce`` gets the address once it is ready.

    A signal during the start ends it; a second signal ends the process at once. Raises SetupError when the start
    cannot go on, and an exception group when a part has died.
    """
    stop, refusal = Stop(), None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop.watch)
        with stop.start:
            try:
                async with open_backend(settings) as backend, render_pool(settings) as pool:
                    await Service(settings, backend, pool, stop).run(announce)
            except SetupError as error:
                refusal = error
        tasks.cancel_scope.cancel()
    if refusal is not None:
        raise refusal
    log.info("service.stopped")


class Stop:
    """The wish to stop, as SIGTERM and SIGINT bring it."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.start = anyio.CancelScope()
        self.started = False

    async def watch(self) -> None:
        """Wait for signals: the first asks for the stop (and cuts a start off), the second ends the process."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                if self.asked.is_set():
                    log.warning("service.killed", signal=number.name)
                    os._exit(128 + number)
                log.info("service.stopping", signal=number.name)
                self.asked.set()
                if not self.started:
                    self.start.cancel()


class Service:
    """One replica: the web side and the consumer over one backend and one pool."""

    def __init__(self, settings: Settings, backend: Backend, pool: RenderPool, stop: Stop) -> None:
        self._settings = settings
        self._backend = backend
        self._pool = pool
        self._clock = SystemClock()
        self._random = random.Random()  # noqa: S311 - jitter; ids take the system's random source
        self._stop = stop
        self._consumer: Consumer | None = None
        self._phase: str | None = "the service is starting"
        self._deadline = math.inf

    def not_alive(self) -> str | None:
        """Part of the Vitals: which loop has stopped."""
        return self._consumer.not_alive() if self._consumer else None

    def not_ready(self) -> str | None:
        """Part of the Vitals: why requests should go elsewhere."""
        if self._phase or self._consumer is None:
            return self._phase
        return self._consumer.not_alive() or self._consumer.not_receiving()

    async def run(self, announce: Callable[[str], None]) -> None:
        """Start, serve until a signal, and stop in order."""
        self._consumer = consumer = await self._make_consumer()
        runner = web.AppRunner(
            self._make_app(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=self._settings.shutdown_deadline_s,
        )
        await runner.setup()
        try:
            address = await self._listen(runner)
            async with anyio.create_task_group() as tasks:
                drained = anyio.Event()
                tasks.start_soon(self._consume, consumer, drained)
                self._phase = None
                self._stop.started = True
                log.info("service.ready", address=address, processes=self._settings.processes)
                announce(address)
                await self._stop.asked.wait()
                await self._drain(consumer, drained)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(self._deadline - anyio.current_time(), shield=True):
                await runner.cleanup()

    async def _make_consumer(self) -> Consumer:
        settings = self._settings
        facts = await self._backend.queue.facts()
        jobs = JobRunner(
            backend=self._backend,
            renderer=self._pool,
            settings=settings,
            clock=self._clock,
            random=self._random,
            max_receive_count=facts.max_receive_count,
        )
        return Consumer(
            queue=self._backend.queue,
            jobs=jobs,
            clock=self._clock,
            random=self._random,
            concurrency=settings.jobs_in_flight,
            wait_time_s=settings.wait_time_s,
            visibility_timeout_s=settings.visibility_timeout_s,
        )

    def _make_app(self) -> web.Application:
        settings = self._settings
        return create_app(
            WebServices(
                backend=self._backend,
                intake=make_intake(self._backend),
                vitals=self,
                limits=UploadLimits(
                    max_file_bytes=settings.max_upload_bytes,
                    max_files=settings.max_upload_files,
                    max_concurrent=settings.max_uploads,
                ),
                default_presets=settings.presets_for,
                presets=settings.presets,
            )
        )

    async def _consume(self, consumer: Consumer, drained: anyio.Event) -> None:
        await consumer.run()
        drained.set()

    async def _listen(self, runner: web.AppRunner) -> str:
        host, port = self._settings.host, self._settings.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            problem = Problem(f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port or --host")
            raise SetupError([problem]) from error
        address, bound_port = runner.addresses[0][:2]
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - what one may connect to
        return f"http://[{reachable}]:{bound_port}" if ":" in reachable else f"http://{reachable}:{bound_port}"

    async def _drain(self, consumer: Consumer, drained: anyio.Event) -> None:
        """Take no new messages and let running jobs end; what is left near the deadline is killed and given back."""
        self._deadline = anyio.current_time() + self._settings.shutdown_deadline_s
        self._phase = "the service is stopping"
        consumer.stop()
        with anyio.move_on_at(self._deadline - KILL_RESERVE_S):
            await drained.wait()
        if not drained.is_set():
            log.warning("service.drain_cut_off")
            consumer.abort(within_s=KILL_RESERVE_S / 2)
            with anyio.move_on_after(KILL_RESERVE_S / 2):
                await drained.wait()


def make_intake(backend: Backend) -> Intake:
    """Return the intake over a backend, with ids from the system's random source."""
    return Intake(backend=backend, clock=SystemClock(), random=random.SystemRandom())
