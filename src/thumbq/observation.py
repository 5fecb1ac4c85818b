"""What is told of a replica at work, as the settings have it: metrics for Prometheus, and for CloudWatch, and traces.

Nothing is loaded of what is off.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.backends import version
from thumbq.ports.observing import observed_by
from thumbq.ports.tracing import followed_by
from thumbq.telemetry.emf import EVERY_S, EmfLines
from thumbq.telemetry.logs import write_document
from thumbq.telemetry.looplag import LoopLag
from thumbq.telemetry.state import ReplicaState
from thumbq.telemetry.traceswitch import open_traces
from thumbq.web.metrics import serving_metrics
from thumbq.web.routes import ROUTES
from thumbq.web.services import SERVICES, UPLOADS
from thumbq.worker.queuecounts import QueueCountsWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from aiohttp import web

    from thumbq.jobs.resources import JobResources
    from thumbq.ports import Backend, Clock
    from thumbq.ports.observing import Exposition, Observer
    from thumbq.settings import Settings
    from thumbq.telemetry.metrics import Metrics
    from thumbq.telemetry.traces import Traces
    from thumbq.web.server import BoundedServer
    from thumbq.worker.consumers import Consumers
    from thumbq.worker.pausewatch import PauseWatch

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


_EXPORT_S: Final = 3.0
"""How long a stop waits for an endpoint of traces that does not answer."""


class Observation:
    """Who observes a replica, and what they ask for from time to time."""

    def __init__(self, settings: Settings, clock: Clock, *, replica: str) -> None:
        self._settings = settings
        self._clock = clock
        self._traces = make_traces(settings, replica)
        self._metrics = _metrics(settings, self._traces)
        self._emf = EmfLines() if settings.emf else None
        self._server: BoundedServer | None = None
        self._lag = LoopLag()
        self._counts = QueueCountsWatch({})
        self._state: Callable[[], ReplicaState] = ReplicaState

    @property
    def exposition(self) -> Exposition | None:
        """The metrics as text; None where there are none."""
        return self._metrics

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Have what is done in here followed, and what happens told to the observers."""
        tracer = None if self._traces is None else self._traces.tracer
        with observed_by(tuple(self._observers())), followed_by(tracer):
            yield

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the metrics on a port of their own, if there is one. Raises SetupError."""
        async with AsyncExitStack() as stack:
            port = self._settings.metrics_port
            if port is not None and self._metrics is not None:
                host = self._settings.host
                self._server = await stack.enter_async_context(serving_metrics(self._metrics, host, port))
                log.info("metrics.ready", host=host, port=self._server.address[1])
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
            if self._server is not None:
                tasks.start_soon(self._server.watch)
            if self._emf is not None:
                tasks.start_soon(self._write_lines, self._emf)

    async def end(self, *, by: float) -> None:
        """Have all spans exported, if that goes until ``by``, a time of the event loop, and goes soon."""
        if self._traces is not None:
            await self._traces.close(within_s=min(by - anyio.current_time(), _EXPORT_S))

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
        if self._traces is not None:
            yield self._traces.tracer


def make_traces(settings: Settings, replica: str) -> Traces | None:
    """Return the traces of a process, if the environment has them on."""
    system = "aws_sqs" if settings.local is None else "thumbq"
    return open_traces(system=system, queues=_own_names(settings), replica=replica, version=version())


def _own_names(settings: Settings) -> dict[str, str]:
    """Return the queues' own names, by those in the settings: of a URL or an ARN, the last part."""
    return {config.name: re.split("[/:]", config.own_name.rstrip("/"))[-1] for config in settings.opened_queues}


def _metrics(settings: Settings, traces: Traces | None) -> Metrics | None:
    if not settings.has_metrics:
        return None
    from thumbq.telemetry.metrics import Metrics  # noqa: PLC0415 - only who has metrics loads prometheus_client

    queues = [config.name for config in settings.opened_queues]
    routes = [route.path for route in ROUTES]
    told = {} if traces is None else {"trace_id": traces.trace_id}
    return Metrics(queues=queues, routes=routes, version=version(), events=bool(settings.events), **told)
