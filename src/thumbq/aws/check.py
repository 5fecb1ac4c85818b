"""The check of bucket and queues at the start, which reports every problem with its fix at once."""

from __future__ import annotations

import re
from itertools import chain, combinations, permutations
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.aws.addresses import DeadLetterAddress, QueueAddress, max_bytes, redrive_policy, retention_s
from thumbq.aws.errorkinds import FOREIGN
from thumbq.aws.lookup import look_up
from thumbq.aws.problems import bucket_problem
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
    """Check the bucket and all queues at the same time, and return the address of each queue.

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
    problems = [*of_bucket, *chain.from_iterable(of_queues), *_conflicts(in_order)]
    if problems:
        raise SetupError(list(dict.fromkeys(problems)))
    return [found[queue] for queue in queues]


def _conflicts(found: Mapping[str, QueueAddress]) -> Iterator[Problem]:
    """Yield queues that are named twice, by name and by URL, and queues that are dead-letter queues of others."""
    for one, other in combinations(found, 2):
        if found[one].arn == found[other].arn:
            yield Problem(f"{one} and {other} are one and the same queue", "name it once in [[queues]]")
    for one, other in permutations(found, 2):
        dead = found[one].dead
        if dead is not None and dead.arn == found[other].arn:
            what = f"{other} holds the dead letters of {one}: worked on as a queue, they would be lost"
            yield Problem(what, f"take {other} out of [[queues]]; `thumbq dlq redrive` sends dead letters back")


async def _check_bucket(s3: S3Client, bucket: str, problems: list[Problem]) -> None:
    try:
        with anyio.fail_after(_CHECK_S):
            await s3.head_bucket(Bucket=bucket)
    except FOREIGN as error:
        problems.append(bucket_problem(error, bucket, s3.meta.endpoint_url))


async def _find_queue(sqs: SQSClient, queue: str, problems: list[Problem]) -> QueueAddress | None:
    try:
        url, attributes = await look_up(
            sqs, f"queue {queue}", ["QueueArn", "RedrivePolicy", "MaximumMessageSize"], **named(queue)
        )
    except SetupError as error:
        problems.extend(error.problems)
        return None
    target = redrive_policy(attributes).target_arn
    dead = await _find_dead_letters(sqs, target, problems) if target else None
    return QueueAddress(url, attributes["QueueArn"], dead, max_bytes(attributes))


async def _find_dead_letters(sqs: SQSClient, arn: str, problems: list[Problem]) -> DeadLetterAddress | None:
    wanted: list[QueueAttributeNameType] = ["MaximumMessageSize", "MessageRetentionPeriod"]
    try:
        url, attributes = await look_up(sqs, f"dead-letter queue {arn.rpartition(':')[2]}", wanted, **named(arn))
    except SetupError as error:
        problems.extend(error.problems)
        return None
    return DeadLetterAddress(
        url,
        arn,
        max_bytes=max_bytes(attributes),
        retention_s=retention_s(attributes),
    )


def named(queue: str) -> dict[str, str]:
    """Return the parameters of ``look_up`` for a queue's URL, its ARN, or its name in our account."""
    if QUEUE_URL.fullmatch(queue):
        return {"url": queue}
    if queue.startswith("arn:"):
        account, name = queue.split(":")[-2:]
        return {"QueueName": name, "QueueOwnerAWSAccountId": account}
    return {"QueueName": queue}
