"""Requests about the messages of a queue, for the ports to messages and to dead letters."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from botocore.exceptions import ClientError

from thumbq.aws.addresses import is_fifo, name_of, whole_number
from thumbq.aws.errors import batch_result, entry_result, member, translated
from thumbq.aws.sends import translated_send
from thumbq.errors import BackendError, BadAnswer
from thumbq.ports import MAX_LEASE_S, EntryResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.core.tracecontext import TraceContext
    from thumbq.ports import VisibilityChange

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_SEND_S: Final = 10
_ANSWER_S: Final = 5
_POLL_SLACK_S: Final = 15


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent, with its group, its message attributes, as SQS takes these, and its trace, as two more.

    On a FIFO queue each call is a message of its own (see SqsQueue.send), unless it says what it is a copy of.
    """

    body: str
    group: str | None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    deduplication_id: str | None = None
    trace: TraceContext | None = None

    @property
    def size(self) -> int:
        """How many bytes its body and its trace have, at most."""
        return 4 * len(self.body) + (0 if self.trace is None else self.trace.size)


@dataclass(frozen=True, slots=True)
class Received:
    """A message as an answer has it. What the server does not say is None; ``notes`` are its message attributes."""

    id: str
    receipt: str
    body: str
    sent_at: float | None
    receive_count: int | None
    attributes: Mapping[str, str]
    notes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueRequests:
    """The requests that send messages to a queue, for a MessageSender."""

    sqs: SQSClient
    url: str

    async def send(self, message: Outgoing) -> str:
        """Send a message; see below."""
        return await send(self.sqs, self.url, message)

    async def send_batch(self, messages: Sequence[Outgoing]) -> list[str | BackendError]:
        """Send messages in one request; see below."""
        return await send_batch(self.sqs, self.url, messages)


async def send(sqs: SQSClient, url: str, message: Outgoing) -> str:
    """Send a message and return its id."""
    action = f"send to {name_of(url)}"
    with translated_send(action, within_s=_SEND_S):
        answer = await sqs.send_message(QueueUrl=url, **_outgoing(message, url))
    message_id: str = member(answer, "MessageId", action)
    return message_id


async def send_batch(sqs: SQSClient, url: str, messages: Sequence[Outgoing]) -> list[str | BackendError]:
    """Send messages in one request, and return the id of each, or what ``send`` would have raised for it.

    Raises the same when the request as a whole has failed.
    """
    entries: list[Any] = [{"Id": str(place), **_outgoing(each, url)} for place, each in enumerate(messages)]
    action = f"send to {name_of(url)}"
    with translated_send(action, within_s=_SEND_S) as outcome:
        answer = await sqs.send_message_batch(QueueUrl=url, Entries=entries)
    results: list[str | BackendError] = [BadAnswer(f"{action}: the answer leaves a message out") for _ in messages]
    for place, entry in entries_of(answer, "Successful", len(messages)):
        if "MessageId" in entry:
            results[place] = entry["MessageId"]
    for place, entry in entries_of(answer, "Failed", len(messages)):
        results[place] = outcome(failed_entry(entry, answer))
    return results


def _outgoing(message: Outgoing, url: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {"MessageBody": message.body}
    if message.attributes:
        parameters["MessageAttributes"] = message.attributes
    if message.trace is not None:
        parameters["MessageAttributes"] = {**message.attributes, **message.trace.attributes}
        # No part of the message's size (Amazon SQS API Reference, SendMessage, "MessageSystemAttributes").
        xray = {"DataType": "String", "StringValue": message.trace.xray}
        parameters["MessageSystemAttributes"] = {"AWSTraceHeader": xray}
    if message.group is not None:
        parameters["MessageGroupId"] = message.group
    if is_fifo(url):
        parameters["MessageDeduplicationId"] = message.deduplication_id or uuid.uuid4().hex
    return parameters


def failed_entry(entry: Any, answer: Any) -> ClientError:
    """Return a failed entry of a batch as the error of a request of its own."""
    status = HTTPStatus.BAD_REQUEST if entry.get("SenderFault") else HTTPStatus.INTERNAL_SERVER_ERROR
    response: Any = {
        "Error": {"Code": entry.get("Code", ""), "Message": entry.get("Message", "")},
        "ResponseMetadata": {**answer.get("ResponseMetadata", {}), "HTTPStatusCode": status, "HTTPHeaders": {}},
    }
    return ClientError(response, "SendMessageBatch")


async def receive(
    sqs: SQSClient,
    url: str,
    *,
    max_messages: int,
    wait_s: int,
    visibility_timeout_s: int,
    attributes: Sequence[Any],
    **wanted: Any,
) -> list[Received]:
    """Receive once, without a retry: a request whose answer is lost hides its messages.

    ``attributes`` are asked for by both names of the parameter: some servers know only the older one (Amazon SQS API
    Reference, ReceiveMessage). ``wanted`` is what else to ask for.
    """
    action = f"receive from {name_of(url)}"
    with translated(action, within_s=wait_s + _POLL_SLACK_S):
        answer = await sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=max_messages,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_timeout_s,
            MessageSystemAttributeNames=attributes,
            AttributeNames=attributes,
            **wanted,
        )
    return _readable(answer.get("Messages", []), action)


