"""`thumbq setup`: the bucket and the queues, made where they are missing and left alone where they are not."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio
from botocore.exceptions import ClientError

from thumbq.aws.addresses import dead_letter_name, is_fifo, redrive_policy
from thumbq.aws.check import QUEUE_URL
from thumbq.aws.errorkinds import FOREIGN, Kind, codes, kind_of
from thumbq.aws.lifecycle import make_lifecycle_rules
from thumbq.aws.lookup import look_up
from thumbq.aws.problems import bucket_problem, explained, setup_problem
from thumbq.aws.session import open_clients
from thumbq.core import callbackmessage
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import PublicAccessBlockConfigurationTypeDef, ServerSideEncryptionRuleTypeDef
    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.aws.addresses import RedrivePolicy

_DEAD_RETENTION_S: Final = 14 * 86_400
_RETENTION_S: Final = 4 * 86_400
_CALLBACK_RETENTION_S: Final = 14 * 86_400
_FIFO: Final = {
    "FifoQueue": "true",
    # High throughput: limits count for each group, not for the queue (Amazon SQS Developer Guide).
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}
_WAIT_S: Final = 20
_FINDS_S: Final = 10
_NOT_KNOWN: Final = {"NotImplemented", "MethodNotAllowed"}
"""Answers of S3-compatible servers to requests that they do not offer."""

_BLOCKED: Final[PublicAccessBlockConfigurationTypeDef] = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_ENCRYPTED: Final[ServerSideEncryptionRuleTypeDef] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that setup has made, or found; ``note`` says why something was left as it is."""

    what: str
    made: bool
    note: str = ""

    def __str__(self) -> str:
        line = f"{'made ' if self.made else 'there'}  {self.what}"
        return f"{line} ({self.note})" if self.note else line


async def provision(
    *,
    bucket: str,
    queues: Sequence[str],
    callbacks: str | None = None,
    max_receive_count: int = 10,
    visibility_timeout_s: int = 30,
) -> list[Step]:
    """Make bucket, public-access block, encryption, lifecycle rules, and each queue.

    A queue has a dead-letter queue ``{queue}-dlq`` and a redrive policy.

    The same for the queue of ``callbacks``, whose messages may be received more often. A name that ends in ``.fifo``
    makes a FIFO queue, with a FIFO dead-letter queue ``{name}-dlq.fifo``. Whatever exists stays as it is. Returns every
    step. Raises SetupError with a problem and a fix for everything that failed.
    """
    for queue in queues:
        _check_name(queue)
    steps: list[Step] = []
    problems: list[Problem] = []
    async with open_clients(connections=4, wait_time_s=0) as clients:
        with _collected(problems):
            steps.append(await _bucket(clients.s3, bucket))
            steps.append(await _public_access_block(clients.s3, bucket))
            steps.append(await _encryption(clients.s3, bucket))
            made, note = await make_lifecycle_rules(clients.s3, bucket)
            steps.append(Step(f"lifecycle rules of bucket {bucket}", made=made, note=note))
        for queue in queues:
            with _collected(problems):
                steps += await _queues(clients.control, queue, max_receive_count, visibility_timeout_s)
        if callbacks is not None:
            with _collected(problems):
                rules = (callbackmessage.MAX_RECEIVES, visibility_timeout_s, _CALLBACK_RETENTION_S)
                steps += await _queues(clients.control, callbacks, *rules)
    if problems:
        raise SetupError(list(dict.fromkeys(problems)))
    return steps


def _check_name(queue: str) -> None:
    if url := QUEUE_URL.fullmatch(queue):
        what = f"a queue that is to be made has a name, not a URL: {queue}"
        raise SetupError([Problem(what, f"run setup with THUMBQ_QUEUE={url['name']}")])


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except SetupError as error:
        problems.extend(error.problems)


async def _bucket(s3: S3Client, bucket: str) -> Step:
    endpoint, what = s3.meta.endpoint_url, f"bucket {bucket}"
    try:
        await s3.head_bucket(Bucket=bucket)
    except FOREIGN as error:
        if kind_of(error) not in (Kind.NO_OBJECT, Kind.NO_BUCKET):
            raise SetupError([bucket_problem(error, bucket, endpoint)]) from error
    else:
        return Step(what, made=False)
    region: Any = s3.meta.region_name
    try:
        if region == "us-east-1":  # which no LocationConstraint can name
            await s3.create_bucket(Bucket=bucket)
        else:
            await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    except FOREIGN as error:
        if isinstance(error, ClientError) and "BucketAlreadyExists" in codes(error):
            taken = Problem(f"the name of bucket {bucket} is taken by another account", "choose another THUMBQ_BUCKET")
            raise SetupError([taken]) from error
        raise SetupError([setup_problem(error, what, "s3:CreateBucket", endpoint)]) from error
    return Step(what, made=True)


