"""What is told of a replica at work, as the settings have it: metrics for Prometheus, and for CloudWatch.

Nothing is loaded of what is off.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import structlog

from thumbq.ports.observing import observed_by
from thumbq.telemetry.emf import EVERY_S, EmfLines
from thumbq.telemetry.logs import write_document
from thumbq.telemetry.looplag import LoopLag
from thumbq.telemetry.state import ReplicaState
from thumbq.web.metrics import serving_metrics
from thumbq.web.routes import ROUTES
from thumbq.web.services import SERVICES, UPLOADS
from thumbq.worker.queuecounts import QueueCountsWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from aiohttp import web

    from thumbq.jobs.resources import JobResources
    from thumbq.ports import Backend, Clock
    from thumbq.ports.observing import Exposition, Observer
    from thumbq.settings import Settings
    from thumbq.telemetry.metrics import Metrics
    from thumbq.worker.consumers import Consumers
    from thumbq.worker.pausewatch import PauseWatch

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Observation:
    """Who observes a replica, and what they ask for from time to time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = _metrics(settings)
        self._emf = EmfLines() if settings.emf else None
        self._lag = LoopLag()
        self._counts = QueueCountsWatch({})
        self._state: Callable[[], ReplicaState] = ReplicaState

    @property
    def exposition(self) -> Exposition | None:
        """The metrics as text; None where there are none."""
        return self._metrics

    def observed(self) -> AbstractContextManager[None]:
        """Return the context in which what happens is told to the observers."""
        return observed_by(tuple(self._observers()))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the metrics on a port of their own, if there is one. Raises SetupError."""
        async with AsyncExitStack() as stack:
            port = self._settings.metrics_port
            if port is not None and self._metrics is not None:
                host = self._settings.host
                bound = await stack.enter_async_context(serving_metrics(self._metrics, host, port))
                log.info("metrics.ready", host=host, port=bound)
            yield

    def reads(
        self,
        app: web.Application,
        consumers: Consumers,
        pauses: PauseWatch,
        resources: JobResources,
        backends: Sequence[Backend],
    ) -> None:
        """Tell from now on what these are at; ``backends`` are those of all queues of the settings."""
        opened = self._settings.opened_queues
        queues = zip(opened, backends, strict=True)
        self._counts = QueueCountsWatch({config.name: backend.queue for config, backend in queues})
        uploads, waiters = app[UPLOADS], app[SERVICES].waiters

        def state() -> ReplicaState:
            places, paused = consumers.places(), pauses.paused()
            return ReplicaState(
                in_flight={queue: taken for queue, (taken, _) in places.items()},
                places={queue: total for queue, (_, total) in places.items()},
                held={"originals": resources.budget.held, "uploads": uploads.held},
                waiting={"render": resources.renderer.waiting(), "upload": uploads.waiting, "news": waiters.number},
                away={
                    None: resources.health.outage is not None,
                    **{queue: since is not None for queue, since in consumers.away_since().items()},
                },
                paused={config.name: config.label in paused for config in opened},
                counts=dict(self._counts.last),
                loop_lag_s=self._lag.longest_s,
            )

        self._state = state
        if self._metrics is not None:
            self._metrics.reads(state)

    async def run(self) -> None:
        """Ask and tell from time to time, until cancelled; at the end tell what has not been told."""
        async with anyio.create_task_group() as tasks:
            if self._metrics is not None:
                tasks.start_soon(self._counts.run)
                tasks.start_soon(self._lag.run)
            if self._emf is not None:
                tasks.start_soon(self._write_lines, self._emf)

    async def _write_lines(self, emf: EmfLines) -> None:
        try:
            while True:
                await anyio.sleep(EVERY_S)
                write_document(emf.line(self._clock.wall(), self._state()))
        finally:
            write_document(emf.line(self._clock.wall(), self._state()))

    def _observers(self) -> Iterator[Observer]:
        if self._metrics is not None:
            yield self._metrics
        if self._emf is not None:
            yield self._emf


def _metrics(settings: Settings) -> Metrics | None:
    if not settings.has_metrics:
        return None
    from thumbq.telemetry.metrics import Metrics  # noqa: PLC0415 - only who has metrics loads prometheus_client

    queues = [config.name for config in settings.opened_queues]
    return Metrics(queues=queues, routes=[route.path for route in ROUTES], events=bool(settings.events))
