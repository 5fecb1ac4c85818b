"""The targets of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.aws.errorkinds import Kind, kind_of
from thumbq.aws.eventtargets import is_missing
from thumbq.aws.eventtargets import look as look_at
from thumbq.commands.doctor.asking import Answer, ask, right_is_missing
from thumbq.core import targetarn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.commands.doctor.findings import Findings
    from thumbq.core.targetarn import TargetArn
    from thumbq.settings import Settings

_TO_LOOK: Final = {"sns": "sns:GetTopicAttributes", "sqs": "sqs:GetQueueUrl", "events": "events:DescribeEventBus"}
_TO_PUBLISH: Final = {"sns": "sns:Publish", "sqs": "sqs:SendMessage", "events": "events:PutEvents"}


async def look_at_targets(publishing: Mapping[tuple[str, str], Any], settings: Settings, findings: Findings) -> None:
    """Look whether each target of events is there, and whether events may be published to it."""
    for arn in map(targetarn.parse, settings.events):
        if arn is not None:
            await _look_at_target(publishing[arn.service, arn.region], arn, findings)


async def _look_at_target(client: Any, arn: TargetArn, findings: Findings) -> None:
    url: list[str] = []

    async def found() -> dict[str, Any]:
        url.append(await look_at(client, arn))
        return {}

    answer = await ask(found())
    if answer.error is not None and is_missing(answer.error):
        findings.finding(
            f"there is no {arn}", "the service does not start without it", "make it, or correct THUMBQ_EVENTS"
        )
        return
    if answer.error is not None and kind_of(answer.error) is not Kind.DENIED:
        why = "until events are taken there, no job's message goes"
        findings.finding(f"{arn} cannot be looked at: {answer.error}", why, "see its policy and its region")
        return
    if answer.denied:
        findings.denied_to_us(_TO_LOOK[arn.service])
    if (await _published_nothing(client, arn, url[0] if url else "")).denied:
        right_is_missing(findings, _TO_PUBLISH[arn.service], arn.text)


async def _published_nothing(client: Any, arn: TargetArn, url: str) -> Answer:
    """Try the right to publish by a request that publishes nothing: an empty batch, or an event that has no members."""
    match arn.service:
        case "sns":
            return await ask(client.publish_batch(TopicArn=arn.text, PublishBatchRequestEntries=[]))
        case "events":
            return await ask(client.put_events(Entries=[{"EventBusName": arn.text}]))
        case _:
            # Amazon SQS Developer Guide, "Queue and message identifiers", has the form of a queue's URL.
            address = url or f"{client.meta.endpoint_url}/{arn.account}/{arn.name}"
            return await ask(client.send_message_batch(QueueUrl=address, Entries=[]))
