"""The requests that publish events: to an SNS topic, an SQS queue, or an EventBridge bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.aws import requests
from thumbq.aws.errors import member
from thumbq.aws.requests import Outgoing, entries_of, failed_entry
from thumbq.aws.sends import translated_send
from thumbq.core.jobevent import SOURCE
from thumbq.errors import BackendError, BadAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_aiobotocore_events.client import EventBridgeClient
    from types_aiobotocore_sns.client import SNSClient
    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.core.jobevent import JobEvent
    from thumbq.core.targetarn import TargetArn

_SEND_S: Final = 10


@dataclass(frozen=True, slots=True)
class TopicRequests:
    """Requests to a topic. In a FIFO topic a key's events stay in order; one that comes again soon is dropped."""

    sns: SNSClient
    topic: TargetArn

    async def send(self, event: JobEvent) -> str:
        """Publish an event and return its id; see SendRequests."""
        action = f"publish to {self.topic}"
        with translated_send(action, within_s=_SEND_S):
            answer = await self.sns.publish(TopicArn=self.topic.text, **self._entry(event))
        message_id: str = member(answer, "MessageId", action)
        return message_id

    async def send_batch(self, events: Sequence[JobEvent]) -> Sequence[str | BackendError]:
        """Publish events in one request; see SendRequests."""
        action = f"publish to {self.topic}"
        entries: list[Any] = [{"Id": str(place), **self._entry(event)} for place, event in enumerate(events)]
        with translated_send(action, within_s=_SEND_S) as outcome:
            answer = await self.sns.publish_batch(TopicArn=self.topic.text, PublishBatchRequestEntries=entries)
        results: list[str | BackendError] = [BadAnswer(f"{action}: the answer leaves an event out") for _ in events]
        for place, entry in entries_of(answer, "Successful", len(events)):
            results[place] = entry.get("MessageId", "")
        for place, entry in entries_of(answer, "Failed", len(events)):
            results[place] = outcome(failed_entry(entry, answer))
        return results

    def _entry(self, event: JobEvent) -> dict[str, Any]:
        order = {"MessageGroupId": event.group, "MessageDeduplicationId": event.id} if self.topic.fifo else {}
        return {"Message": event.body, "MessageAttributes": _attributes(event), **order}


class EventQueueRequests:
    """Requests to a queue; a FIFO queue is as a FIFO topic."""

    def __init__(self, sqs: SQSClient, url: str, queue: TargetArn) -> None:
        self._requests = requests.QueueRequests(sqs, url)
        self._queue = queue

    async def send(self, event: JobEvent) -> str:
        """Send an event and return its id; see SendRequests."""
        return await self._requests.send(self._outgoing(event))

    async def send_batch(self, events: Sequence[JobEvent]) -> Sequence[str | BackendError]:
        """Send events in one request; see SendRequests."""
        return await self._requests.send_batch([self._outgoing(event) for event in events])

    def _outgoing(self, event: JobEvent) -> Outgoing:
        group = event.group if self._queue.fifo else None
        return Outgoing(event.body, group, _attributes(event), deduplication_id=event.id)


@dataclass(frozen=True, slots=True)
class BusRequests:
    """Requests to a bus, which has no message attributes: rules see the job, and its original among the resources."""

    events: EventBridgeClient
    bus: TargetArn

    async def send(self, event: JobEvent) -> str:
        """Put an event and return its id; see SendRequests."""
        [result] = await self.send_batch([event])
        if isinstance(result, BackendError):
            raise result
        return result

    async def send_batch(self, events: Sequence[JobEvent]) -> Sequence[str | BackendError]:
        """Put events in one request; see SendRequests. The answer has an entry for each, in their order."""
        action = f"put to {self.bus}"
        with translated_send(action, within_s=_SEND_S) as outcome:
            answer = await self.events.put_events(Entries=[self._entry(event) for event in events])
        entries: list[Any] = answer.get("Entries", [])
        if len(entries) != len(events):
            raise BadAnswer(f"{action}: the answer has {len(entries)} entries for {len(events)} events")
        return [entry.get("EventId") or outcome(_failed(entry, answer)) for entry in entries]

    def _entry(self, event: JobEvent) -> Any:
        return {
            "Time": event.ended_at,
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": event.body,
            "Resources": [f"arn:{self.bus.partition}:s3:::{event.source}"],
            "EventBusName": self.bus.text,
            **({} if event.trace is None else {"TraceHeader": event.trace.xray}),
        }


def _attributes(event: JobEvent) -> dict[str, Any]:
    return {
        name: {"DataType": attribute.data_type, "StringValue": attribute.value}
        for name, attribute in event.attributes.items()
    }


def _failed(entry: Any, answer: Any) -> Exception:
    """Return a failed entry of PutEvents as an error; of those that may do later its name tells."""
    told = {"Code": entry.get("ErrorCode", ""), "Message": entry.get("ErrorMessage", ""), "SenderFault": True}
    return failed_entry(told, answer)
