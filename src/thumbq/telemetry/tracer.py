"""The tracer: a span for each piece of work, and what its observer adds to it.

A request and a message begin spans in any case; all the rest is part of one of these, and has no span without. The
sampler decides when they begin, and the spans within follow.

A span of OpenTelemetry's SDK takes 40 µs of CPU time. These take a few, and become one of the SDK's, which is no more
than a record, when they are handed to who exports them.
"""

from __future__ import annotations

import random
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from thumbq.core.tracecontext import TraceContext
from thumbq.ports.observing import Attempted, Called, Told, Uploaded
from thumbq.ports.tracing import UNFOLLOWED, Answering, Handling
from thumbq.telemetry.exports import context_of
from thumbq.telemetry.spans import BUCKET, NOTES, answered

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.sdk.trace.sampling import Sampler

    from thumbq.ports.observing import Happened
    from thumbq.ports.tracing import Note, Work
    from thumbq.telemetry.exports import Exports
    from thumbq.telemetry.spans import Described, Descriptions

_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_FAILED: Final = ("failed", "retried", "given-up")
_RANDOM: Final = 2
"""The flag of a trace whose id is random (W3C Trace Context Level 2, "Random Trace ID Flag")."""

_current: Final[ContextVar[_Span | None]] = ContextVar("span", default=None)


class OtelTracer:
    """A Tracer and an Observer: it follows what is done, and adds to spans what happens in them."""

    def __init__(self, descriptions: Descriptions, sampler: Sampler, exports: Exports) -> None:
        self._descriptions = descriptions
        self._sampler = sampler
        self._exports = exports

    def during(self, work: Work) -> AbstractContextManager[Note]:
        """Stand around a piece of work; see Tracer."""
        if isinstance(work, Answering | Handling):
            return self._begun(self._descriptions.of(work))
        within = _current.get()
        if within is None or not within.recorded:
            return UNFOLLOWED
        described = self._descriptions.of(work)
        return _Span(self, described, described.attributes, within.context, within.context, recorded=True)

    def trace(self) -> TraceContext | None:
        """Return the trace of this context's work; see Tracer."""
        span = _current.get()
        return None if span is None else span.trace

    def observe(self, happened: Happened) -> None:
        """Add to the span that goes on what happens in it; see Observer."""
        span = _current.get()
        if span is None or not span.recorded:
            return
        match happened:
            case Attempted():
                span.add("attempted", ending=happened.ending, code=happened.code, key=happened.key)
                if happened.ending in _FAILED:
                    span.failed(happened.code or happened.ending)
            case Uploaded():
                span.add("uploaded", code=happened.code, size=happened.size)
            case Told():
                span.add("told", by=happened.by, ending=happened.ending, attempt=happened.attempt)
            case Called(service="s3", status=int(status), headers=headers) if BUCKET in span.attributes:
                span.attributes |= answered(status, headers or {})
            case _:
                pass

    def ended(self, span: _Span) -> None:
        """Hand a span on that is to be exported."""
        self._exports.hand_on(span)

    def _begun(self, described: Described) -> _Span:
        """Begin a span whose parent is in another process, or that has none; the sampler decides about it."""
        parent = None if described.parent is None else context_of(described.parent)
        trace_id = random.getrandbits(128) if parent is None else parent.trace_id
        above = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
        sampled = self._sampler.should_sample(above, trace_id, described.name, described.kind, described.attributes)
        flags = _RANDOM if parent is None else parent.trace_flags & _RANDOM
        if sampled.decision is Decision.RECORD_AND_SAMPLE:
            flags |= TraceFlags.SAMPLED
        root = SpanContext(trace_id, 1, is_remote=False, trace_flags=TraceFlags(flags), trace_state=sampled.trace_state)
        attributes = {**described.attributes, **sampled.attributes}
        return _Span(self, described, attributes, root, parent, recorded=sampled.decision is not Decision.DROP)


class _Span:
    """A piece of work: ``of`` is a context of its trace, ``parent`` that of the span above it."""

    def __init__(
        self,
        tracer: OtelTracer,
        described: Described,
        attributes: dict[str, str | int],
        of: SpanContext,
        parent: SpanContext | None,
        *,
        recorded: bool,
    ) -> None:
        self.described = described
        self.attributes = attributes
        self.parent = parent
        self.recorded = recorded
        self.events: list[tuple[str, dict[str, str | int], int]] = []
        self.status = _UNSET
        self.began_at = time.time_ns()
        self._tracer = tracer
        self._of = of
        # No cached properties: each of these takes a lock.
        self._context: SpanContext | None = None
        self._trace: TraceContext | None = None
        self._token: Token[_Span | None] | None = None

    @property
    def context(self) -> SpanContext:
        """Its own context, for which not every span is asked."""
        if self._context is None:
            span_id, of = random.getrandbits(64) or 1, self._of
            self._context = SpanContext(
                of.trace_id, span_id, is_remote=False, trace_flags=of.trace_flags, trace_state=of.trace_state
            )
        return self._context

    @property
    def trace(self) -> TraceContext:
        """The context as it travels with what this work sends."""
        if self._trace is None:
            context = self.context
            parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
            self._trace = TraceContext(parent, context.trace_state.to_header() or None)
        return self._trace

    def __enter__(self) -> Note:
        self._token = _current.set(self)
        return self._note

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        if self.recorded:
            if error is not None:
                self.failed(getattr(error, "code", None) or type(error).__name__)
            self._tracer.ended(self)

    def add(self, name: str, **members: str | int | None) -> None:
        """Add an event."""
        known = {f"thumbq.{member}": value for member, value in members.items() if value is not None}
        self.events.append((name, known, time.time_ns()))

    def failed(self, error_type: str) -> None:
        """Say that the work has failed."""
        self.attributes["error.type"] = error_type
        self.status = _ERROR

    def _note(self, **members: str | int | None) -> None:
        for name, value in members.items():
            if value is not None:
                self.attributes[NOTES[name]] = value
        status = members.get("status")
        # HTTP spans, "Status": what a client has done wrong is no error of the server.
        least = _SERVER_ERROR if self.described.kind is SpanKind.SERVER else _CLIENT_ERROR
        if isinstance(status, int) and status >= least:
            self.failed(str(status))
