"""Message bodies as AWS makes them, with all their members."""

from __future__ import annotations

import json
from functools import reduce
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable


def record(bucket: str, key: str, *, event: str = "ObjectCreated:Put", size: int = 1024) -> dict[str, Any]:
    """Return one record of an S3 event notification (Amazon S3 User Guide, "Event message structure")."""
    stored = {"key": quote_plus(key), "size": size, "eTag": "d41d8cd98f00b204e9800998ecf8427e"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "ap-northeast-1",
        "eventTime": "2026-01-31T12:00:00.000Z",
        "eventName": event,
        "userIdentity": {"principalId": "AWS:AROAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZ"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "thumbq",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A3NL1"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": stored | {"versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko", "sequencer": "0055AED6DCD90281E5"},
        },
    }


def s3_event(*records: dict[str, Any]) -> str:
    """Return the body of an S3 event notification."""
    return json.dumps({"Records": list(records)})


def eventbridge(bucket: str, key: str, *, kind: str = "Object Created", size: int = 1024) -> str:
    """Return an event of EventBridge; its keys are plain (Amazon S3 User Guide, "Using EventBridge")."""
    stored = {"key": key, "size": size, "etag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "00617F08299329D189"}
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": stored | {"version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"},
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "192.0.2.7",
        "reason": "PutObject",
    }
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-01-31T12:00:00Z",
        "region": "ap-northeast-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": detail,
    }
    return json.dumps(event)


def cloudtrail(bucket: str, key: str, *, name: str = "PutObject", size: int = 1024, **more: Any) -> str:
    """Return CloudTrail's record of a request in an event of EventBridge (AWS CloudTrail User Guide)."""
    detail = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AssumedRole", "principalId": "AROAEXAMPLE:app", "accountId": "111122223333"},
        "eventTime": "2026-01-31T12:00:00Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": name,
        "awsRegion": "ap-northeast-1",
        "sourceIPAddress": "192.0.2.7",
        "requestParameters": {"bucketName": bucket, "Host": f"{bucket}.s3.amazonaws.com", "key": key},
        "responseElements": {"x-amz-server-side-encryption": "AES256"},
        "additionalEventData": {"bytesTransferredIn": size, "bytesTransferredOut": 0},
        "readOnly": False,
        "resources": [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"}],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "eventCategory": "Data",
    }
    event = json.loads(eventbridge(bucket, key, kind="AWS API Call via CloudTrail"))
    return json.dumps(event | {"resources": [], "detail": detail | more})


def detail(bucket: str, key: str, *, reason: str = "PutObject", size: int = 1024) -> str:
    """Return what a rule of EventBridge with the InputPath ``$.detail`` sends."""
    return json.dumps(json.loads(eventbridge(bucket, key, size=size))["detail"] | {"reason": reason})


def sns(inner: str, *, kind: str = "Notification") -> str:
    """Return an envelope of SNS around a message (Amazon SNS Developer Guide, "Message and JSON formats")."""
    envelope = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:ap-northeast-1:111122223333:uploads",
        "Subject": "Amazon S3 Notification",
        "Message": inner,
        "Timestamp": "2026-01-31T12:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEpH+DcEwjAPg8O9mY8dReBSwksfg2S7WKQcik=",
        "SigningCertURL": "https://sns.ap-northeast-1.amazonaws.com/SimpleNotificationService.pem",
        "UnsubscribeURL": "https://sns.ap-northeast-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": {"tenant": {"Type": "String", "Value": "a"}},
    }
    return json.dumps(envelope)


def nested(inner: str, depth: int) -> str:
    """Return a message inside so many envelopes of SNS."""
    return reduce(lambda body, _: sns(body), range(depth), inner)


def own(bucket: str, key: str) -> str:
    """Return the JSON that other programs send."""
    return json.dumps({"bucket": bucket, "key": key})


JSON_FORMS: Final[dict[str, Callable[[str, str], str]]] = {
    "own JSON": own,
    "S3 event": lambda bucket, key: s3_event(record(bucket, key)),
    "EventBridge": eventbridge,
    "own JSON in SNS": lambda bucket, key: sns(own(bucket, key)),
    "S3 event in SNS": lambda bucket, key: sns(s3_event(record(bucket, key))),
    "EventBridge in SNS": lambda bucket, key: sns(eventbridge(bucket, key)),
    "EventBridge, its detail alone": detail,
    "CloudTrail by EventBridge": cloudtrail,
    "own JSON behind a byte order mark": lambda bucket, key: f"\ufeff{own(bucket, key)}",
    "S3 event behind a byte order mark in SNS": lambda bucket, key: sns("\ufeff" + s3_event(record(bucket, key))),
    "S3 event in SNS in SNS": lambda bucket, key: nested(s3_event(record(bucket, key)), 2),
}
"""Every form that names its bucket; with raw delivery SNS sends what is inside."""

FORMS: Final = JSON_FORMS | {
    "bare key": lambda _bucket, key: key,
    "bare key in SNS": lambda _bucket, key: sns(key),
    "EventBridge, its key alone": lambda _bucket, key: json.dumps(key),
}
TEST_EVENT: Final = json.dumps(
    {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-31T12:00:00.000Z",
        "Bucket": "sample-bucket",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    }
)


