"""The other end of the hook: what takes a while tells when it begins, too.

A room that works says ``with during(…)`` around it, and knows nobody who follows. Who follows, a tracer, is a matter of
the context, as observers are. Where there is none this costs less than a microsecond.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from thumbq.core.tracecontext import TraceContext
    from thumbq.ports.observing import Stage

Note: TypeAlias = "Callable[..., None]"
"""Takes what is known only at the end of a piece of work, by name: texts and numbers; None is nothing."""


class Answering(NamedTuple):
    """An HTTP request is answered. ``route`` is its path in the table of routes; None for none of these.

    ``origin`` returns the scheme that the client used, and its address; ``sender`` is the client's trace. Notes:
    ``status``, and ``code`` of a refusal.
    """

    method: str
    route: str | None
    path: str
    headers: Mapping[str, str]
    origin: Callable[[], tuple[str, str]]
    sender: TraceContext | None


class Sending(NamedTuple):
    """A message is sent to a queue, by its own name. A note: ``message_id``."""

    queue: str


class Handling(NamedTuple):
    """A received message of a queue, by its name in the settings, until it is off the queue or given back.

    A note: ``disposition``.
    """

    queue: str
    message_id: str
    receive_count: int
    sender: TraceContext | None


class InStage(NamedTuple):
    """A stage of a job. Notes: ``size``, in bytes; ``message_id`` of an ack."""

    stage: Stage
    queue: str
    key: str | None = None


class Asking(NamedTuple):
    """An operation of S3 about an object, or about a listing from a prefix."""

    operation: str
    bucket: str
    key: str


class Calling(NamedTuple):
    """A callback's call to its endpoint. A note: ``status``."""

    url: str


class Publishing(NamedTuple):
    """An event is published to a target, by its name; ``service`` is as ARNs name it. A note: ``message_id``."""

    service: str
    target: str


Work: TypeAlias = Answering | Sending | Handling | InStage | Asking | Calling | Publishing


class Tracer(Protocol):
    """Follows what takes a while. It is quick, and never fails."""

    def during(self, work: Work) -> AbstractContextManager[Note]:
        """Stand around a piece of work, which is part of that in whose context it begins."""
        ...

    def trace(self) -> TraceContext | None:
        """Return the trace of the work that goes on in this context, for what is sent from here."""
        ...


_tracer: Final[ContextVar[Tracer | None]] = ContextVar("tracer", default=None)
_copied: Final[ContextVar[TraceContext | None]] = ContextVar("copied", default=None)


def _nobody(**_: Any) -> None:
    """Take notes of what nobody follows."""


UNFOLLOWED: Final[AbstractContextManager[Note]] = nullcontext(_nobody)


def during(work: Work) -> AbstractContextManager[Note]:
    """Stand around a piece of work; an error that leaves it is its own."""
    tracer = _tracer.get()
    return UNFOLLOWED if tracer is None else tracer.during(work)


def copied() -> TraceContext | None:
    """Return the trace of what is being copied in this context."""
    return _copied.get()


def trace_to_send() -> TraceContext | None:
    """Return the trace that belongs with what is sent now: of what it is a copy of, or of the work that goes on."""
    return copied() or trace_at_work()


def trace_at_work() -> TraceContext | None:
    """Return the trace of the work that goes on in this context."""
    tracer = _tracer.get()
    return None if tracer is None else tracer.trace()


@contextmanager
def copying(sender: TraceContext | None) -> Iterator[None]:
    """Have what is sent in here keep this trace: it is a copy of a message that has it. None: that has none."""
    token = _copied.set(sender)
    try:
        yield
    finally:
        _copied.reset(token)


@contextmanager
def followed_by(tracer: Tracer | None) -> Iterator[None]:
    """Have this one follow what is done in here, and in every task that starts in here."""
    token = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(token)
