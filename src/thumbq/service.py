"""The composition root of `thumbq serve`: it makes the parts, starts them, and shuts them down in order."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio
import structlog

from thumbq import descriptors
from thumbq.backends import description, open_backends
from thumbq.core import callbackmessage
from thumbq.core.catalog import CatalogInForce
from thumbq.errors import Problem, SetupError
from thumbq.jobs.eventpublisher import event_announcers, events_problem
from thumbq.jobs.resources import make_job_resources
from thumbq.jobs.storewatch import ObservedStore, StoreWatch
from thumbq.memory import derived, memory_problem, return_uploads
from thumbq.observation import Observation
from thumbq.ports.observing import observed_by
from thumbq.process import Stop, SystemClock, at_hangups
from thumbq.rendering import render_pool
from thumbq.settingsreload import SettingsReload
from thumbq.web.accessrules import AccessRules, make_access_rules
from thumbq.web.making import make_app, make_desk
from thumbq.web.server import HttpServer
from thumbq.web.services import SERVICES
from thumbq.web.trying import TRIES
from thumbq.webhooks.making import make_handler, make_sender
from thumbq.worker import make_consumers
from thumbq.worker.pausewatch import PauseWatch
from thumbq.worker.replicahealth import ReplicaHealth
from thumbq.worker.warnings import start_warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from thumbq.descriptors import Descriptors
    from thumbq.jobs.resources import JobResources
    from thumbq.pool.renderpool import RenderPool
    from thumbq.ports import Announcer, Backend
    from thumbq.settings import Settings
    from thumbq.webhooks.handler import CallbackHandler
    from thumbq.worker.consumers import Consumers

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KILL_RESERVE_S: Final = 2.0
"""The end of the shutdown's deadline that is kept for killing renders and giving their messages back."""

CLOSE_RESERVE_S: Final = 0.5
"""The very end of it, for closing the pool and the clients."""


async def serve(
    settings: Settings,
    announce: Callable[[str], None],
    *,
    replica: str,
    stop_begins: Callable[[], None],
    read_again: Callable[[], Settings] | None = None,
) -> None:
    """Run the whole service until SIGTERM or SIGINT; ``announce`` gets the address once it is ready.

    The log knows it as ``replica``. ``stop_begins`` is called when its end begins, for whatever reason. ``read_again``
    reads the settings for a SIGHUP, which asks for the stop where nothing is to be read.
    A signal during the start ends it; another one later ends the process at once (see Stop). Raises SetupError when
    the start cannot go on, and an exception group when a part has died.
    """
    access = make_access_rules(settings)
    catalogs = CatalogInForce(settings.catalog)
    reload = None if read_again is None else SettingsReload(settings, read_again, catalogs, access.tokens).reload
    settings = derived(settings)
    return_uploads()
    stop, refusal = Stop(stop_begins, hangups=reload is None), None
    async with anyio.create_task_group() as tasks:
        await tasks.start(stop.watch)
        await tasks.start(at_hangups, reload)
        with stop.start:
            try:
                left = descriptors.share(descriptors.raise_limit(), settings)
                observation = Observation(settings, SystemClock(), replica=replica)
                with observation.observed():
                    async with observation.serving(), open_backends(settings) as backends:
                        parts: dict[str, Any] = {"replica": replica, "access": access, "observation": observation}
                        service = Service(settings, backends, stop, left, catalogs=catalogs, **parts)
                        await service.run(announce)
            except SetupError as error:
                refusal = error
        tasks.cancel_scope.cancel()
    if refusal is not None:
        raise refusal
    log.info("service.stopped")


