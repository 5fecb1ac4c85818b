"""What the use cases need from the world. Each port has two backends with one contract (tests/contract)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from thumbq.core.job import ObjectRef
    from thumbq.core.preset import Preset


MAX_LEASE_S: Final = 43_200
"""How long one receive can hold a message (Amazon SQS Developer Guide, "Visibility timeout")."""


class Sink(Protocol):
    """Something that takes bytes at once and without blocking for long: a memory file."""

    def write(self, data: bytes | bytearray | memoryview, /) -> int | None:
        """Append all of ``data``."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of an object. ``etag`` changes with the content and has no quotes."""

    size: int
    etag: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Whole objects under keys of up to 1,024 bytes of UTF-8.

    Every method raises BackendUnavailable when the store cannot answer and AccessDenied when it will not.
    """

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object whole and durably, and return its ETag.

        ``metadata`` is ASCII, names in lower case. With ``if_absent`` an object under the same key stays as it
        is and ObjectExists is raised.
        """
        ...

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object. Raises ObjectMissing, or ObjectTooLarge before it reads more than ``max_bytes``."""
        ...

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink`` as they arrive. Errors as in ``get``."""
        ...

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return what is known of an object. Raises ObjectMissing."""
        ...

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object; it is no error when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as one receive handed it out. ``receipt`` is the handle of this receive."""

    id: str
    receipt: str
    body: str
    receive_count: int
    sent_at: float
    """POSIX seconds."""


@dataclass(frozen=True, slots=True)
class VisibilityChange:
    """Hide a received message for ``timeout_s`` seconds from now (0: visible at once)."""

    receipt: str
    timeout_s: int


class EntryResult(Enum):
    """What became of one entry of a batch."""

    OK = auto()
    LOST = auto()
    """The receipt no longer holds the message: somebody else may have it."""
    CAPPED = auto()
    """The time-out would go past the 12 hours that one receive can last."""
    RETRY = auto()
    """Throttled or a fault of the server: nothing is known; try again while the lease lasts."""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What a queue says of itself. Times are seconds; ``max_receive_count`` is None without dead letters."""

    name: str
    visibility_timeout_s: int
    max_receive_count: int | None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many messages there are (exact on the local backend, approximate on SQS)."""

    visible: int
    in_flight: int
    delayed: int
    dead: int


class JobQueue(Protocol):
    """A queue with visibility time-outs, receive counts and dead letters.

    Every method raises BackendUnavailable when the queue cannot answer and AccessDenied when it will not.
    Batches have at most 10 entries, and results stand in the order of the entries.
    """

    async def send(self, body: str) -> str:
        """Put a message into the queue, durably, and return its id.

        Raises SendRefused when the message is certainly not in the queue, BackendUnavailable when it may be.
        """
        ...

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        """Take up to ``max_messages`` (1 to 10), waiting up to ``wait_s`` for the first one.

        The call must not be cancelled, since what it brought would stay hidden: call ``wind_up`` and let it return.
        """
        ...

    def wind_up(self) -> None:
        """Ask open and later receives to return as soon as they can without losing a message.

        The local queue returns at once. SQS has no such request: its long poll ends in its own time.
        """
        ...

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long received messages stay hidden."""
        ...

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Remove received messages for good."""
        ...

    async def send_dead_letter(self, body: str, note: str) -> bool:
        """Put a copy on the dead-letter queue with ``note`` (JSON) as its attribute ``thumbq``.

        Returns False when the queue has no dead-letter queue.
        """
        ...

    async def facts(self) -> QueueFacts:
        """Return the queue's own settings."""
        ...

    async def counts(self) -> QueueCounts:
        """Return how many messages wait, are in flight, are delayed, and are dead."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """A store and a queue that belong together, opened and checked; ``bucket`` is the default one."""

    store: ObjectStore
    queue: JobQueue
    bucket: str


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """One rendition, still in memory."""

    preset: str
    body: bytes
    width: int
    height: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a render gives: facts of the original (upright size in pixels) and the renditions."""

    format: str
    width: int
    height: int
    images: tuple[RenderedImage, ...]


class RenderSource(Sink, Protocol):
    """Where the bytes of one original are gathered for the render."""


class Renderer(Protocol):
    """Makes renditions in a process of its own that can be killed."""

    def source(self) -> AbstractContextManager[RenderSource]:
        """Open a place for one original's bytes; leaving it frees them."""
        ...

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        """Render what was written to ``source`` (which this Renderer opened).

        Raises RenderRefused when the image is not one to render, RenderKilled when its child died or ran out of
        time. Cancelling the call kills the child. Other renders are not affected by any of this.
        """
        ...


class Clock(Protocol):
    """Time, for everything in which it matters; sleeping is the event loop's."""

    def monotonic(self) -> float:
        """Seconds that only ever go forward, also while the machine sleeps."""
        ...

    def wall(self) -> float:
        """POSIX seconds."""
        ...


class Vitals(Protocol):
    """How the process is, for the health endpoints. Each answer is None when all is well, else the reason."""

    def not_alive(self) -> str | None:
        """Say which loop has stopped making progress; restarting the process would help."""
        ...

    def not_ready(self) -> str | None:
        """Say why no requests should come here now: starting, draining, or the queue cannot be read."""
        ...

    def stopping(self) -> bool:
        """Say whether the process is on its way out, so that clients should not keep their connections."""
        ...
