"""JobQueue on SQS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.aws.errors import batch_result, entry_result, translated, translated_send
from thumbq.core import message
from thumbq.errors import BackendError
from thumbq.ports import MAX_LEASE_S, EntryResult, QueueCounts, QueueFacts, ReceivedMessage, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from types_aiobotocore_sqs.client import SQSClient

NOTE: Final = "thumbq"

_SEND_S: Final = 10
_BEAT_S: Final = 5
_ANSWER_S: Final = 10
_POLL_SLACK_S: Final = 15

_BACKLOG: Final[list[Any]] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """A dead-letter queue and the most bytes that one of its messages can have."""

    url: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """A queue that was found, and where its dead letters go."""

    url: str
    dead: DeadLetters | None

    @property
    def name(self) -> str:
        """The queue's name, the last part of its URL."""
        return self.url.rstrip("/").rpartition("/")[2]


def max_receive_count(attributes: Any) -> int | None:
    """Read how many receives the redrive policy among a queue's attributes allows."""
    policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    return int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None


class SqsQueue:
    """A standard SQS queue. ``polling`` is for receives only, so that nothing waits behind a long poll."""

    def __init__(self, control: SQSClient, polling: SQSClient, address: QueueAddress) -> None:
        self._control = control
        self._polling = polling
        self._address = address
        self._url = address.url
        self._winding_up = False

    async def send(self, body: str) -> str:
        """Send a message and return its id."""
        message.check_sendable(body)
        with translated_send(f"send to {self._address.name}", within_s=_SEND_S):
            answer = await self._control.send_message(QueueUrl=self._url, MessageBody=body)
        return answer["MessageId"]

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        """Receive once, without a retry: a request whose answer is lost hides what it brought."""
        if self._winding_up:
            return []
        with translated(f"receive from {self._address.name}", within_s=wait_s + _POLL_SLACK_S):
            answer = await self._polling.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=max_messages,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=visibility_timeout_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return [_received(entry) for entry in answer.get("Messages", [])]

    def wind_up(self) -> None:
        """Let later receives return nothing at once; an open long poll ends in its own time."""
        self._winding_up = True

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long messages stay hidden, within five seconds. More than 12 hours are not even sent."""
        entries = [
            {"ReceiptHandle": change.receipt, "VisibilityTimeout": change.timeout_s}
            for change in changes
            if change.timeout_s <= MAX_LEASE_S
        ]
        answered = iter(await self._batch("extend", self._control.change_message_visibility_batch, entries))
        return [next(answered) if change.timeout_s <= MAX_LEASE_S else EntryResult.CAPPED for change in changes]

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Delete messages, within five seconds."""
        entries = [{"ReceiptHandle": receipt} for receipt in receipts]
        return await self._batch("delete", self._control.delete_message_batch, entries)

    async def _batch(
        self, action: str, request: Callable[..., Awaitable[Any]], entries: list[dict[str, Any]]
    ) -> list[EntryResult]:
        if not entries:
            return []
        # The id is the position: one message can be in a batch twice, under two receipts.
        numbered = [{"Id": str(position), **entry} for position, entry in enumerate(entries)]
        try:
            with translated(f"{action} on {self._address.name}", within_s=_BEAT_S):
                answer = await request(QueueUrl=self._url, Entries=numbered)
        except BackendError as error:
            result = batch_result(error)
            if result is EntryResult.RETRY:
                raise
            if len(entries) == 1:
                return [result]
            # One bad entry must not cost the others their leases.
            return [(await self._batch(action, request, [entry]))[0] for entry in entries]
        return _results(answer, len(entries))

    async def send_dead_letter(self, body: str, note: str) -> bool:
        """Send a copy to the dead-letter queue; a body that is too long beside its note is cut at the end.

        The note of a cut body has one more member, ``body_bytes``: how long the body was.
        """
        dead = self._address.dead
        if dead is None:
            return False
        body, note = fitted(body, note, dead.max_bytes)
        with translated_send("send to the dead-letter queue", within_s=_SEND_S):
            await self._control.send_message(
                QueueUrl=dead.url,
                MessageBody=body,
                MessageAttributes={NOTE: {"DataType": "String", "StringValue": note}},
            )
        return True

    async def facts(self) -> QueueFacts:
        """Ask for the queue's settings."""
        attributes = await self._attributes(self._url, ["VisibilityTimeout", "RedrivePolicy"])
        return QueueFacts(
            name=self._address.name,
            visibility_timeout_s=int(attributes["VisibilityTimeout"]),
            max_receive_count=max_receive_count(attributes),
        )

    async def counts(self) -> QueueCounts:
        """Ask for the approximate numbers of messages; all that are on the dead-letter queue count as dead."""
        own = await self._attributes(self._url, _BACKLOG)
        dead = await self._attributes(self._address.dead.url, _BACKLOG) if self._address.dead else {}
        visible, in_flight, delayed = (int(own[name]) for name in _BACKLOG)
        return QueueCounts(visible, in_flight, delayed, dead=sum(int(dead.get(name, 0)) for name in _BACKLOG))

    async def _attributes(self, url: str, names: list[Any]) -> dict[str, str]:
        with translated(f"look at {url}", within_s=_ANSWER_S):
            answer = await self._control.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        attributes: Any = answer.get("Attributes", {})
        return dict(attributes)


def _received(entry: Any) -> ReceivedMessage:
    attributes = entry["Attributes"]
    return ReceivedMessage(
        id=entry["MessageId"],
        receipt=entry["ReceiptHandle"],
        body=entry["Body"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=int(attributes["SentTimestamp"]) / 1000,
    )


def _results(answer: Any, size: int) -> list[EntryResult]:
    results = [EntryResult.RETRY] * size
    for entry in answer.get("Successful", []):
        results[int(entry["Id"])] = EntryResult.OK
    for entry in answer.get("Failed", []):
        results[int(entry["Id"])] = entry_result({entry["Code"]}, entry.get("Message", ""))
    return results


def fitted(body: str, note: str, max_bytes: int) -> tuple[str, str]:
    """Return body and note so that with the attribute's name and type they have at most ``max_bytes``."""
    raw = body.encode(errors="replace")
    room = max_bytes - len(NOTE) - len("String")
    if len(raw) + len(note.encode()) <= room:
        return body, note
    note = json.dumps({**json.loads(note), "body_bytes": len(raw)})
    return raw[: max(room - len(note.encode()), 1)].decode(errors="ignore"), note
