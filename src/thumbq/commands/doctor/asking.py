"""Asking AWS, where an error is an answer as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio
from botocore.exceptions import ClientError

from thumbq.aws.errorkinds import FOREIGN, Kind, codes, kind_of
from thumbq.errors import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from thumbq.commands.doctor.findings import Findings

_ANSWER_S: Final = 20

_WHY: Final = {
    "s3:ListBucket": "without it S3 says 403 for a key that is missing, and the service does not start",
    "s3:GetObject": "without it no original is fetched and no manifest is read",
    "s3:PutObject": "without it no upload is stored, and no rendition",
    "s3:DeleteObject": "without it what an upload left behind stays, and so do records of crashes",
    "sns:Publish": "until events are taken there, no job's message goes",
    "events:PutEvents": "until events are taken there, no job's message goes",
    "sqs:GetQueueUrl": "without it the service does not start",
    "sqs:GetQueueAttributes": "without it the service does not start",
    "sqs:SendMessage": "without it nothing is queued, nothing becomes a dead letter, and no event goes there",
    "sqs:ReceiveMessage": "without it no message is worked on, or no dead letter is seen",
    "sqs:ChangeMessageVisibility": "without it leases end while their jobs run",
    "sqs:DeleteMessage": "without it each message comes again until it is a dead letter",
}

NOT_OFFERED: Final = {"NotImplemented", "MethodNotAllowed", "InvalidAction", "UnknownOperationException", "501", "405"}
"""Answers of servers that are no S3 or SQS to requests that they do not know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the members of the answer, or the error; ``headers`` in both cases, where there are any."""

    members: Mapping[str, Any]
    error: BaseException | None = None

    @property
    def denied(self) -> bool:
        """Whether a right is missing."""
        return self.error is not None and kind_of(self.error) is Kind.DENIED

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of HTTP; none where nothing came."""
        whole = self.error.response if isinstance(self.error, ClientError) else self.members
        found: Mapping[str, str] = whole.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return found

    def says(self, *named: str) -> bool:
        """Whether the error has one of these codes."""
        return isinstance(self.error, ClientError) and not codes(self.error).isdisjoint(named)


async def ask(call: Awaitable[Any]) -> Answer:
    """Return the answer to a request, whatever it is."""
    try:
        with anyio.fail_after(_ANSWER_S):
            return Answer(await call)
    except (*FOREIGN, BadAnswer) as error:
        return Answer({}, error)


async def look(findings: Findings, action: str, call: Awaitable[Any]) -> Answer | None:
    """Ask for what only this look wants to see; None where it may not, or where the server has no such thing."""
    answer = await ask(call)
    if answer.denied:
        findings.denied_to_us(action)
        return None
    if answer.says(*NOT_OFFERED) or (answer.error is not None and not isinstance(answer.error, ClientError)):
        return None
    return answer


def right_is_missing(findings: Findings, action: str, on: str) -> None:
    """Add the finding that a right of the service is missing."""
    findings.finding(f"{action} on {on} is denied", _WHY[action], f"allow {action} on {on} (deploy/iam-policy.json)")