async def _public_access_block(s3: S3Client, bucket: str) -> Step:
    what = f"public-access block of bucket {bucket}"
    action = "s3:GetBucketPublicAccessBlock"
    try:
        try:
            answer = await s3.get_public_access_block(Bucket=bucket)
        except ClientError as error:
            if codes(error) & _NOT_KNOWN:
                return Step(what, made=False, note="left out: this server has no such thing")
            if "NoSuchPublicAccessBlockConfiguration" not in codes(error):
                raise
            action = "s3:PutBucketPublicAccessBlock"
            await s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=_BLOCKED)
            return Step(what, made=True)
    except FOREIGN as error:
        raise SetupError([setup_problem(error, what, action, s3.meta.endpoint_url)]) from error
    blocked: Any = answer.get("PublicAccessBlockConfiguration", {})
    whole = all(blocked.get(name) for name in _BLOCKED)
    return Step(what, made=False, note="" if whole else "left alone, though it does not block everything")


async def _encryption(s3: S3Client, bucket: str) -> Step:
    """Have a bucket encrypt what is put. S3 does since 2023 (S3 User Guide, "Default encryption"), others when told."""
    what, action = f"encryption of bucket {bucket}", "s3:GetEncryptionConfiguration"
    try:
        try:
            await s3.get_bucket_encryption(Bucket=bucket)
        except ClientError as error:
            if codes(error) & _NOT_KNOWN:
                return Step(what, made=False, note="left out: this server has no such thing")
            if kind_of(error) is Kind.DENIED:
                return Step(what, made=False, note=f"not looked at: {action} is missing")
            if "ServerSideEncryptionConfigurationNotFoundError" not in codes(error):
                raise
            action = "s3:PutEncryptionConfiguration"
            await s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [_ENCRYPTED]})
            return Step(what, made=True)
    except FOREIGN as error:
        raise SetupError([setup_problem(error, what, action, s3.meta.endpoint_url)]) from error
    return Step(what, made=False)


@dataclass(frozen=True, slots=True)
class _Queue:
    url: str
    arn: str
    policy: RedrivePolicy


async def _queues(
    sqs: SQSClient, queue: str, max_receive_count: int, visibility_timeout_s: int, retention_s: int = _RETENTION_S
) -> list[Step]:
    fifo = _FIFO if is_fifo(queue) else {}
    dead_name, redrive = dead_letter_name(queue), f"redrive policy of queue {queue}"
    there = await _find(sqs, queue)
    target = there.policy.target_arn.rpartition(":")[2] if there else ""
    if there and target not in ("", dead_name):
        note = f"left alone: dead letters go to {target}"
        return [Step(f"queue {queue}", made=False), Step(redrive, made=False, note=note)]

    dead_there = await _find(sqs, dead_name)
    dead = dead_there or await _create(sqs, dead_name, {"MessageRetentionPeriod": str(_DEAD_RETENTION_S)} | fifo)
    steps = [Step(f"dead-letter queue {dead_name}", made=dead_there is None)]
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": max_receive_count})
    if there is None:
        attributes = {
            "VisibilityTimeout": str(visibility_timeout_s),
            "ReceiveMessageWaitTimeSeconds": str(_WAIT_S),
            "MessageRetentionPeriod": str(retention_s),
            "RedrivePolicy": policy,
        }
        await _create(sqs, queue, attributes | fifo)
        return [*steps, Step(f"queue {queue}", made=True), Step(redrive, made=True)]
    steps.append(Step(f"queue {queue}", made=False))
    if not target:
        with explained(sqs, redrive, "sqs:SetQueueAttributes"):
            await sqs.set_queue_attributes(QueueUrl=there.url, Attributes={"RedrivePolicy": policy})
        return [*steps, Step(redrive, made=True)]
    kept = there.policy.max_receives
    note = "" if kept == max_receive_count else f"left alone: {kept} receives, not {max_receive_count}"
    return [*steps, Step(redrive, made=False, note=note)]


async def _find(sqs: SQSClient, name: str) -> _Queue | None:
    try:
        url, attributes = await look_up(sqs, f"queue {name}", ["QueueArn", "RedrivePolicy"], QueueName=name)
    except SetupError as error:
        if error.__cause__ is not None and kind_of(error.__cause__) is Kind.NO_QUEUE:
            return None
        raise
    return _Queue(url, attributes["QueueArn"], redrive_policy(attributes))


async def _create(sqs: SQSClient, name: str, attributes: dict[Any, str]) -> _Queue:
    with explained(sqs, f"queue {name}", "sqs:CreateQueue"):
        await sqs.create_queue(QueueName=name, Attributes=attributes)
    # A new queue takes a moment to appear.
    for _ in range(_FINDS_S):
        if made := await _find(sqs, name):
            return made
        await anyio.sleep(1)
    what = f"queue {name} was made but is not there after {_FINDS_S} s"
    raise SetupError([Problem(what, "run `thumbq setup` again in a moment")])
