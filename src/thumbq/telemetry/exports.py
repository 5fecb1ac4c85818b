"""What becomes of spans that have ended: a record of OpenTelemetry's SDK for each, for those who export them.

A collector takes text in UTF-8, and a client may send what is none, and as much as it likes: it costs no span, and the
limits are the SDK's own variables.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, Status, TraceFlags
from opentelemetry.trace.span import TraceState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from thumbq.core.tracecontext import TraceContext
    from thumbq.telemetry.spans import Described


class Ended(Protocol):
    """A span that has ended. Times are nanoseconds since the epoch; an event is its name, attributes and time."""

    described: Described
    parent: SpanContext | None
    attributes: dict[str, str | int]
    events: list[tuple[str, dict[str, str | int], int]]
    status: Status
    began_at: int

    @property
    def context(self) -> SpanContext:
        """Return its own context."""
        ...


class Exports:
    """Hands spans to processors, as those of a ``resource`` and a ``scope``.

    Raises ValueError for limits in the environment that are no numbers.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope
        self._limits = SpanLimits()
        self._processors: list[SpanProcessor] = []

    def add(self, processor: SpanProcessor) -> None:
        """Have spans handed to this one, too."""
        self._processors.append(processor)

    def hand_on(self, span: Ended) -> None:
        """Make the record of a span, if there is anybody to take it."""
        if not self._processors:
            return
        described = span.described
        read = ReadableSpan(
            described.name,
            span.context,
            span.parent,
            self._resource,
            self._exportable(span.attributes),
            self._events(span.events),
            () if described.link is None else (Link(context_of(described.link)),),
            described.kind,
            status=span.status,
            start_time=span.began_at,
            end_time=time.time_ns(),
            instrumentation_scope=self._scope,
        )
        for processor in self._processors:
            processor.on_end(read)

    def flush(self) -> None:
        """Export what waits; blocks."""
        for processor in self._processors:
            processor.force_flush()

    def shutdown(self) -> None:
        """Export what waits, and no more after it; blocks."""
        for processor in self._processors:
            processor.shutdown()

    def _exportable(self, attributes: Mapping[str, str | int]) -> dict[str, str | int]:
        longest = self._limits.max_span_attribute_length
        return {name: value if isinstance(value, int) else _text(value)[:longest] for name, value in attributes.items()}

    def _events(self, events: Sequence[tuple[str, Mapping[str, str | int], int]]) -> Sequence[Event]:
        made = [Event(name, self._exportable(members), at) for name, members, at in events]
        most = self._limits.max_events
        # The SDK's list counts the first ones, which it leaves out.
        return made if most is None or len(made) <= most else BoundedList.from_seq(most, made)


def context_of(trace: TraceContext) -> SpanContext:
    """Return the context of a span in another process."""
    trace_id, span_id, flags = trace.ids
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(flags), trace_state=state
    )


def _text(value: str) -> str:
    """Return a text in UTF-8: bytes of a header that are none come as lone surrogates."""
    return value if value.isascii() else value.encode(errors="replace").decode()
