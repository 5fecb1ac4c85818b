"""The targets of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.aws.errorkinds import Kind, kind_of
from thumbq.aws.eventtargets import is_missing
from thumbq.aws.eventtargets import look as look_at
from thumbq.commands.doctor.asking import ask
from thumbq.core import targetarn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.commands.doctor.findings import Findings
    from thumbq.settings import Settings

_RIGHTS: Final = {"sns": "sns:GetTopicAttributes", "sqs": "sqs:GetQueueUrl", "events": "events:DescribeEventBus"}


async def look_at_targets(publishing: Mapping[tuple[str, str], Any], settings: Settings, findings: Findings) -> None:
    """Look whether each target of events is there."""
    for arn in map(targetarn.parse, settings.events):
        if arn is None:
            continue
        answer = await ask(look_at(publishing[arn.service, arn.region], arn))
        if answer.error is None:
            continue
        if is_missing(answer.error):
            why = "the service does not start without it"
            findings.finding(f"there is no {arn}", why, "make it, or correct THUMBQ_EVENTS")
        elif kind_of(answer.error) is Kind.DENIED:
            findings.denied_to_us(_RIGHTS[arn.service])
        else:
            why = "until events are taken there, no job's message goes"
            findings.finding(f"{arn} cannot be looked at: {answer.error}", why, "see its policy and its region")
