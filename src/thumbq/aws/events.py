"""`thumbq setup --events`: S3 sends the queue an event for every original that a client stores under ``inbox/``.

This takes a statement in the queue's policy that lets S3 send, and a notification of the bucket. Statements and
notifications of others stay. When both exist already, nothing is written, and setup costs two requests.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from botocore.exceptions import ClientError

from thumbq.aws import overlap
from thumbq.aws.addresses import is_fifo
from thumbq.aws.errorkinds import FOREIGN, codes, text_of
from thumbq.aws.lookup import look_up
from thumbq.aws.problems import explained, setup_problem
from thumbq.aws.provision import Step
from thumbq.aws.session import open_clients
from thumbq.core.keys import INBOX_PREFIX
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

NOTIFICATION_ID: Final = "thumbq-inbox"
STATEMENT_ID: Final = "thumbq-s3-events"
EVENTS: Final = "s3:ObjectCreated:*"
_SETTLING_S: Final = 60
"""The longest time until a changed policy is in force (API Reference, SetQueueAttributes)."""
_PAUSE_S: Final = 2
_NOT_OFFERED: Final = frozenset(
    {"NotImplemented", "MethodNotAllowed", "BucketAlreadyExists", "BucketAlreadyOwnedByYou", "501", "405"}
)
"""What S3-compatible servers without notifications answer. Some take the request for one that makes the bucket."""


def check_queue(queue: str) -> None:
    """Raise SetupError for a FIFO queue: S3 sends no events to those."""
    if is_fifo(queue):
        what = f"queue {queue} is a FIFO queue, and S3 sends no events to those"
        fix = "make a standard queue the default one, or go through EventBridge: bucket → rule → queue with a group id"
        raise SetupError([Problem(what, fix)])


async def wire_events(*, bucket: str, queue: str) -> list[Step]:
    """Let the bucket's events of originals under ``inbox/`` come to the queue; both must be there.

    Returns every step. Raises SetupError for a FIFO queue, before anything is changed; for a notification of others
    that overlaps ours; and for everything that could not be read or made.
    """
    check_queue(queue)
    async with open_clients(connections=2, wait_time_s=0) as clients:
        url, attributes = await look_up(clients.control, f"queue {queue}", ["QueueArn", "Policy"], QueueName=queue)
        arn = attributes["QueueArn"]
        configuration = await _notifications(clients.s3, bucket)
        what = f"events of {INBOX_PREFIX} in bucket {bucket} to queue {queue}"
        with _readable(bucket, queue):
            if note := overlap.checked(configuration, arn, NOTIFICATION_ID):
                return [Step(what, made=False, note=note)]
            policy = json.loads(attributes.get("Policy") or "{}")
            changed = with_statement(policy, bucket=bucket, queue_arn=arn)
            wanted = with_notification(configuration, queue_arn=arn)
        if changed is not None:
            await _set_policy(clients.control, queue, url, changed)
        if wanted is not None:
            await _set_notifications(clients.s3, bucket, what, wanted, settling=changed is not None)
        allowing = f"policy of queue {queue} that lets bucket {bucket} send events"
        return [Step(allowing, made=changed is not None), Step(what, made=wanted is not None)]


@contextmanager
def _readable(bucket: str, queue: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"the notifications of bucket {bucket} or the policy of queue {queue} cannot be read: {error!r}"
        raise SetupError(
            [Problem(what, "correct them by hand, or use a server that gives them as AWS does")]
        ) from error


def with_statement(policy: dict[str, Any], *, bucket: str, queue_arn: str) -> dict[str, Any] | None:
    """Return a queue's policy with our statement in it; None when the statement is there already.

    Buckets that were wired before stay in it. The account is the queue's: bucket and queue belong together.
    """
    statements = _listed(policy.get("Statement"))
    ours: dict[str, Any] = next((each for each in statements if each.get("Sid") == STATEMENT_ID), {})
    conditions = ours.get("Condition", {})
    buckets = _listed(conditions.get("ArnEquals", {}).get("aws:SourceArn"))
    accounts = _listed(conditions.get("StringEquals", {}).get("aws:SourceAccount"))
    bucket_arn, account = f"arn:{queue_arn.split(':')[1]}:s3:::{bucket}", queue_arn.split(":")[4]
    wanted = {
        "Sid": STATEMENT_ID,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": _one_or_list(dict.fromkeys([*buckets, bucket_arn]))},
            "StringEquals": {"aws:SourceAccount": _one_or_list(dict.fromkeys([*accounts, account]))},
        },
    }
    if _normalised(ours) == _normalised(wanted):
        return None
    others = [statement for statement in statements if statement is not ours]
    return {"Version": "2012-10-17", **policy, "Statement": [*others, wanted]}


def with_notification(configuration: dict[str, Any], *, queue_arn: str) -> dict[str, Any] | None:
    """Return a bucket's notifications with ours among them; None when ours is there already."""
    to_queues = configuration.get("QueueConfigurations", [])
    wanted = {
        "Id": NOTIFICATION_ID,
        "QueueArn": queue_arn,
        "Events": [EVENTS],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": INBOX_PREFIX}]}},
    }
    ours = next((entry for entry in to_queues if entry.get("Id") == NOTIFICATION_ID), None)
    if ours is not None and overlap.reach(ours) == overlap.reach(wanted) and ours["QueueArn"] == queue_arn:
        return None
    others = [entry for entry in to_queues if entry is not ours]
    return configuration | {"QueueConfigurations": [*others, wanted]}


