"""The port to dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.tracecontext import TraceContext
    from thumbq.ports.queueing import EntryResult, VisibilityChange


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as one receive returned it and hid it from others; ``receipt`` is the handle of this receive."""

    id: str
    receipt: str
    body: str
    note: str | None
    """The attribute ``thumbq`` (JSON, see core.deadletter); None when thumbq did not bury it."""
    sent_at: float | None
    """POSIX seconds of its first send: its sender's if the queue moved it, thumbq's if thumbq buried it.

    None when the queue does not say it.
    """
    receive_count: int
    moved: bool = False
    """Whether its queue moved it here by itself, after the last receive."""
    group: str | None = None
    """The message group that it was sent to."""
    sender: TraceContext | None = None
    """The trace that its message was sent in, if it names one."""


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """The progress of a move of all dead letters; ``failed`` is the reason when it has ended early."""

    moved: int
    ended: bool
    failed: str | None = None


class DeadLetters(Protocol):
    """The dead-letter queue of a JobQueue. Errors and batches as there."""

    @property
    def max_bytes(self) -> int:
        """The most bytes of a message, attributes with their names and types included."""
        ...

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:
        """Send a copy of a message of this ``group`` here, with ``note`` (JSON) as its attribute ``thumbq``.

        It takes the trace of ports.tracing along, if there is room.
        """
        ...

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        """Receive up to ``max_messages`` (1 to 10); others do not see them for ``visibility_timeout_s``."""
        ...

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long dead letters stay hidden; 0 gives them back."""
        ...

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Remove dead letters for good."""
        ...

    async def purge(self) -> None:
        """Remove all dead letters for good."""
        ...

    async def start_move(self, *, rate: int | None) -> str | None:
        """Have the server move all dead letters to the queue, ``rate`` a second, and return the move's handle.

        Returns None when the server cannot do that.
        """
        ...

    async def move_progress(self, handle: str) -> MoveProgress:
        """Return the progress of a move."""
        ...
