"""The ARNs of what events are published to: SNS topics, SQS queues and EventBridge buses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMS: Final = (
    "arn:aws:sns:REGION:ACCOUNT:TOPIC, arn:aws:sqs:REGION:ACCOUNT:QUEUE or arn:aws:events:REGION:ACCOUNT:event-bus/BUS"
)

Service = Literal["sns", "sqs", "events"]

_PREFIX: Final = (
    r"arn:(?P<partition>aws(?:-[a-z]+)*):(?P<service>{service})"
    r":(?P<region>[a-z]+(?:-[a-z]+)+-[0-9]+):(?P<account>[0-9]{{12}}):"
)
_NAMES: Final = {
    # Amazon SNS API Reference, CreateTopic, "Name": 256 characters, the ending included.
    "sns": r"(?P<name>(?=.{1,256}$)[A-Za-z0-9_-]+(?:\.fifo)?)",
    # Amazon SQS API Reference, CreateQueue, "QueueName": 80 characters, the ending included.
    "sqs": r"(?P<name>(?=.{1,80}$)[A-Za-z0-9_-]+(?:\.fifo)?)",
    # Amazon EventBridge API Reference, CreateEventBus, "Name". One with a slash is a partner's: nobody else puts there.
    "events": r"event-bus/(?P<name>[A-Za-z0-9._-]{1,256})",
}
_ARNS: Final = tuple(re.compile(_PREFIX.format(service=service) + name) for service, name in _NAMES.items())
_FIFO_ENDING: Final = ".fifo"


@dataclass(frozen=True, slots=True)
class TargetArn:
    """An ARN and its parts; ``text`` is the whole."""

    text: str
    partition: str
    service: Service
    region: str
    account: str
    name: str

    def __str__(self) -> str:
        return self.text

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO topic or queue."""
        return self.service != "events" and self.name.endswith(_FIFO_ENDING)


def parse(text: str) -> TargetArn | None:
    """Return the ARN that a text is, None for a text that is none of a topic, a queue or a bus."""
    for pattern in _ARNS:
        if (found := pattern.fullmatch(text)) is not None:
            return TargetArn(text, **cast("dict[str, Any]", found.groupdict()))
    return None


def places(texts: Iterable[str]) -> set[tuple[Service, str]]:
    """Return the service and the region of each ARN, which a client is made for."""
    return {(arn.service, arn.region) for arn in map(parse, texts) if arn is not None}
