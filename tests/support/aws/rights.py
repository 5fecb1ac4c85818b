"""Which IAM rights the requests of a run need, and whether a policy has them and no others.

Sources: Amazon S3 User Guide, "Required permissions for Amazon S3 API operations"; Amazon SQS Developer Guide, "Amazon
SQS API permissions" (a batch needs the right of its single action); Service Authorization Reference for the kinds of
resource.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import web

from support.servers.emulators import REGION
from support.servers.fault_proxy import FaultProxy
from thumbq.core.keys import INBOX_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.servers.fault_proxy import Asked

ACCOUNT = "000000000000"

S3_ACTIONS = {
    ("HEAD", "bucket"): "s3:ListBucket",
    ("GET", "bucket"): "s3:ListBucket",
    ("POST", "bucket"): "s3:PutObject",  # a form of POST /uploads, with the rights of who has signed it
    ("HEAD", "object"): "s3:GetObject",
    ("GET", "object"): "s3:GetObject",
    ("PUT", "object"): "s3:PutObject",
    ("DELETE", "object"): "s3:DeleteObject",
}
_NO_OTHER_OPERATION = {
    *("x-id", "list-type", "encoding-type"),
    *("prefix", "max-keys", "start-after", "continuation-token"),
}
"""Names in a query that leave the operation what it is; ``versionId`` or ``tagging`` would need rights of their own."""

SQS_ACTIONS = {
    "GetQueueUrl": "sqs:GetQueueUrl",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "SendMessage": "sqs:SendMessage",
    "SendMessageBatch": "sqs:SendMessage",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "ChangeMessageVisibility": "sqs:ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "DeleteMessage": "sqs:DeleteMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
}


SNS_ACTIONS = {
    "GetTopicAttributes": "sns:GetTopicAttributes",
    "Publish": "sns:Publish",
    "PublishBatch": "sns:Publish",
}
EVENTS_ACTIONS = {"DescribeEventBus": "events:DescribeEventBus", "PutEvents": "events:PutEvents"}


@dataclass(frozen=True, slots=True)
class Need:
    """A right that a request needs: an action on a resource, by its ARN."""

    action: str
    resource: str


class Recorder(FaultProxy):
    """A proxy that also notes which keys are missing, and can refuse a request as IAM does."""

    refuses: Callable[[Asked], bool]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.refuses = lambda _: False
        self.missing: list[Asked] = []

    async def _answered(self, asked: Asked, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if self.refuses(asked):
            error = {"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "no"}
            return web.json_response(error, status=403, content_type="application/x-amz-json-1.0")
        response = await super()._answered(asked, request, body)
        if asked.service == "s3" and response.status == web.HTTPNotFound.status_code:
            self.missing.append(asked)
        return response

    def needs(self) -> set[Need]:
        """Return the rights that the requests so far have needed."""
        # S3 says that a key is missing only to those who may list; to others it says 403 (GetObject, "Permissions").
        listed = {Need("s3:ListBucket", f"arn:aws:s3:::{_bucket_and_key(asked)[0]}") for asked in self.missing}
        return listed | {_NEEDS[asked.service](asked) for asked in self.asked}


def _sqs_need(asked: Asked) -> Need:
    where = json.loads(asked.body)
    name = where.get("QueueName") or where["QueueUrl"].rpartition("/")[2]
    return Need(SQS_ACTIONS[asked.operation], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")


def _sns_need(asked: Asked) -> Need:
    return Need(SNS_ACTIONS[asked.operation], dict(parse_qsl(asked.body))["TopicArn"])


def _events_need(asked: Asked) -> Need:
    where = json.loads(asked.body)
    return Need(EVENTS_ACTIONS[asked.operation], where.get("Name") or where["Entries"][0]["EventBusName"])


def _s3_need(asked: Asked) -> Need:
    others = {name for name, _ in parse_qsl(urlsplit(asked.path).query)} - _NO_OTHER_OPERATION
    assert not others, f"{asked.operation} {asked.path}: is this another operation?"
    bucket, key = _bucket_and_key(asked)
    action = S3_ACTIONS[asked.operation, "object" if key else "bucket"]
    if asked.operation == "POST":
        key = INBOX_PREFIX  # the key is in the form
    return Need(action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}")


_NEEDS = {"s3": _s3_need, "sqs": _sqs_need, "sns": _sns_need, "events": _events_need}


def _bucket_and_key(asked: Asked) -> tuple[str, str]:
    bucket, _, key = unquote(urlsplit(asked.path).path).removeprefix("/").partition("/")
    return bucket, key


def grants(policy: Any) -> set[Need]:
    """Return every pair of an action and a resource (a pattern) that a policy's statements allow."""
    return {
        Need(action, resource)
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in _several(statement["Action"])
        for resource in _several(statement["Resource"])
    }


def _several(value: Any) -> Iterable[str]:
    return [value] if isinstance(value, str) else value


def covers(grant: Need, need: Need) -> bool:
    """Whether this grant allows what is needed."""
    return grant.action == need.action and fnmatchcase(need.resource, grant.resource)
