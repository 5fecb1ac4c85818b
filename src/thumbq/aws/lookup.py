"""Finding a queue: its URL and some of its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from thumbq.aws.errorkinds import FOREIGN
from thumbq.aws.errors import member
from thumbq.aws.problems import queue_problem
from thumbq.errors import BadAnswer, Problem, SetupError

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

_ANSWER_S: Final = 20


async def look_up(
    sqs: SQSClient, subject: str, wanted: list[QueueAttributeNameType], *, url: str = "", **named: Any
) -> tuple[str, dict[str, str]]:
    """Return the URL of a queue and the attributes that it has of those ``wanted``; a QueueArn it must have.

    The queue is known by its ``url``, or ``named`` are the parameters of GetQueueUrl. Raises SetupError, whose cause is
    the error of botocore; its text names the queue by ``subject``.
    """
    action = "sqs:GetQueueUrl"
    try:
        with anyio.fail_after(_ANSWER_S):
            url = url or member(await sqs.get_queue_url(**named), "QueueUrl", action)
            action = "sqs:GetQueueAttributes"
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)
    except (*FOREIGN, BadAnswer) as error:
        raise SetupError([queue_problem(error, subject, action, sqs.meta.endpoint_url)]) from error
    attributes: Any = answer.get("Attributes", {})
    if "QueueArn" in wanted and "QueueArn" not in attributes:
        what = f"SQS does not say the ARN of {subject}: GetQueueAttributes answers without it"
        raise SetupError([Problem(what, f"use a server that says it; SQS runs at {sqs.meta.endpoint_url}")])
    return url, dict(attributes)
