"""`thumbq setup`: the bucket and the queues, made where they are missing and left alone where they are not."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio
from botocore.exceptions import ClientError

from thumbq.aws.addresses import dead_letter_name, is_fifo
from thumbq.aws.check import QUEUE_URL
from thumbq.aws.errors import FOREIGN, Kind, codes, kind_of
from thumbq.aws.explain import bucket_problem, making_problem, queue_problem
from thumbq.aws.session import open_clients
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import PublicAccessBlockConfigurationTypeDef
    from types_aiobotocore_sqs.client import SQSClient

_DEAD_RETENTION_S: Final = 14 * 86_400
_RETENTION_S: Final = 4 * 86_400
_FIFO: Final = {
    "FifoQueue": "true",
    # High throughput: limits count for each group, not for the queue (Amazon SQS Developer Guide).
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}
_WAIT_S: Final = 20
_LOOKS: Final = 10
_NOT_KNOWN: Final = {"NotImplemented", "MethodNotAllowed"}
"""What S3-compatible servers say to requests that they do not have."""

_BLOCKED: Final[PublicAccessBlockConfigurationTypeDef] = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that setup sees to: made now, or there already. ``note`` says what was left as it is."""

    what: str
    made: bool
    note: str = ""

    def __str__(self) -> str:
        line = f"{'made ' if self.made else 'there'}  {self.what}"
        return f"{line} ({self.note})" if self.note else line


async def provision(
    *, bucket: str, queues: Sequence[str], max_receive_count: int = 10, visibility_timeout_s: int = 30
) -> list[Step]:
    """Make bucket, public-access block, and each queue with its dead-letter queue ``{queue}-dlq`` and redrive policy.

    A name that ends in ``.fifo`` makes a FIFO queue, and so are its dead letters: ``{name}-dlq.fifo``. What is there
    stays as it is. Returns every step; raises SetupError with what could not be made, and fixes.
    """
    for queue in queues:
        _check_name(queue)
    steps: list[Step] = []
    problems: list[Problem] = []
    async with open_clients(connections=4, wait_time_s=0) as clients:
        with _gathered(problems):
            steps.append(await _bucket(clients.s3, bucket))
            steps.append(await _public_access_block(clients.s3, bucket))
        for queue in queues:
            with _gathered(problems):
                steps += await _queues(clients.control, queue, max_receive_count, visibility_timeout_s)
    if problems:
        raise SetupError(list(dict.fromkeys(problems)))
    return steps


def _check_name(queue: str) -> None:
    if url := QUEUE_URL.fullmatch(queue):
        what = f"a queue that is to be made has a name, not a URL: {queue}"
        raise SetupError([Problem(what, f"run setup with THUMBQ_QUEUE={url['name']}")])


@contextmanager
def _gathered(problems: list[Problem]) -> Iterator[None]:
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
        raise SetupError([making_problem(error, what, "s3:CreateBucket", endpoint)]) from error
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
        raise SetupError([making_problem(error, what, action, s3.meta.endpoint_url)]) from error
    whole = all(answer["PublicAccessBlockConfiguration"].get(name) for name in _BLOCKED)
    return Step(what, made=False, note="" if whole else "left alone, though it does not block everything")


@dataclass(frozen=True, slots=True)
class _Queue:
    url: str
    arn: str
    policy: dict[str, Any]


async def _queues(sqs: SQSClient, queue: str, max_receive_count: int, visibility_timeout_s: int) -> list[Step]:
    fifo = _FIFO if is_fifo(queue) else {}
    dead_name, redrive = dead_letter_name(queue), f"redrive policy of queue {queue}"
    there = await _look(sqs, queue)
    target = there.policy.get("deadLetterTargetArn", "").rpartition(":")[2] if there else ""
    if there and target not in ("", dead_name):
        note = f"left alone: dead letters go to {target}"
        return [Step(f"queue {queue}", made=False), Step(redrive, made=False, note=note)]

    dead_there = await _look(sqs, dead_name)
    dead = dead_there or await _create(sqs, dead_name, {"MessageRetentionPeriod": str(_DEAD_RETENTION_S)} | fifo)
    steps = [Step(f"dead-letter queue {dead_name}", made=dead_there is None)]
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": max_receive_count})
    if there is None:
        attributes = {
            "VisibilityTimeout": str(visibility_timeout_s),
            "ReceiveMessageWaitTimeSeconds": str(_WAIT_S),
            "MessageRetentionPeriod": str(_RETENTION_S),
            "RedrivePolicy": policy,
        }
        await _create(sqs, queue, attributes | fifo)
        return [*steps, Step(f"queue {queue}", made=True), Step(redrive, made=True)]
    steps.append(Step(f"queue {queue}", made=False))
    if not there.policy:
        with _explained(sqs, redrive, "sqs:SetQueueAttributes"):
            await sqs.set_queue_attributes(QueueUrl=there.url, Attributes={"RedrivePolicy": policy})
        return [*steps, Step(redrive, made=True)]
    kept = int(there.policy["maxReceiveCount"])
    note = "" if kept == max_receive_count else f"left alone: {kept} receives, not {max_receive_count}"
    return [*steps, Step(redrive, made=False, note=note)]


async def _look(sqs: SQSClient, name: str) -> _Queue | None:
    action = "sqs:GetQueueUrl"
    try:
        url = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
        action = "sqs:GetQueueAttributes"
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "RedrivePolicy"])
    except FOREIGN as error:
        if kind_of(error) is Kind.NO_QUEUE:
            return None
        raise SetupError([queue_problem(error, f"queue {name}", action, sqs.meta.endpoint_url)]) from error
    attributes = answer["Attributes"]
    return _Queue(url, attributes["QueueArn"], json.loads(attributes.get("RedrivePolicy") or "{}"))


async def _create(sqs: SQSClient, name: str, attributes: dict[Any, str]) -> _Queue:
    with _explained(sqs, f"queue {name}", "sqs:CreateQueue"):
        await sqs.create_queue(QueueName=name, Attributes=attributes)
    # SQS needs a moment until a new queue is there for everybody.
    for _ in range(_LOOKS):
        if made := await _look(sqs, name):
            return made
        await anyio.sleep(1)
    what = f"queue {name} was made but is not there after {_LOOKS} s"
    raise SetupError([Problem(what, "run `thumbq setup` again in a moment")])


@contextmanager
def _explained(sqs: SQSClient, subject: str, action: str) -> Iterator[None]:
    try:
        yield
    except FOREIGN as error:
        raise SetupError([making_problem(error, subject, action, sqs.meta.endpoint_url)]) from error
