"""The function of one execution environment: what its first invocation opens serves the later ones too."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from thumbq.aws_lambda.event import records
from thumbq.aws_lambda.queuebatch import Times
from thumbq.aws_lambda.runtime import LambdaRuntime, keep_open
from thumbq.backends import version
from thumbq.ports.observing import observed_by
from thumbq.ports.tracing import followed_by
from thumbq.process import SystemClock, replica_name
from thumbq.settings import load
from thumbq.telemetry.emf import EmfLines
from thumbq.telemetry.logs import configure, write_document
from thumbq.telemetry.traceswitch import open_traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.aws_lambda.event import Record
    from thumbq.ports import ReceivedMessage
    from thumbq.telemetry.traces import Traces

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_EXPORT_S: Final = 2.0
"""How long a call waits for its spans to be exported, at most; and never for more than half of what is left."""


class Context(Protocol):
    """What the function needs of Lambda's context object."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return how long it is until Lambda ends the function."""
        ...


class Function:
    """A callable for Lambda. The event loop, the clients and the pool are made by the first call and kept.

    The loop runs during calls only, and between two of them an environment may stand still for hours: a connection that
    was closed or a render process that died meanwhile is replaced when it is needed.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._opening: asyncio.Task[None] | None = None
        self._runtime: LambdaRuntime | None = None
        self._emf: EmfLines | None = None
        self._traces: Traces | None = None

    def __call__(self, event: Any, context: Context) -> dict[str, Any]:
        """Work off the messages of ``event``; returns which of them have to come again.

        Raises SetupError with everything that is wrong with the event, the settings, the bucket or the queue.
        """
        batch = records(event)
        if self._runner is None:
            self._runner = asyncio.Runner()
        failed = self._runner.run(self._handle(batch, context)) if batch else []
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def close(self) -> None:
        """End all that the calls have made."""
        if self._runner is not None:
            self._runner.run(self._end())
            self._runner.close()
            self._runner = self._runtime = self._opening = None

    async def _handle(self, batch: Sequence[Record], context: Context) -> list[str]:
        structlog.contextvars.clear_contextvars()
        runtime = await self._opened(batch[0].queue_arn)
        structlog.contextvars.bind_contextvars(request_id=context.aws_request_id)
        by_queue: dict[str, list[ReceivedMessage]] = defaultdict(list)
        for record in batch:
            by_queue[record.queue_arn].append(record.message)
        queues = {arn: await runtime.queue(arn) for arn in by_queue}
        times = Times.within(context.get_remaining_time_in_millis() / 1000)
        failed: list[str] = []
        with self._observed():
            for arn, messages in by_queue.items():
                failed += await queues[arn].handle(messages, times)
        log.info("batch.done", messages=len(batch), failed=len(failed))
        if self._emf is not None:
            write_document(self._emf.line(SystemClock().wall()))
        if self._traces is not None:
            # Between two calls nothing runs, and nobody knows whether there will be another.
            await self._traces.flush(within_s=min(_EXPORT_S, context.get_remaining_time_in_millis() / 2000))
        return failed

    @contextmanager
    def _observed(self) -> Iterator[None]:
        tracer = None if self._traces is None else self._traces.tracer
        with observed_by([each for each in (self._emf, tracer) if each is not None]), followed_by(tracer):
            yield

    async def _end(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])

    async def _opened(self, queue_arn: str) -> LambdaRuntime:
        """Return the runtime; it stays open in a task of its own, which ends with the event loop."""
        if self._runtime is None or self._opening is None or self._opening.done():
            # A settings file may be the service's too, with queues of which the messages here know nothing.
            settings = load(queue=queue_arn, queues=())
            configure(settings.log_level, replica=replica_name())
            opened: asyncio.Future[LambdaRuntime] = asyncio.get_running_loop().create_future()
            self._emf = EmfLines() if settings.emf else None
            about = {"replica": replica_name(), "version": version()}
            self._traces = open_traces(system="aws_sqs", queues={}, **about)
            with self._observed():
                self._opening = asyncio.create_task(keep_open(settings, opened.set_result))
            awaited: list[asyncio.Future[Any]] = [self._opening, opened]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if self._opening.done():
                self._opening.result()
            self._runtime = opened.result()
        return self._runtime
