"""Traces that are kept in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from thumbq.core.tracecontext import TraceContext
from thumbq.ports.observing import observed_by
from thumbq.ports.tracing import followed_by
from thumbq.telemetry.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

SENDER = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1,other=a:b")
TRACE_ID = SENDER.ids[0]


class Spans:
    """The spans that have ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        return [span.name for span in self.all()]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span


@contextmanager
def traced(*, system: str = "thumbq", queues: Mapping[str, str] | None = None) -> Iterator[tuple[Traces, Spans]]:
    """Follow what is done in here."""
    traces = Traces(system=system, queues=queues or {"": "local"}, replica="one", version="1", exported=False)
    exporter = InMemorySpanExporter()
    traces.export_by(SimpleSpanProcessor(exporter))
    with observed_by([traces.tracer]), followed_by(traces.tracer):
        yield traces, Spans(exporter)


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def links(span: ReadableSpan) -> list[tuple[str, str]]:
    """Return the ids of the traces and spans that a span is linked to."""
    return [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
