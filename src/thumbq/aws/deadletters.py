"""DeadLetters on SQS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.aws import requests
from thumbq.aws.errors import member, not_offered, translated
from thumbq.aws.requests import Outgoing
from thumbq.core import message, tracecontext
from thumbq.core.deadletter import ATTRIBUTE, ATTRIBUTE_TYPE
from thumbq.errors import BackendError
from thumbq.ports import DeadLetter, MoveProgress
from thumbq.ports.tracing import Sending, during, trace_to_send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.aws.addresses import QueueAddress
    from thumbq.aws.requests import Received
    from thumbq.ports import EntryResult, VisibilityChange

_ANSWER_S: Final = 30
_TASKS: Final = 10
_SYSTEM_ATTRIBUTES: Final = [
    "ApproximateReceiveCount",
    "SentTimestamp",
    "DeadLetterQueueSourceArn",
    "MessageGroupId",
    "AWSTraceHeader",
]
_MOVING: Final = {"RUNNING", "CANCELLING"}


class SqsDeadLetters:
    """A queue's dead-letter queue on SQS; ``polling`` is for receives only, which it sends once."""

    def __init__(self, control: SQSClient, polling: SQSClient, address: QueueAddress) -> None:
        """Take the address of a queue that has a dead-letter queue."""
        assert address.dead is not None
        self._control = control
        self._polling = polling
        self._dead = address.dead
        self._queue_arn = address.arn

    @property
    def max_bytes(self) -> int:
        """The limit of the dead-letter queue on the bytes of a message, as read at the start."""
        return self._dead.max_bytes

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:
        """Send a message with its note, as they are; each call is one dead letter, on a FIFO queue too."""
        message.check_sendable(body)
        attributes = {ATTRIBUTE: {"DataType": ATTRIBUTE_TYPE, "StringValue": note}}
        room = self.max_bytes - len(note.encode()) - len(ATTRIBUTE) - len(ATTRIBUTE_TYPE)
        with during(Sending(self._dead.name)) as told:
            trace = tracecontext.beside(trace_to_send(), body, max_bytes=room)
            outgoing = Outgoing(body, group, attributes, trace=trace)
            told(message_id=await requests.send(self._control, self._dead.url, outgoing))

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        """Receive dead letters with their notes; see requests.receive."""
        received = await requests.receive(
            self._polling,
            self._dead.url,
            max_messages=max_messages,
            wait_s=wait_s,
            visibility_timeout_s=visibility_timeout_s,
            attributes=_SYSTEM_ATTRIBUTES,
            MessageAttributeNames=[ATTRIBUTE, *tracecontext.ATTRIBUTES],
        )
        return [_dead_letter(entry, self._queue_arn) for entry in received]

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long dead letters stay hidden; 0 gives them back."""
        return await requests.extend(self._control, self._dead.url, changes)

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Delete dead letters."""
        return await requests.delete(self._control, self._dead.url, receipts)

    async def purge(self) -> None:
        """Remove all dead letters; SQS takes up to a minute for it, and refuses to be asked twice within one."""
        with translated(f"purge {self._dead.name}", within_s=_ANSWER_S):
            await self._control.purge_queue(QueueUrl=self._dead.url)

    async def start_move(self, *, rate: int | None) -> str | None:
        """Start a message move task back to the queue.

        Returns None where the server has no such tasks, or none for this dead-letter queue.
        """
        limit: dict[str, Any] = {} if rate is None else {"MaxNumberOfMessagesPerSecond": rate}
        try:
            last = max((_started_at(task) for task in await self._moves()), default=0)
            with translated(f"move all of {self._dead.name}", within_s=_ANSWER_S):
                answer = await self._control.start_message_move_task(
                    SourceArn=self._dead.arn, DestinationArn=self._queue_arn, **limit
                )
        except BackendError as error:
            if not_offered(error):
                return None
            raise
        # SQS lists the handle of a task only while it runs; a task that has ended is known as younger than ``last``.
        return f"{last}:{member(answer, 'TaskHandle', f'move all of {self._dead.name}')}"

    async def move_progress(self, handle: str) -> MoveProgress:
        """Find the task among the last ten of this dead-letter queue."""
        last, _, task_handle = handle.partition(":")
        candidates = [
            task
            for task in await self._moves()
            if task.get("TaskHandle", task_handle) == task_handle and _started_at(task) > int(last)
        ]
        if not candidates:
            return MoveProgress(moved=0, ended=False)  # SQS does not list it yet
        task = max(candidates, key=_started_at)
        status = task.get("Status", "RUNNING")
        return MoveProgress(
            moved=task.get("ApproximateNumberOfMessagesMoved", 0),
            ended=status not in _MOVING,
            failed=None if status in _MOVING | {"COMPLETED"} else task.get("FailureReason") or status.lower(),
        )

    async def _moves(self) -> Sequence[Any]:
        with translated(f"look at the moves of {self._dead.name}", within_s=_ANSWER_S):
            answer = await self._control.list_message_move_tasks(SourceArn=self._dead.arn, MaxResults=_TASKS)
        return answer.get("Results", [])


def _started_at(task: Any) -> int:
    return int(task.get("StartedTimestamp", 0))


def _dead_letter(received: Received, queue_arn: str) -> DeadLetter:
    moved = received.attributes.get("DeadLetterQueueSourceArn") == queue_arn
    # A message that SQS has moved to the queue and back again still has the note of its first burial.
    note = None if moved else received.notes.get(ATTRIBUTE, {}).get("StringValue")
    return DeadLetter(
        id=received.id,
        receipt=received.receipt,
        body=received.body,
        note=note,
        sent_at=received.sent_at,
        receive_count=received.receive_count or 1,
        moved=moved,
        group=received.attributes.get("MessageGroupId"),
        sender=tracecontext.of_message(received.notes, received.attributes.get("AWSTraceHeader")),
    )
