"""Is everything there that the service needs? What is wrong is said all at once, each with its fix."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.aws.errors import FOREIGN
from thumbq.aws.explain import bucket_problem, queue_problem
from thumbq.aws.jobqueue import DeadLetters, QueueAddress
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.aws.session import Clients

QUEUE_URL: Final = re.compile(r"https?://\S+/(?P<name>[^/\s]+)")
_FIFO_FIX: Final = "name a standard queue; `thumbq setup` makes one"


async def checked(clients: Clients, *, bucket: str, queue: str) -> QueueAddress:
    """Look at bucket and queue at the same time, and return where the queue is.

    Raises SetupError with every problem that was found.
    """
    problems: list[Problem] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_check_bucket, clients.s3, bucket, problems)
        address = await _find_queue(clients.control, queue, problems)
    if address is None or problems:
        raise SetupError(list(dict.fromkeys(problems)))
    return address


async def _check_bucket(s3: S3Client, bucket: str, problems: list[Problem]) -> None:
    try:
        await s3.head_bucket(Bucket=bucket)
    except FOREIGN as error:
        problems.append(bucket_problem(error, bucket, s3.meta.endpoint_url))


async def _find_queue(sqs: SQSClient, queue: str, problems: list[Problem]) -> QueueAddress | None:
    if queue.endswith(".fifo"):
        problems.append(Problem(f"queue {queue} is a FIFO queue", _FIFO_FIX))
        return None
    action = "sqs:GetQueueUrl"
    try:
        url = queue if QUEUE_URL.fullmatch(queue) else (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        action = "sqs:GetQueueAttributes"
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    except FOREIGN as error:
        problems.append(queue_problem(error, f"queue {queue}", action, sqs.meta.endpoint_url))
        return None
    policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy") or "{}")
    if "deadLetterTargetArn" not in policy:
        return QueueAddress(url, None)
    return QueueAddress(url, await _find_dead_letters(sqs, policy["deadLetterTargetArn"], problems))


async def _find_dead_letters(sqs: SQSClient, arn: str, problems: list[Problem]) -> DeadLetters | None:
    account, name = arn.split(":")[-2:]
    action = "sqs:GetQueueUrl"
    try:
        url = (await sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account))["QueueUrl"]
        action = "sqs:GetQueueAttributes"
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["MaximumMessageSize"])
    except FOREIGN as error:
        problems.append(queue_problem(error, f"dead-letter queue {name}", action, sqs.meta.endpoint_url))
        return None
    return DeadLetters(url, int(answer.get("Attributes", {}).get("MaximumMessageSize", 1 << 20)))