def _readable(entries: Sequence[Any], action: str) -> list[Received]:
    """Return the messages that have what one needs; the others stay hidden for a while. Raises BadAnswer for none."""
    readable: list[Received] = []
    unreadable: BadAnswer | None = None
    for entry in entries:
        try:
            readable.append(_received(entry, action))
        except BadAnswer as error:
            unreadable = error
    if unreadable is None:
        return readable
    if not readable:
        raise unreadable
    log.warning("receive.message_unreadable", error=str(unreadable), messages=len(entries) - len(readable))
    return readable


def _received(entry: Any, action: str) -> Received:
    attributes = entry.get("Attributes", {})
    sent_at = whole_number(attributes, "SentTimestamp")
    message_id, receipt, body = (member(entry, name, action) for name in ("MessageId", "ReceiptHandle", "Body"))
    return Received(
        id=message_id,
        receipt=receipt,
        body=body,
        sent_at=None if sent_at is None else sent_at / 1000,
        receive_count=whole_number(attributes, "ApproximateReceiveCount"),
        attributes=attributes,
        notes=entry.get("MessageAttributes", {}),
    )


async def extend(sqs: SQSClient, url: str, changes: Sequence[VisibilityChange]) -> list[EntryResult]:
    """Change how long messages stay hidden, within five seconds. More than 12 hours are CAPPED without a request."""
    entries = [
        {"ReceiptHandle": change.receipt, "VisibilityTimeout": change.timeout_s}
        for change in changes
        if change.timeout_s <= MAX_LEASE_S
    ]
    answered = iter(await _batch("extend", sqs.change_message_visibility_batch, url, entries))
    return [next(answered) if change.timeout_s <= MAX_LEASE_S else EntryResult.CAPPED for change in changes]


async def delete(sqs: SQSClient, url: str, receipts: Sequence[str]) -> list[EntryResult]:
    """Delete messages, within five seconds."""
    entries = [{"ReceiptHandle": receipt} for receipt in receipts]
    return await _batch("delete", sqs.delete_message_batch, url, entries)


async def _batch(
    action: str, request: Callable[..., Awaitable[Any]], url: str, entries: list[dict[str, Any]]
) -> list[EntryResult]:
    if not entries:
        return []
    # The id is the position: one message can be in a batch twice, under two receipts.
    numbered = [{"Id": str(position), **entry} for position, entry in enumerate(entries)]
    try:
        with translated(f"{action} on {name_of(url)}", within_s=_ANSWER_S):
            answer = await request(QueueUrl=url, Entries=numbered)
    except BackendError as error:
        result = batch_result(error)
        if result is EntryResult.RETRY:
            raise
        if len(entries) == 1:
            return [result]
        # One bad entry must not cost the others their leases.
        return [(await _batch(action, request, url, [entry]))[0] for entry in entries]
    return _results(answer, len(entries))


def _results(answer: Any, size: int) -> list[EntryResult]:
    results = [EntryResult.RETRY] * size
    for position, _ in entries_of(answer, "Successful", size):
        results[position] = EntryResult.OK
    for position, entry in entries_of(answer, "Failed", size):
        results[position] = entry_result({entry.get("Code", "")}, entry.get("Message", ""))
    return results


def entries_of(answer: Any, name: str, size: int) -> Iterator[tuple[int, Any]]:
    """Return the entries of a list of an answer, each with its position in the batch of this size."""
    positions = {str(position): position for position in range(size)}
    for entry in answer.get(name, []):
        if (position := positions.get(entry.get("Id"))) is not None:
            yield position, entry
