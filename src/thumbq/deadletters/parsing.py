"""What a dead letter contains: its jobs, thumbq's note of why it failed, and its body."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core import callbackmessage, deadletter, keys, message
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, MalformedMessage, ObjectMissing, ObjectTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.core.callbackmessage import Callback
    from thumbq.core.deadletter import Note
    from thumbq.core.job import JobRequest
    from thumbq.ports import DeadLetter, ObjectStore

MOVED: Final = "moved by the queue"
FOREIGN: Final = "put here by somebody else"


@dataclass(frozen=True, slots=True)
class ParsedDeadLetter:
    """A received dead letter with its contents; ``note`` is None when thumbq did not bury the message."""

    received: DeadLetter
    note: Note | None
    jobs: tuple[JobRequest, ...]
    body: str
    """As it was received, or the whole body as it was sent."""
    callback: Callback | None = None
    """When it is one, and no job."""

    @property
    def sources(self) -> list[ObjectRef]:
        """The originals that it is about."""
        return [self.callback.original] if self.callback else [job.source for job in self.jobs]

    @property
    def reason(self) -> str:
        """Why the message is a dead letter."""
        return self.note.reason if self.note else MOVED if self.received.moved else FOREIGN

    @property
    def receive_count(self) -> int:
        """How often the message was received before it was buried.

        Where only the queue knows, its receives as a dead letter count too.
        """
        return self.note.receive_count if self.note else self.received.receive_count

    def is_named(self, names: Iterable[str]) -> bool:
        """Whether one of these is its id, or the id of the message that was buried."""
        return any(name in {self.received.id, self.note and self.note.message_id} for name in names)


class BodyIncomplete(BackendError):
    """A body that was cut when its message was buried is not in the store either."""


def parse(dead_letter: DeadLetter, bucket: str) -> ParsedDeadLetter:
    """Read a dead letter's note and its body; ``bucket`` is the bucket of bare keys."""
    jobs: tuple[JobRequest, ...] = ()
    callback = None
    with suppress(MalformedMessage):
        callback = callbackmessage.decode(dead_letter.body)
    if callback is None:
        with suppress(MalformedMessage):
            jobs = message.parse(dead_letter.body, default_bucket=bucket).jobs
    return ParsedDeadLetter(dead_letter, deadletter.decode(dead_letter.note), jobs, dead_letter.body, callback)


async def whole_body(store: ObjectStore, bucket: str, parsed: ParsedDeadLetter) -> str:
    """Return the body as it was sent: a body that a dead letter is too small for is in the store.

    Raises BodyIncomplete.
    """
    if parsed.note is None or parsed.note.body_bytes is None:
        return parsed.body
    ref = ObjectRef(bucket, keys.failed_message_key(parsed.note.message_id))
    try:
        _, raw = await store.get(ref, max_bytes=FailedMessage.MAX_BYTES)
    except (ObjectMissing, ObjectTooLarge) as error:
        raise BodyIncomplete(f"its body of {parsed.note.body_bytes} bytes was cut, and {ref} is not there") from error
    record = FailedMessage.decode(raw)
    if record is None:
        raise BodyIncomplete(f"its body of {parsed.note.body_bytes} bytes was cut, and {ref} cannot be read")
    return record.body