class Service:
    """One replica: the web side and a consumer for each queue, over one store and one pool."""

    def __init__(
        self,
        settings: Settings,
        backends: Sequence[Backend],
        stop: Stop,
        left: Descriptors,
        *,
        replica: str,
        access: AccessRules,
        observation: Observation,
        catalogs: CatalogInForce,
    ) -> None:
        self._settings = settings
        self._catalogs = catalogs
        self._observation = observation
        self._access = access
        self._replica = replica
        self._backends = backends
        self._opened = tuple(zip(settings.opened_queues, backends, strict=True))
        self._queues = self._opened[: len(settings.queue_configs)]
        self._callbacks = None if settings.webhooks_queue is None else backends[-1]
        self._backend = next(backend for config, backend in self._queues if config.default)
        self._clock = SystemClock()
        self._random = random.Random()  # noqa: S311 - jitter; ids take the system's random source
        self._stop = stop
        self._descriptors = left
        self._health = ReplicaHealth(stop.asked.is_set, one_directory=settings.local is not None)
        self._store_watch: StoreWatch | None = None
        self._deadline = math.inf

    async def run(self, announce: Callable[[str], None]) -> None:
        """Start, work until a signal, and shut down in order: consumers, server, pool."""
        opened = [(config, self._observed(backend)) for config, backend in self._opened]
        backend = self._observed(self._backend)
        desk = make_desk(opened, replica=self._replica, clock=self._clock)
        sender = make_sender(self._settings, self._callbacks, self._catalogs)
        app = make_app(
            self._settings,
            backend,
            desk,
            catalogs=self._catalogs,
            health=self._health,
            access=self._access,
            callbacks=sender,
            exposition=self._observation.exposition,
        )
        shutdown_s, connections = self._settings.shutdown_deadline_s, self._descriptors.connections
        server = HttpServer(app, shutdown_timeout_s=shutdown_s, max_connections=connections)
        try:
            await server.listen(self._settings.host, self._settings.port)
            async with render_pool(self._settings) as pool:
                try:
                    app[TRIES].use(pool)
                    resources = make_job_resources(
                        backend=self._backend,
                        renderer=pool,
                        settings=self._settings,
                        clock=self._clock,
                        announcers=self._announcers(app[SERVICES].waiters, sender),
                        catalogs=self._catalogs,
                    )
                    self._store_watch = StoreWatch(self._backend, resources.health)
                    pauses = PauseWatch(self._backend.store, backend.bucket, desk.queues)
                    upkeep = [self._backend.upkeep.run] if self._backend.upkeep is not None else []
                    beside = (server.watch, self._store_watch.run, pauses.run, self._observation.run, *upkeep)
                    handler = make_handler(self._settings, resources, self._random)
                    consumers = await self._make_consumers(pool, resources, pauses, handler)
                    self._health.watches(consumers, self._store_watch, pauses)
                    self._observation.reads(app, consumers, pauses, resources, self._backends)
                    with observed_by([desk.series]):
                        await self._main_loop(server, consumers, beside, announce)
                finally:
                    await self._shut_down_server(server)
        finally:
            await self._shut_down_server(server)
            await self._observation.end(by=self._ends_at(CLOSE_RESERVE_S / 2))

    async def _main_loop(
        self,
        server: HttpServer,
        consumers: Consumers,
        beside: Iterable[Callable[[], Coroutine[Any, Any, None]]],
        announce: Callable[[str], None],
    ) -> None:
        """Work until a signal asks for the stop, and until the consumers have stopped."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consumers.run)
                for watch in beside:
                    tasks.start_soon(watch)
                self._health.started()
                self._stop.started = True
                access = "open" if self._access.tokens is None else "tokens"
                about = {"replica": self._replica, "access": access, **description(self._settings)}
                log.info("service.ready", address=server.url, **about)
                announce(server.url)
                await self._stop.asked.wait()
                server.answer_waiting()
                await self._shut_down_consumers(consumers)
                tasks.cancel_scope.cancel()
        finally:
            self._stop.begins()  # also when a part has died

    async def _make_consumers(
        self, pool: RenderPool, resources: JobResources, pauses: PauseWatch, handler: CallbackHandler | None
    ) -> Consumers:
        settings = self._settings
        queues = [
            (config, pauses.pausable(backend, config.label), await backend.queue.attributes())
            for config, backend in self._queues
        ]
        of_callbacks = None if self._callbacks is None else await self._callbacks.queue.attributes()
        warnings = start_warnings(settings, [attributes for _, _, attributes in queues], of_callbacks)
        for problem in dict.fromkeys((*warnings, *self._own_problems(), pool.unconfined())):
            if problem is not None:
                log.warning("service.warning", problem=problem.what, fix=problem.fix)
        called = self._callbacks and pauses.pausable(self._callbacks, callbackmessage.QUEUE)
        callbacks = None if handler is None or called is None else (called, handler)
        return make_consumers(queues, resources=resources, settings=settings, random=self._random, callbacks=callbacks)

    def _announcers(self, waiters: Announcer, callbacks: Announcer | None) -> list[Announcer]:
        # A target of events that is away holds back no waiter and no callback.
        outside = () if callbacks is None else (callbacks,)
        return [waiters, *outside, *event_announcers(self._settings, self._backend, self._catalogs)]

    def _own_problems(self) -> tuple[Problem | None, ...]:
        return memory_problem(self._settings), self._descriptors.warning, events_problem(self._settings)

    def _observed(self, backend: Backend) -> Backend:
        """Return a backend for the web side: its failures count too."""
        return replace(backend, store=ObservedStore(backend.store, self._store_failed))

    def _store_failed(self) -> None:
        if self._store_watch is not None:
            self._store_watch.failed()

    async def _shut_down_consumers(self, consumers: Consumers) -> None:
        """Take no new messages and let running jobs end; what is left near the deadline is killed and given back."""
        self._deadline = anyio.current_time() + self._settings.shutdown_deadline_s
        self._health.drains()
        await consumers.shut_down(by=self._deadline, kill_reserve_s=KILL_RESERVE_S)

    async def _shut_down_server(self, server: HttpServer) -> None:
        """Let open requests be answered; uploads whose bytes still come near the deadline are told to come again."""
        end = self._ends_at(CLOSE_RESERVE_S)
        await server.shut_down(by=end, cut_off_uploads_at=end - KILL_RESERVE_S / 2)

    def _ends_at(self, reserve_s: float) -> float:
        return min(self._deadline, anyio.current_time() + self._settings.shutdown_deadline_s) - reserve_s
