"""Is everything there that the service needs? What is wrong is said all at once, each with its fix."""

from __future__ import annotations

import json
import re
from itertools import chain, combinations, permutations
from typing import TYPE_CHECKING, Any, Final

import anyio

from thumbq.aws.addresses import DeadLetterAddress, QueueAddress, retention_s
from thumbq.aws.errors import FOREIGN
from thumbq.aws.explain import bucket_problem, queue_problem
from thumbq.core.message import MAX_BODY_BYTES
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

    from thumbq.aws.session import Clients

QUEUE_URL: Final = re.compile(r"https?://\S+/(?P<name>[^/\s]+)")
_CHECK_S: Final = 20


async def checked(clients: Clients, *, bucket: str, queues: Sequence[str]) -> list[QueueAddress]:
    """Look at the bucket and all queues at the same time, and return where each queue is.

    Raises SetupError with every problem that was found.
    """
    of_bucket: list[Problem] = []
    of_queues: list[list[Problem]] = [[] for _ in queues]
    found: dict[str, QueueAddress] = {}

    async def find(queue: str, problems: list[Problem]) -> None:
        address = await _find_queue(clients.control, queue, problems)
        if address is not None:
            found[queue] = address

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_check_bucket, clients.s3, bucket, of_bucket)
        for queue, problems in zip(queues, of_queues, strict=True):
            tasks.start_soon(find, queue, problems)
    in_order = {queue: found[queue] for queue in queues if queue in found}
    problems = [*of_bucket, *chain.from_iterable(of_queues), *_same(in_order)]
    if problems:
        raise SetupError(list(dict.fromkeys(problems)))
    return [found[queue] for queue in queues]


def _same(found: Mapping[str, QueueAddress]) -> Iterator[Problem]:
    """Yield queues that are named twice, by name and by URL, and those that hold another one's dead letters."""
    for one, other in combinations(found, 2):
        if found[one].arn == found[other].arn:
            yield Problem(f"{one} and {other} are one and the same queue", "name it once in [[queues]]")
    for one, other in permutations(found, 2):
        dead = found[one].dead
        if dead is not None and dead.arn == found[other].arn:
            what = f"{other} holds the dead letters of {one}: worked on as a queue, they would be lost"
            yield Problem(what, f"take {other} out of [[queues]]; `thumbq dlq redrive` sends letters back")


async def _check_bucket(s3: S3Client, bucket: str, problems: list[Problem]) -> None:
    try:
        with anyio.fail_after(_CHECK_S):
            await s3.head_bucket(Bucket=bucket)
    except FOREIGN as error:
        problems.append(bucket_problem(error, bucket, s3.meta.endpoint_url))


async def _find_queue(sqs: SQSClient, queue: str, problems: list[Problem]) -> QueueAddress | None:
    found = await _look(sqs, f"queue {queue}", problems, ["QueueArn", "RedrivePolicy"], **_named(queue))
    if found is None:
        return None
    url, attributes = found
    policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    target = policy.get("deadLetterTargetArn")
    dead = await _find_dead_letters(sqs, target, problems) if target else None
    return QueueAddress(url, attributes["QueueArn"], dead)


async def _find_dead_letters(sqs: SQSClient, arn: str, problems: list[Problem]) -> DeadLetterAddress | None:
    wanted: list[QueueAttributeNameType] = ["MaximumMessageSize", "MessageRetentionPeriod"]
    found = await _look(sqs, f"dead-letter queue {arn.rpartition(':')[2]}", problems, wanted, **_named(arn))
    if found is None:
        return None
    url, attributes = found
    return DeadLetterAddress(
        url,
        arn,
        max_bytes=int(attributes.get("MaximumMessageSize", MAX_BODY_BYTES)),
        retention_s=retention_s(attributes),
    )


def _named(queue: str) -> dict[str, str]:
    """Return how to ask for a queue that is named by its URL, its ARN, or its name among our own."""
    if QUEUE_URL.fullmatch(queue):
        return {"url": queue}
    if queue.startswith("arn:"):
        account, name = queue.split(":")[-2:]
        return {"QueueName": name, "QueueOwnerAWSAccountId": account}
    return {"QueueName": queue}


async def _look(
    sqs: SQSClient,
    subject: str,
    problems: list[Problem],
    wanted: list[QueueAttributeNameType],
    *,
    url: str = "",
    **where: Any,
) -> tuple[str, dict[str, str]] | None:
    """Return a queue's URL and some of its attributes, or None with a problem more."""
    action = "sqs:GetQueueUrl"
    try:
        with anyio.fail_after(_CHECK_S):
            url = url or (await sqs.get_queue_url(**where))["QueueUrl"]
            action = "sqs:GetQueueAttributes"
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)
    except FOREIGN as error:
        problems.append(queue_problem(error, subject, action, sqs.meta.endpoint_url))
        return None
    attributes: Any = answer.get("Attributes", {})
    return url, dict(attributes)
