"""An SQS trigger: it takes messages from a queue and makes of them the event that a function is called with.

Source: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS".
"""

from __future__ import annotations

import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.pictures.images import small_jpeg, truncated_jpeg
from support.servers.emulators import aws_env, aws_environment
from thumbq.aws.check import checked
from thumbq.aws.provision import provision
from thumbq.aws.session import open_clients
from thumbq.core import callbackmessage
from thumbq.core.deadletter import ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from thumbq.aws.addresses import QueueAddress
    from thumbq.aws.session import Clients

FUNCTION_MEMORY_MB = 3008


class Context:
    """Lambda's context object, of a function that always has as much time left."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def __init__(self, remaining_s: float = 60) -> None:
        self._remaining_s = remaining_s

    def get_remaining_time_in_millis(self) -> int:
        return round(self._remaining_s * 1000)


class Trigger:
    """A bucket, a queue with dead letters, and the messages that a function gets from it."""

    def __init__(self, clients: Clients, address: QueueAddress, bucket: str) -> None:
        self._clients = clients
        self._address = address
        self.bucket = bucket

    async def send(self, body: str, *, group: str | None = None) -> str:
        more: dict[str, Any] = {"MessageGroupId": group, "MessageDeduplicationId": uuid.uuid4().hex} if group else {}
        sent = await self._clients.control.send_message(QueueUrl=self._address.url, MessageBody=body, **more)
        return sent["MessageId"]

    async def job(self, key: str, original: bytes, *, group: str | None = None) -> str:
        """Store an original, and send the message that asks for its renditions."""
        await self._clients.s3.put_object(Bucket=self.bucket, Key=key, Body=original)
        return await self.send(json.dumps({"bucket": self.bucket, "key": key}), group=group)

    async def event(self, *message_ids: str, visibility_timeout_s: int = 600) -> dict[str, Any]:
        """Take messages until there are these, and return the event that holds them in the order of their receipt."""
        taken: list[Any] = []
        while not set(message_ids) <= {message["MessageId"] for message in taken}:
            taken += await self.receive(visibility_timeout_s)
        return {"Records": [self._record(message) for message in taken]}

    async def receive(self, visibility_timeout_s: int = 600, wait_s: int = 1) -> Sequence[Any]:
        answer = await self._clients.polling.receive_message(
            QueueUrl=self._address.url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_timeout_s,
            MessageSystemAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    async def delete(self, event: dict[str, Any], answer: dict[str, Any]) -> None:
        """Do what Lambda does with an answer: remove the messages that are not in it."""
        again = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        for record in event["Records"]:
            if record["messageId"] not in again:
                await self._clients.control.delete_message(
                    QueueUrl=self._address.url, ReceiptHandle=record["receiptHandle"]
                )

    async def callbacks(self) -> list[str]:
        """Return what the queue of callbacks has."""
        answer = await self._clients.polling.receive_message(
            QueueUrl=callbackmessage.queue_name(self._address.url), MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        return [message["Body"] for message in answer.get("Messages", [])]

    async def dead(self) -> dict[str, str]:
        """Return the reasons of all dead letters by the ids of their messages."""
        assert self._address.dead is not None
        answer = await self._clients.polling.receive_message(
            QueueUrl=self._address.dead.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        notes = [json.loads(each["MessageAttributes"][ATTRIBUTE]["StringValue"]) for each in answer.get("Messages", [])]
        return {note["message_id"]: note["code"] for note in notes}

    async def keys(self, prefix: str) -> list[str]:
        answer = await self._clients.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for each in answer.get("Contents", [])]

    def _record(self, message: Any) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._address.arn,
            "awsRegion": self._address.arn.split(":")[3],
        }


def function_environment(endpoint: str) -> dict[str, str]:
    """Return the environment of a function as Lambda makes it, with S3 and SQS at ``endpoint``, without a bucket."""
    return aws_environment(endpoint) | {
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(FUNCTION_MEMORY_MB),
        "AWS_LAMBDA_FUNCTION_NAME": "thumbq",
        "AWS_SESSION_TOKEN": "testing",
        "THUMBQ_PROCESSES": "1",
    }


@asynccontextmanager
async def trigger(endpoint: str, *, ending: str = "", callbacks: bool = False) -> AsyncIterator[Trigger]:
    """Make a bucket and a queue (``ending`` .fifo: a FIFO queue), and yield the trigger on them.

    With ``callbacks`` there is a queue of those, too.
    """
    name = f"t-{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        with aws_env(endpoint):
            further = callbackmessage.queue_name(name) if callbacks else None
            await provision(bucket=name, queues=[name + ending], callbacks=further)
            clients = await stack.enter_async_context(open_clients(connections=10, wait_time_s=1))
        [address] = await checked(clients, bucket=name, queues=[name + ending])
        yield Trigger(clients, address, name)


THROTTLED = "photos/throttled.jpg"
"""The original that S3 does not give out, if a proxy sees to it."""


@dataclass(frozen=True)
class Ten:
    """Ten messages, by what becomes of them. ``buried``: the reasons by the messages' ids."""

    event: dict[str, Any]
    done: list[str]
    buried: dict[str, str]
    failed: str

    async def shown(self, trigger: Trigger, answer: dict[str, Any]) -> None:
        """Show that each message has ended as it should."""
        assert answer == {"batchItemFailures": [{"itemIdentifier": self.failed}]}
        assert await trigger.dead() == self.buried
        assert sorted(await trigger.keys("thumbnail/")) == sorted(f"thumbnail/{name}.jpg" for name in self.done)
        assert len(await trigger.keys("manifests/")) == len(self.done) + 1


async def ten_messages(trigger: Trigger) -> Ten:
    """Send a batch: seven good jobs, an image that is cut off, another bucket, and one whose original is throttled."""
    names = [f"good-{number}" for number in range(7)]
    ids = [await trigger.job(f"photos/{name}.jpg", small_jpeg()) for name in names]
    truncated = await trigger.job("photos/truncated.jpg", truncated_jpeg())
    elsewhere = await trigger.send(json.dumps({"bucket": "somebody-elses", "key": "photos/cat.jpg"}))
    failed = await trigger.job(THROTTLED, small_jpeg())
    event = await trigger.event(*ids, truncated, elsewhere, failed)
    return Ten(event, names, {truncated: "truncated", elsewhere: "bucket-not-allowed"}, failed)
