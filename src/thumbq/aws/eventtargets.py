"""Opening what events are published to: whether it is there, and what publishes to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import anyio
from botocore.exceptions import ClientError

from thumbq.aws.errorkinds import FOREIGN, Kind, codes, kind_of, text_of
from thumbq.aws.errors import member
from thumbq.aws.eventrequests import BusRequests, EventQueueRequests, TopicRequests
from thumbq.aws.messagesender import MessageSender
from thumbq.core import targetarn
from thumbq.errors import BadAnswer, Problem, SetupError
from thumbq.ports.tracing import Publishing, during, trace_to_send

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.aws.messagesender import SendRequests
    from thumbq.aws.session import Clients
    from thumbq.core.jobevent import JobEvent
    from thumbq.core.targetarn import TargetArn
    from thumbq.ports import EventTarget

_CHECK_S: Final = 20
_MISSING: Final = {
    "NotFound",
    "NotFoundException",
    "NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
}


async def open_targets(
    clients: Clients, arns: Sequence[str], *, own: Sequence[str], warn: Callable[[Problem], None] | None
) -> tuple[EventTarget, ...]:
    """Look for all targets at the same time, and return what publishes to each.

    What may not be looked at is taken to be there; ``warn`` gets what cannot be looked at now. Raises SetupError with
    all that are missing, and all that are thumbq's ``own`` queues.
    """
    problems = [
        Problem(f"{arn} is a queue of thumbq's own: events in it are no jobs", "take it out of THUMBQ_EVENTS")
        for arn in arns
        if arn in own
    ]
    found: dict[str, SendRequests[JobEvent]] = {}

    async def find(arn: TargetArn) -> None:
        client, url = clients.publishing[arn.service, arn.region], ""
        try:
            with anyio.fail_after(_CHECK_S):
                url = await look(client, arn)
        except (*FOREIGN, BadAnswer) as error:
            if is_missing(error):
                problems.append(Problem(f"there is no {arn}", "make it, or correct THUMBQ_EVENTS"))
            elif kind_of(error) is not Kind.DENIED and warn is not None:
                what = f"{arn} cannot be looked at now: {text_of(error)}"
                warn(Problem(what, "until events are taken there, no job's message goes"))
        found[arn.text] = _requests(client, arn, url)

    async with anyio.create_task_group() as tasks:
        for arn in _parsed(arns):
            tasks.start_soon(find, arn)
    if problems:
        raise SetupError(problems)
    return tuple(Target(arn, MessageSender(found[arn.text])) for arn in _parsed(arns))


@dataclass(frozen=True, slots=True)
class Target:
    """An EventTarget: a topic, a queue or a bus, and what sends to it."""

    arn: TargetArn
    sender: MessageSender[JobEvent]

    async def send(self, event: JobEvent) -> str:
        """Publish an event, which takes the trace of ports.tracing along; see EventTarget."""
        with during(Publishing(self.arn.service, self.arn.name)) as note:
            if (trace := trace_to_send()) is not None:
                event = replace(event, trace=trace)
            event_id = await self.sender.send(event)
            note(message_id=event_id)
        return event_id


def _parsed(arns: Sequence[str]) -> list[TargetArn]:
    return [arn for arn in map(targetarn.parse, arns) if arn is not None]


async def look(client: Any, arn: TargetArn) -> str:
    """Ask for a target, which raises when it is not there; return the URL of a queue."""
    match arn.service:
        case "sns":
            await client.get_topic_attributes(TopicArn=arn.text)
        case "events":
            await client.describe_event_bus(Name=arn.text)
        case "sqs":
            answer = await client.get_queue_url(QueueName=arn.name, QueueOwnerAWSAccountId=arn.account)
            return str(member(answer, "QueueUrl", "sqs:GetQueueUrl"))
    return ""


def _requests(client: Any, arn: TargetArn, url: str) -> SendRequests[JobEvent]:
    match arn.service:
        case "sns":
            return TopicRequests(client, arn)
        case "events":
            return BusRequests(client, arn)
        case "sqs":
            # Amazon SQS Developer Guide, "Queue and message identifiers", has the form of a queue's URL.
            return EventQueueRequests(client, url or f"{client.meta.endpoint_url}/{arn.account}/{arn.name}", arn)


def is_missing(error: BaseException) -> bool:
    """Whether an error says that there is no such topic, queue or bus."""
    return isinstance(error, ClientError) and bool(codes(error) & _MISSING)
