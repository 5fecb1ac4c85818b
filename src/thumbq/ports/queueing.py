"""The port to messages: SQS, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.core.tracecontext import TraceContext

T = TypeVar("T")

MAX_LEASE_S: Final = 43_200
"""The longest lease on a message that one receive gives (Amazon SQS Developer Guide, "Visibility timeout")."""

MAX_BATCH: Final = 10
"""The most entries of a batch, and the most messages of one receive (Amazon SQS Developer Guide, "Message quotas")."""

FIFO_ENDING: Final = ".fifo"
"""The ending of the names of FIFO queues, and of no others (Amazon SQS Developer Guide, "FIFO queue names")."""


def batches(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split what is asked for into batches of up to ``MAX_BATCH`` entries."""
    for start in range(0, len(entries), MAX_BATCH):
        yield entries[start : start + MAX_BATCH]


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as one receive returned it. ``receipt`` is the handle of this receive."""

    id: str
    receipt: str
    body: str
    receive_count: int
    sent_at: float | None
    """POSIX seconds; None when the queue does not say it."""
    trace: str | None = None
    """The sender's trace, in the format of AWS X-Ray's system attribute ``AWSTraceHeader``."""
    group: str | None = None
    """The message group. In a FIFO queue its messages come one after the other; in a standard queue it is a tenant."""
    counted: bool = True
    """Whether the queue says how often the message was received; ``receive_count`` is 1 when it does not."""
    sender: TraceContext | None = None
    """The trace that it was sent in, if it names one."""


@dataclass(frozen=True, slots=True)
class VisibilityChange:
    """Hide a received message for ``timeout_s`` seconds from now (0: visible at once)."""

    receipt: str
    timeout_s: int


class EntryResult(Enum):
    """The result of one entry of a batch."""

    OK = auto()
    LOST = auto()
    """The lease has ended: another receiver may have the message."""
    CAPPED = auto()
    """The time-out would go past the 12 hours of the longest lease."""
    RETRY = auto()
    """Throttled or a fault of the server: the result is unknown; try again while the lease lasts."""


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """The attributes of a queue. Times are seconds; a retention of None is for ever.

    ``max_receive_count`` and ``dead_letter_retention_s`` are None when the queue has no redrive policy. ``fifo``: the
    messages of a group come in order, none while an earlier one of its group is in flight. ``max_message_bytes`` is
    None where the queue takes all that any takes.
    """

    name: str
    visibility_timeout_s: int
    retention_s: int | None
    max_receive_count: int | None
    dead_letter_retention_s: int | None = None
    fifo: bool = False
    max_message_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The numbers of messages (exact on the local backend, approximate on SQS)."""

    visible: int
    in_flight: int
    delayed: int
    dead: int


class JobQueue(Protocol):
    """A queue with visibility time-outs, receive counts and dead letters.

    Every method raises BackendUnavailable when the queue cannot answer, BackendRefused when it refuses to.
    Batches have at most ``MAX_BATCH`` entries, and results stand in the order of the entries.
    """

    async def send(self, body: str, *, group: str | None = None) -> str:
        """Put a message into the queue, durably, and return its id.

        ``group`` (1 to 128 ASCII letters, digits and punctuation, see core.message.group_id) is the message group: the
        order of a FIFO queue, which refuses a message without one; the tenant of a fair queue. Each call is one
        message, also when its request is repeated. It takes the trace of ports.tracing along, if there is room.
        Raises SendRefused when the message is certainly not in the queue (NotSent, one kind of it, when another send
        may do), BackendUnavailable when it may be.
        """
        ...

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        """Receive up to ``max_messages`` (1 to ``MAX_BATCH``), waiting up to ``wait_s`` for the first one.

        The call must not be cancelled, since the messages that it brought would stay hidden: call ``stop_receiving``
        and let it return.
        """
        ...

    def stop_receiving(self) -> None:
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

    async def attributes(self) -> QueueAttributes:
        """Return the queue's attributes."""
        ...

    async def counts(self) -> QueueCounts:
        """Return the numbers of waiting, in-flight, delayed and dead messages."""
        ...
