"""JobQueue on SQS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.aws import requests
from thumbq.aws.addresses import redrive_policy, retention_s, whole_number
from thumbq.aws.errors import member, translated
from thumbq.aws.messagesender import MessageSender
from thumbq.aws.requests import Outgoing, QueueRequests
from thumbq.core import message, tracecontext
from thumbq.errors import SendRefused
from thumbq.ports import QueueAttributes, QueueCounts, ReceivedMessage
from thumbq.ports.tracing import Sending, during, trace_to_send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.aws.addresses import QueueAddress
    from thumbq.aws.requests import Received
    from thumbq.ports import EntryResult, VisibilityChange

_ANSWER_S: Final = 10

_SYSTEM_ATTRIBUTES: Final = [
    "ApproximateReceiveCount",
    "SentTimestamp",
    "AWSTraceHeader",
    "MessageGroupId",
]
_VISIBILITY_TIMEOUT_S: Final = 30
"""What a queue has that does not say it (Amazon SQS API Reference, CreateQueue)."""
_SETTINGS: Final[list[Any]] = ["VisibilityTimeout", "MessageRetentionPeriod", "RedrivePolicy", "MaximumMessageSize"]
_BACKLOG: Final[list[Any]] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


class SqsQueue:
    """An SQS queue, standard or FIFO. ``polling`` is for receives only, so that no request waits behind a long poll."""

    def __init__(self, control: SQSClient, polling: SQSClient, address: QueueAddress) -> None:
        self._control = control
        self._polling = polling
        self._address = address
        self._url = address.url
        self._sender = MessageSender(QueueRequests(control, address.url))
        self._stopping = False

    async def send(self, body: str, *, group: str | None = None) -> str:
        """Send a message and return its id. Those that are sent at the same moment go as one request.

        On a FIFO queue each call has a deduplication id of its own: the requests of one call are one message, however
        often botocore sends them, and two calls are two. A hash of the content would drop, for five minutes, the third
        of three uploads A, B, A to one key, and a job that is redriven.
        """
        message.check_sendable(body)
        if self._address.fifo and group is None:
            raise SendRefused(f"{self._address.name} is a FIFO queue: a message needs a group, and this one has none")
        with during(Sending(self._address.name)) as note:
            trace = tracecontext.beside(trace_to_send(), body, max_bytes=self._address.max_bytes)
            message_id = await self._sender.send(Outgoing(body, group, trace=trace))
            note(message_id=message_id)
        return message_id

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        """Receive messages, unless receives were stopped; see requests.receive."""
        if self._stopping:
            return []
        received = await requests.receive(
            self._polling,
            self._url,
            max_messages=max_messages,
            wait_s=wait_s,
            visibility_timeout_s=visibility_timeout_s,
            attributes=_SYSTEM_ATTRIBUTES,
            MessageAttributeNames=list(tracecontext.ATTRIBUTES),
        )
        return [_message(entry) for entry in received]

    def stop_receiving(self) -> None:
        """Let later receives return nothing at once; an open long poll ends in its own time."""
        self._stopping = True

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long messages stay hidden, within five seconds; see requests.extend."""
        return await requests.extend(self._control, self._url, changes)

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Delete messages, within five seconds."""
        return await requests.delete(self._control, self._url, receipts)

    async def attributes(self) -> QueueAttributes:
        """Return the queue's settings; the dead-letter queue's retention is that of the start."""
        attributes = await self._attributes(self._url, _SETTINGS)
        visibility_timeout_s = whole_number(attributes, "VisibilityTimeout")
        return QueueAttributes(
            name=self._address.name,
            visibility_timeout_s=_VISIBILITY_TIMEOUT_S if visibility_timeout_s is None else visibility_timeout_s,
            retention_s=retention_s(attributes),
            max_receive_count=redrive_policy(attributes).max_receives,
            dead_letter_retention_s=self._address.dead.retention_s if self._address.dead else None,
            fifo=self._address.fifo,
            max_message_bytes=whole_number(attributes, "MaximumMessageSize"),
        )

    async def counts(self) -> QueueCounts:
        """Return the approximate numbers of messages; all messages of the dead-letter queue count as dead."""
        own = await self._attributes(self._url, _BACKLOG)
        dead = await self._attributes(self._address.dead.url, _BACKLOG) if self._address.dead else {}
        visible, in_flight, delayed = (whole_number(own, name) or 0 for name in _BACKLOG)
        return QueueCounts(visible, in_flight, delayed, dead=sum(whole_number(dead, name) or 0 for name in _BACKLOG))

    async def _attributes(self, url: str, names: list[Any]) -> dict[str, str]:
        with translated(f"look at {url}", within_s=_ANSWER_S):
            answer = await self._control.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return dict(member(answer, "Attributes", f"look at {url}"))


def _message(received: Received) -> ReceivedMessage:
    xray = received.attributes.get("AWSTraceHeader")
    return ReceivedMessage(
        id=received.id,
        receipt=received.receipt,
        body=received.body,
        receive_count=received.receive_count or 1,
        sent_at=received.sent_at,
        trace=xray,
        group=received.attributes.get("MessageGroupId"),
        counted=received.receive_count is not None,
        sender=tracecontext.of_message(received.notes, xray),
    )
