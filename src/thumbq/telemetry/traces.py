"""The traces of a process: OpenTelemetry's SDK, set up by its own variables, and the exporter's end.

Spans wait in a queue of bounded length, and a thread exports them in batches: an endpoint that is away costs spans, and
never a job. Nothing here is of the process as a whole: no global provider, and no handler at its exit.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from thumbq.telemetry.exports import Exports
from thumbq.telemetry.spans import SCHEMA, Descriptions
from thumbq.telemetry.tracer import OtelTracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import SpanProcessor

_SERVICE: Final = "thumbq"


class Traces:
    """Makes spans, and has them exported, unless they are not to be ``exported``.

    Raises ValueError and OSError for what the variables say and cannot be.
    """

    def __init__(
        self,
        *,
        system: str,
        queues: Mapping[str, str],
        replica: str,
        version: str,
        exported: bool,
    ) -> None:
        resource = _resource(replica, version)
        self._exports = Exports(resource, InstrumentationScope(_SERVICE, version, SCHEMA))
        self._flushed: anyio.Event | None = None
        self._exporter = OTLPSpanExporter() if exported else None
        if self._exporter is not None:
            self.export_by(BatchSpanProcessor(self._exporter))
        self.tracer = OtelTracer(
            Descriptions(system=system, queues=queues),
            # The SDK reads the sampler's variables for its provider only.
            TracerProvider(resource=resource, shutdown_on_exit=False).sampler,
            self._exports,
        )

    def export_by(self, processor: SpanProcessor) -> None:
        """Have spans exported by this one, too."""
        self._exports.add(processor)

    def trace_id(self) -> str | None:
        """Return the id of the trace that goes on, for a metric's exemplar; None where none is recorded."""
        trace = self.tracer.trace()
        if trace is None:
            return None
        trace_id, _, flags = trace.ids
        return trace_id if flags & TraceFlags.SAMPLED else None

    async def flush(self, *, within_s: float) -> None:
        """Export what waits, as far as that goes in the time. What an earlier call has begun goes on first."""
        if self._flushed is None or self._flushed.is_set():
            self._flushed = _begun(self._exports.flush)
        with anyio.move_on_after(within_s):
            await self._flushed.wait()

    async def close(self, *, within_s: float) -> None:
        """Export what waits, as far as that goes in the time, and no more after it."""
        ended = _begun(self._exports.shutdown)
        with anyio.move_on_after(within_s):
            await ended.wait()
        if self._exporter is not None and not ended.is_set():
            # Else it tries again for as long as the endpoint does not answer.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # its only form


def _resource(replica: str, version: str) -> Resource:
    """Return what the spans are of; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before."""
    given = OTELResourceDetector().detect().attributes
    ours = {SERVICE_NAME: _SERVICE, SERVICE_VERSION: version, SERVICE_INSTANCE_ID: replica}
    return Resource.create({name: value for name, value in ours.items() if name not in given})


def _begun(work: Callable[[], object]) -> anyio.Event:
    """Do what blocks in a thread that the end of the process does not wait for. Returns what is set at its end."""
    loop, ended = asyncio.get_running_loop(), anyio.Event()

    def run() -> None:
        try:
            work()
        finally:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=run, name="traces", daemon=True).start()
    return ended
