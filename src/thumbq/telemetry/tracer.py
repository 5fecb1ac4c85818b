"""The tracer: a span of OpenTelemetry for each piece of work, and what its observer adds to it.

A request and a message begin spans in any case; all the rest is part of one of these, and has no span without.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from thumbq.core.tracecontext import TraceContext
from thumbq.ports.observing import Attempted, Called, Told, Uploaded
from thumbq.ports.tracing import UNFOLLOWED, Answering, Handling
from thumbq.telemetry.spans import NOTES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.trace import Span, Tracer

    from thumbq.ports.observing import Happened
    from thumbq.ports.tracing import Note, Work
    from thumbq.telemetry.spans import Descriptions

_NONE: Final = Context()
_ERROR: Final = Status(StatusCode.ERROR)
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_FAILED: Final = ("failed", "retried", "given-up")

_current: Final[ContextVar[_Followed | None]] = ContextVar("span", default=None)


class OtelTracer:
    """A Tracer and an Observer: it follows what is done, and adds to spans what happens in them."""

    def __init__(self, tracer: Tracer, descriptions: Descriptions) -> None:
        self._tracer = tracer
        self._descriptions = descriptions

    def during(self, work: Work) -> AbstractContextManager[Note]:
        """Stand around a piece of work; see Tracer."""
        within = _current.get()
        begins = isinstance(work, Answering | Handling)
        if not begins and (within is None or not within.span.is_recording()):
            return UNFOLLOWED
        described = self._descriptions.of(work)
        if begins:
            parent = _NONE if described.parent is None else set_span_in_context(_remote(described.parent), _NONE)
        else:
            assert within is not None
            parent = within.context
        links = () if described.link is None else (Link(_remote(described.link).get_span_context()),)
        span = self._tracer.start_span(
            described.name, parent, kind=described.kind, attributes=described.attributes, links=links
        )
        return _Followed(span, described.kind)

    def trace(self) -> TraceContext | None:
        """Return the trace of this context's work; see Tracer."""
        followed = _current.get()
        return None if followed is None else followed.trace

    def observe(self, happened: Happened) -> None:
        """Add to the span that goes on what happens in it; see Observer."""
        followed = _current.get()
        if followed is None:
            return
        match happened:
            case Attempted():
                followed.add("attempted", ending=happened.ending, code=happened.code, key=happened.key)
                if happened.ending in _FAILED:
                    followed.failed(happened.code or happened.ending)
            case Uploaded():
                followed.add("uploaded", code=happened.code, size=happened.size)
            case Told():
                followed.add("told", by=happened.by, ending=happened.ending, attempt=happened.attempt)
            case Called(service="s3", status=int(status)):
                followed.span.set_attribute("http.response.status_code", status)
            case _:
                pass


class _Followed:
    """A piece of work, and its span."""

    def __init__(self, span: Span, kind: SpanKind) -> None:
        self.span = span
        self.context = set_span_in_context(span, _NONE)
        self._kind = kind
        self._token: Token[_Followed | None] | None = None

    @property
    def trace(self) -> TraceContext:
        """The context that travels with what this work sends."""
        context = self.span.get_span_context()
        parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return TraceContext(parent, context.trace_state.to_header() or None)

    def __enter__(self) -> Note:
        self._token = _current.set(self)
        return self._note

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        if error is not None:
            self.failed(getattr(error, "code", None) or type(error).__name__)
        self.span.end()

    def add(self, name: str, **members: str | int | None) -> None:
        """Add an event to the span."""
        self.span.add_event(name, {f"thumbq.{name}": value for name, value in members.items() if value is not None})

    def failed(self, error_type: str) -> None:
        """Say that the work has failed."""
        self.span.set_attribute("error.type", error_type)
        self.span.set_status(_ERROR)

    def _note(self, **members: str | int | None) -> None:
        for name, value in members.items():
            if value is not None:
                self.span.set_attribute(NOTES[name], value)
        status = members.get("status")
        # HTTP spans, "Status": what a client has done wrong is no error of the server.
        least = _SERVER_ERROR if self._kind is SpanKind.SERVER else _CLIENT_ERROR
        if isinstance(status, int) and status >= least:
            self.failed(str(status))


def _remote(trace: TraceContext) -> NonRecordingSpan:
    trace_id, span_id, flags = trace.ids
    state = TraceState.from_header([trace.state]) if trace.state else None
    return NonRecordingSpan(
        SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(flags), trace_state=state
        )
    )
