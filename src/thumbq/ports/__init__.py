"""What the use cases need from the world. Each port has two backends with one contract (tests/contract)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from thumbq.ports.announcing import Announcer
from thumbq.ports.deadletters import DeadLetter, DeadLetters, MoveProgress
from thumbq.ports.presigned import PresignedPost, PresignedUploads, PresignedUploadVerifier
from thumbq.ports.publishing import EventTarget
from thumbq.ports.queueing import (
    FIFO_ENDING,
    MAX_BATCH,
    MAX_LEASE_S,
    EntryResult,
    JobQueue,
    QueueAttributes,
    QueueCounts,
    ReceivedMessage,
    VisibilityChange,
    batches,
)
from thumbq.ports.rendering import (
    NotMade,
    Rendered,
    RenderedImage,
    Renderer,
    RenderProcess,
    RenderSource,
    Steps,
)
from thumbq.ports.storage import ListedObject, ObjectInfo, ObjectStore, Sink
from thumbq.ports.webhooks import Answered, WebhookCaller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "FIFO_ENDING",
    "MAX_BATCH",
    "MAX_LEASE_S",
    "Announcer",
    "Answered",
    "Backend",
    "Clock",
    "DeadLetter",
    "DeadLetters",
    "EntryResult",
    "EventTarget",
    "Health",
    "JobQueue",
    "ListedObject",
    "MoveProgress",
    "NotMade",
    "ObjectInfo",
    "ObjectStore",
    "PresignedPost",
    "PresignedUploadVerifier",
    "PresignedUploads",
    "QueueAttributes",
    "QueueCounts",
    "ReceivedMessage",
    "RenderProcess",
    "RenderSource",
    "Rendered",
    "RenderedImage",
    "Renderer",
    "Sink",
    "Steps",
    "Upkeep",
    "VisibilityChange",
    "WebhookCaller",
    "batches",
]


@dataclass(frozen=True, slots=True)
class Backend:
    """A store and a queue that belong together, opened and checked; ``bucket`` is the default one."""

    store: ObjectStore
    queue: JobQueue
    bucket: str
    dead_letters: DeadLetters | None
    """None when the queue has no dead-letter queue."""
    presigned_uploads: PresignedUploads
    presigned_verifier: PresignedUploadVerifier | None = None
    """None when clients post presigned uploads to the store itself, as to S3."""
    fifo: bool = False
    """Whether the queue is a FIFO queue: then each message needs a group."""
    upkeep: Upkeep | None = None
    """None when the store is looked after elsewhere, as S3 is."""
    event_targets: Sequence[EventTarget] = ()
    """What the ends of jobs are published to."""


class Upkeep(Protocol):
    """What a store needs that nobody else looks after."""

    async def run(self) -> None:
        """Keep it in order beside the service, until cancelled."""
        ...

    async def check(self) -> None:
        """Raise BackendError when the store seems to be away, and RestartNeeded; this asks the store nothing."""
        ...

    async def check_room(self, size: int) -> None:
        """Raise StoreFull when an upload of so many bytes would leave too little room for what is there already."""
        ...


class Clock(Protocol):
    """Time, for everything in which it matters; sleeping is the event loop's."""

    def monotonic(self) -> float:
        """Seconds that only ever go forward, also while the machine sleeps."""
        ...

    def wall(self) -> float:
        """POSIX seconds."""
        ...


class Health(Protocol):
    """How the process is, for the health endpoints.

    What a restart would mend is not alive, what another replica does not have is not ready; both are None when all is
    well, else the reason. What fails for all replicas is neither: it is away.
    """

    def not_alive(self) -> str | None:
        """Say which loop has stopped making progress, or what has been replaced under this process."""
        ...

    def not_ready(self) -> str | None:
        """Say why no requests should come here now: it starts, it drains, or it is cut off."""
        ...

    def away_since(self) -> Mapping[str, float | None]:
        """Return since when the store and each queue have been away, in POSIX seconds; None for what answers."""
        ...

    def paused_since(self) -> Mapping[str, float | None]:
        """Return since when the queues that are paused have been, in POSIX seconds; None where nobody knows."""
        ...

    def stopping(self) -> bool:
        """Say whether the process is on its way out, so that clients should not keep their connections."""
        ...
