"""The composition root: the one place that knows all the parts, and the order in which they start and stop."""

from __future__ import annotations

import math
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.directuploads import make_direct_intake
from thumbq.errors import Problem, SetupError
from thumbq.imaging import Limits
from thumbq.intake import Intake
from thumbq.pool import RenderPool
from thumbq.pool.memory import memory_problem
from thumbq.process import Stop, SystemClock
from thumbq.web.app import create_app
from thumbq.web.server import HttpServer
from thumbq.web.services import UploadLimits, WebServices
from thumbq.worker import Consumer, make_consumer, make_shop
from thumbq.worker.advice import queue_advice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.web import Application

    from thumbq.ports import Backend
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KILL_RESERVE_S: Final = 2.0
"""The end of the shutdown's deadline that is kept for killing renders and giving their messages back."""

CLOSE_RESERVE_S: Final = 0.5
"""The very end of it, for closing the pool and the clients."""

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


@asynccontextmanager
async def open_backend(settings: Settings, *, existing: bool = False) -> AsyncIterator[Backend]:
    """Open and check the backend that the settings name. Raises SetupError with everything that is wrong.

    A local directory is made when it is missing, unless it should be ``existing``.
    """
    if settings.local is not None:
        from thumbq.local import is_local, open_local  # noqa: PLC0415 - each start loads only the backend that it uses

        if existing and not is_local(settings.local):
            what = f"there is nothing of thumbq in the directory {settings.local}"
            raise SetupError([Problem(what, "name the directory that thumbq serve --local keeps things in")])
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


def render_limits(settings: Settings) -> Limits:
    """Return what one render may cost by the settings."""
    return Limits(
        max_memory_bytes=settings.decode_bytes,
        max_cpu_s=settings.max_decode_cpu_s,
        max_scans=settings.max_scans,
        max_frames=settings.max_frames,
        max_animation_pixels=settings.max_animation_pixels,
    )


def render_pool(settings: Settings) -> RenderPool:
    """Return the pool that the settings describe, not yet started."""
    return RenderPool(
        processes=settings.processes,
        memory_limit_bytes=settings.render_memory_bytes,
        timeout_s=settings.render_timeout_s,
        limits=render_limits(settings),
        recycle_jobs=settings.render_max_jobs,
        recycle_growth_bytes=settings.render_max_growth_bytes,
        sandbox=settings.sandbox,
    )


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the whole service until SIGTERM or SIGINT; ``announce`` gets the address once it is ready.

    A signal during the start ends it; another one later ends the process at once (see Stop). Raises SetupError when
    the start cannot go on, and an exception group when a part has died.
    """
    stop, refusal = Stop(), None
    async with anyio.create_task_group() as tasks:
        await tasks.start(stop.watch)
        with stop.start:
            try:
                async with open_backend(settings) as backend:
                    await Service(settings, backend, stop).run(announce)
            except SetupError as error:
                refusal = error
        tasks.cancel_scope.cancel()
    if refusal is not None:
        raise refusal
    log.info("service.stopped")


class Service:
    """One replica: the web side and the consumer over one backend and one pool."""

    def __init__(self, settings: Settings, backend: Backend, stop: Stop) -> None:
        self._settings = settings
        self._backend = backend
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

    def stopping(self) -> bool:
        """Part of the Vitals: whether a signal has asked for the end."""
        return self._stop.asked.is_set()

    async def run(self, announce: Callable[[str], None]) -> None:
        """Start, serve until a signal, and stop in order: consumer, server, pool."""
        server = HttpServer(self._make_app(), shutdown_timeout_s=self._settings.shutdown_deadline_s)
        try:
            address = await self._listen(server)
            async with render_pool(self._settings) as pool:
                try:
                    await self._work(await self._make_consumer(pool), address, announce)
                finally:
                    await self._close(server)
        finally:
            await self._close(server)

    async def _work(self, consumer: Consumer, address: str, announce: Callable[[str], None]) -> None:
        self._consumer = consumer
        drained = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._consume, consumer, drained)
            self._phase = None
            self._stop.started = True
            log.info("service.ready", address=address, processes=self._settings.processes)
            announce(address)
            await self._stop.asked.wait()
            await self._drain(consumer, drained)
            tasks.cancel_scope.cancel()

    async def _make_consumer(self, pool: RenderPool) -> Consumer:
        settings = self._settings
        facts = await self._backend.queue.facts()
        advice = queue_advice(
            facts, visibility_timeout_s=settings.visibility_timeout_s, beat_interval_s=settings.beat_interval_s
        )
        for problem in (*advice, self._memory_problem(), pool.unconfined()):
            if problem is not None:
                log.warning("service.advice", problem=problem.what, fix=problem.fix)
        shop = make_shop(backend=self._backend, renderer=pool, settings=settings, clock=self._clock)
        return make_consumer(
            backend=self._backend,
            shop=shop,
            settings=settings,
            facts=facts,
            clock=self._clock,
            random=self._random,
        )

    def _memory_problem(self) -> Problem | None:
        settings = self._settings
        others = settings.max_in_flight_bytes + settings.max_uploads * settings.max_upload_bytes
        return memory_problem(settings.processes, settings.render_memory_bytes, others)

    def _make_app(self) -> Application:
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
                direct=make_direct_intake(self._backend, settings),
            )
        )

    async def _consume(self, consumer: Consumer, drained: anyio.Event) -> None:
        await consumer.run()
        drained.set()

    async def _listen(self, server: HttpServer) -> str:
        host, port = self._settings.host, self._settings.port
        try:
            await server.start(host, port)
        except OSError as error:
            problem = Problem(f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port or --host")
            raise SetupError([problem]) from error
        bound_host, bound_port = server.address
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound_host, bound_host)  # noqa: S104 - what to connect to
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

    async def _close(self, server: HttpServer) -> None:
        """Let open requests be answered; uploads whose bytes still come near the deadline are told to come again."""
        end = min(self._deadline, anyio.current_time() + self._settings.shutdown_deadline_s) - CLOSE_RESERVE_S
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cut_off_uploads, server, end - KILL_RESERVE_S / 2)
                with anyio.move_on_at(end):
                    await server.close()
                tasks.cancel_scope.cancel()


async def _cut_off_uploads(server: HttpServer, at: float) -> None:
    await anyio.sleep_until(at)
    server.cut_off_uploads()


def make_intake(backend: Backend) -> Intake:
    """Return the intake over a backend, with ids from the system's random source."""
    return Intake(backend=backend, clock=SystemClock(), random=random.SystemRandom())
