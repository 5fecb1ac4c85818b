"""The port to those who count and tell what happens: metrics, traces, series of queues.

A room that works says what has just ended by ``emit``, and knows nobody who listens. Who listens is a matter of the
context: the composition root sets it once, and every task that starts from there has it. What is told are named tuples,
which take a third of the time that a frozen dataclass does: they are made also where nobody listens.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Ending = Literal["done", "failed", "retried", "settled"]
Stage = Literal["wait", "fetch", "render", "store", "ack"]
STAGES: Final[tuple[Stage, ...]] = ("wait", "fetch", "render", "store", "ack")
Cause = Literal[
    "cancelled",
    "decode-timeout",
    "died-idle",
    "not-started",
    "out-of-memory",
    "recycled",
    "render-crashed",
    "render-failed",
]
"""Why a render process is replaced; one that was not started is tried again with the next job."""
CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)


class Attempted(NamedTuple):
    """How one attempt at a job or a callback ended. Times are POSIX seconds.

    ``queue`` is the queue's name in the settings. ``settled``: there was nothing to do (any more), or a stop came
    before. ``code`` is why it has failed for good, ``key`` that of the original. ``wait_s`` lasted from the send to the
    beginning of the attempt, ``work_s`` the render or the call; None where there was none, or nobody knows.
    """

    queue: str
    ending: Ending
    ended_at: float
    sent_at: float | None
    code: str | None = None
    wait_s: float | None = None
    work_s: float | None = None
    key: str | None = None


class StageEnded(NamedTuple):
    """A stage of a job is over. ``size``: bytes of the original that was fetched, or of the renditions stored."""

    stage: Stage
    queue: str
    seconds: float
    size: int = 0


class Answered(NamedTuple):
    """An HTTP request was answered. ``route`` is its path in the table of routes; None for none of these."""

    route: str | None
    method: str
    status: int
    seconds: float
    bytes_in: int
    bytes_out: int


class Uploaded(NamedTuple):
    """A file of an upload was stored and queued, or refused with this code."""

    code: str | None
    size: int = 0


class Told(NamedTuple):
    """Somebody outside was told of a job, or not; ``attempt`` counts from 1."""

    by: Literal["callback", "event"]
    ending: Literal["done", "failed", "given-up"]
    attempt: int


class Called(NamedTuple):
    """A request to AWS has its answer, with these headers. ``status`` is HTTP's; None when none came.

    ``service`` is as signatures name it; ``call`` is the method for S3, or LIST; else the action.
    """

    service: str
    call: str
    status: int | None
    headers: Mapping[str, str] | None = None


class LeaseLost(NamedTuple):
    """Our hold on a message of this queue was lost before its jobs had ended."""

    queue: str


class BeatsFailed(NamedTuple):
    """So many leases of this queue were not extended: there was no answer, or it refused all of them or these."""

    queue: str
    leases: int


class ProcessReplaced(NamedTuple):
    """A render process has a successor."""

    cause: Cause


Happened: TypeAlias = (
    Attempted | StageEnded | Answered | Uploaded | Told | Called | LeaseLost | BeatsFailed | ProcessReplaced
)


class Observer(Protocol):
    """Is told of all that happens, when it has. It must be quick, and never fails."""

    def observe(self, happened: Happened) -> None:
        """Take one thing in."""
        ...


class Exposition(Protocol):
    """The metrics of a replica as text."""

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the form that a header ``Accept`` asks for, and its ``Content-Type``."""
        ...


_observers: Final[ContextVar[tuple[Observer, ...]]] = ContextVar("observers", default=())


def emit(happened: Happened) -> None:
    """Tell all observers of this context."""
    for observer in _observers.get():
        observer.observe(happened)


def observed_context() -> Context:
    """Return a context that has the observers of this one, and nothing else: for a task that serves many callers."""
    context = Context()
    context.run(_observers.set, _observers.get())
    return context


@contextmanager
def observed_by(observers: Sequence[Observer]) -> Iterator[None]:
    """Have these told too of what happens in here, and in every task that starts in here."""
    token = _observers.set((*_observers.get(), *observers))
    try:
        yield
    finally:
        _observers.reset(token)