async def _notifications(s3: S3Client, bucket: str) -> dict[str, Any]:
    try:
        answer: Any = await s3.get_bucket_notification_configuration(Bucket=bucket)
    except FOREIGN as error:
        what = f"notifications of bucket {bucket}"
        raise SetupError([_refusal(error, what, "s3:GetBucketNotification", s3.meta.endpoint_url)]) from error
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


async def _set_policy(sqs: SQSClient, queue: str, url: str, policy: dict[str, Any]) -> None:
    with explained(sqs, f"policy of queue {queue}", "sqs:SetQueueAttributes"):
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


async def _set_notifications(
    s3: S3Client, bucket: str, what: str, configuration: dict[str, Any], *, settling: bool
) -> None:
    """Write a bucket's notifications. S3 tries to send: while a new policy is ``settling`` it may be refused."""
    wanted: Any = configuration
    give_up_at = anyio.current_time() + (_SETTLING_S if settling else 0)
    while True:
        try:
            await s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)
        except FOREIGN as error:
            if _not_delivered(error) and anyio.current_time() < give_up_at:
                await anyio.sleep(_PAUSE_S)
                continue
            raise SetupError([_refusal(error, what, "s3:PutBucketNotification", s3.meta.endpoint_url)]) from error
        return


def _not_delivered(error: BaseException) -> bool:
    return isinstance(error, ClientError) and "Unable to validate the following destination" in str(error)


def _refusal(error: BaseException, what: str, action: str, endpoint: str) -> Problem:
    if _not_delivered(error):
        fix = "see that both are in one region and account, and that the queue's key, if it has one, may be used by S3"
        return Problem(f"S3 cannot send to the queue, so there are no {what}: {text_of(error)}", fix)
    if isinstance(error, ClientError) and codes(error) & _NOT_OFFERED:
        fix = (
            f"leave --events out, and send the queue a message for each original under {INBOX_PREFIX} yourself (thumbq"
            " docs messages), or upload through POST /upload"
        )
        return Problem(f"the server at {endpoint} has no event notifications: {text_of(error)}", fix)
    return setup_problem(error, what, action, endpoint)


def _listed(value: Any) -> list[Any]:
    """Return a value of a policy, which may be one or a list, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _one_or_list(values: Any) -> Any:
    one, *others = values
    return [one, *others] if others else one


def _normalised(statement: Any) -> Any:
    """Return a part of a policy in a normal form: each value as a list, actions in lower case."""
    if isinstance(statement, dict):
        return {name: _normalised(value) for name, value in statement.items()}
    return sorted(text.lower() if str(text).lower().startswith("sqs:") else text for text in _listed(statement))