def no_jobs(bucket: str) -> dict[str, str]:
    """Return what AWS sends without wanting a job."""
    return {
        "test event": TEST_EVENT,
        "test event in SNS": sns(TEST_EVENT),
        "removal": s3_event(record(bucket, "a.png", event="ObjectRemoved:Delete")),
        "tagging": s3_event(record(bucket, "a.png", event="ObjectTagging:Put")),
        "expiry": s3_event(record(bucket, "a.png", event="LifecycleExpiration:Delete")),
        "restore": s3_event(record(bucket, "a.png", event="ObjectRestore:Completed")),
        "lost": s3_event(record(bucket, "a.png", event="ReducedRedundancyLostObject")),
        "removal by EventBridge": eventbridge(bucket, "a.png", kind="Object Deleted"),
        "removal by EventBridge, its detail alone": detail(bucket, "a.png", reason="DeleteObject"),
        "reading, by CloudTrail": cloudtrail(bucket, "a.png", name="GetObject"),
        "removal by CloudTrail": cloudtrail(bucket, "a.png", name="DeleteObject"),
        "begin of an upload in parts, by CloudTrail": cloudtrail(bucket, "a.png", name="CreateMultipartUpload"),
        "a refused request, by CloudTrail": cloudtrail(bucket, "a.png", errorCode="AccessDenied"),
        "folder by CloudTrail": cloudtrail(bucket, "photos/", size=0),
        "folder": s3_event(record(bucket, "photos/", size=0)),
        "folder by EventBridge": eventbridge(bucket, "photos/", size=0),
        "subscription": sns("You have chosen to subscribe", kind="SubscriptionConfirmation"),
        "unsubscription": sns("You have chosen to deactivate", kind="UnsubscribeConfirmation"),
    }


def hostile() -> dict[str, str]:
    """Return bodies that are no job, and were made to do harm."""
    mebibyte = 1 << 20
    no_utf8 = json.loads(s3_event(record("b", "x")))
    no_utf8["Records"][0]["s3"]["object"]["key"] = "%FF%FE.png"
    wrong = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": [], "object": 5}}]}
    return {
        "1 MiB of arrays": "[" * mebibyte,
        "1 MiB of objects": '{"a":' * (mebibyte // 5),
        "1 MiB of closed arrays": "[" * (mebibyte // 2) + "]" * (mebibyte // 2),
        "deep nesting in SNS": sns("[" * (mebibyte // 2)),
        "deep nesting in a key's place": '{"key":' + "[" * (mebibyte // 4) + "]" * (mebibyte // 4) + "}",
        "nine envelopes": nested("cat.png", 9),
        "an array": "[1, 2, 3]",
        "NaN": '{"key": "a.png", "size": NaN}',
        "a huge integer": '{"key": "a.png", "size": ' + "9" * 100_000 + "}",
        "a member twice": '{"key": "a.png", "key": "b.png"}',
        "a lone surrogate": '{"key": "\\ud800.png"}',
        "a lone surrogate in the bucket": '{"key": "a.png", "bucket": "\\ud800"}',
        "a lone surrogate in a preset": '{"key": "a.png", "presets": ["\\ud800"]}',
        "no key": '{"bucket": "b"}',
        "an empty key": '{"key": ""}',
        "a key of 1,025 bytes": json.dumps({"key": "é" * 512 + "x"}),
        "a bare key of 1,025 bytes": "x" * 1025,
        "no UTF-8": json.dumps(no_utf8),
        "records of a wrong type": json.dumps({"Records": "all"}),
        "no records": '{"Records": []}',
        "a record of wrong types": json.dumps(wrong),
        "an event of another service": json.dumps({"detail-type": "EC2 Instance State", "source": "aws.ec2"}),
        "an empty key in JSON": '""',
        "a lone surrogate in JSON": '"\\ud800.png"',
        "CloudTrail without a request": cloudtrail("b", "k", requestParameters=None),
        "CloudTrail with a key of a wrong type": cloudtrail("b", "k", requestParameters={"bucketName": "b", "key": 5}),
        "CloudTrail without a detail": json.dumps({**json.loads(cloudtrail("b", "k")), "detail": None}),
        "an envelope without a message": json.dumps({"Type": "Notification", "Message": {"key": "a.png"}}),
        "presets of a wrong type": '{"key": "a.png", "presets": [1]}',
        "a bucket of a wrong type": '{"key": "a.png", "bucket": {"name": "b"}}',
        "a bucket with a long name": json.dumps({"key": "a.png", "bucket": "b" * 100_000}),
        "a callback to a file": '{"key": "a.png", "callback_url": "file:///etc/passwd"}',
        "a callback with a password": '{"key": "a.png", "callback_url": "https://me:secret@example.com/"}',
        "a callback with a line's end": '{"key": "a.png", "callback_url": "https://example.com/\\r\\nX-A: b"}',
        "a callback of 2,049 characters": json.dumps({"key": "a", "callback_url": "https://e.com/" + "x" * 2035}),
        "thousands of records": json.dumps({"Records": [short_record(number) for number in range(9_000)]}),
    }


def short_record(number: int) -> dict[str, Any]:
    """Return a record with what is needed only."""
    return {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": str(number)}}}
