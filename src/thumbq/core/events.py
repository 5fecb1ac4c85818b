"""Events of S3, and what carries them: what AWS puts around the news that an object was stored.

Sources: Amazon S3 User Guide, "Event message structure", "Using EventBridge" and "Logging Amazon S3 API calls using AWS
CloudTrail"; Amazon SNS Developer Guide, "HTTP/HTTPS notification JSON format" (the same in SQS).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_plus

from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.keys import MAX_KEY_BYTES
from thumbq.core.quoting import quoted
from thumbq.errors import MalformedMessage

MAX_BUCKET_CHARS: Final = 255
"""The longest name that a bucket ever could have; since 2018 it is 63."""

_CREATED: Final = "ObjectCreated:"
_STORING: Final = frozenset({"PutObject", "POST Object", "PostObject", "CopyObject", "CompleteMultipartUpload"})
"""The requests that store an object: the reason of an event of EventBridge, or an event name of CloudTrail."""
_OBJECT_CREATED: Final = "Object Created"
_API_CALL: Final = "AWS API Call via CloudTrail"
_CONFIRMATIONS: Final = frozenset({"SubscriptionConfirmation", "UnsubscribeConfirmation"})


def checked_source(bucket: Any, key: Any) -> ObjectRef:
    """Return an original of this name. Raises MalformedMessage when no object of S3 can have it."""
    if not isinstance(bucket, str) or not isinstance(key, str):
        raise MalformedMessage('"bucket" and "key" must be strings')
    if not 0 < len(bucket) <= MAX_BUCKET_CHARS:
        raise MalformedMessage(f"a bucket's name has 1 to {MAX_BUCKET_CHARS} characters, this one has {len(bucket):,}")
    try:
        bucket.encode()
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise MalformedMessage("bucket or key holds a lone surrogate, which no text in UTF-8 can") from error
    if not 0 < size <= MAX_KEY_BYTES:
        raise MalformedMessage(f"a key has 1 to {MAX_KEY_BYTES:,} bytes, this one has {size:,}")
    return ObjectRef(bucket, key)


def unwrapped(document: dict[str, Any]) -> str | None:
    """Return the message inside an envelope of SNS; None when this is no such envelope."""
    if document.get("Type") != "Notification":
        return None
    inner = document.get("Message")
    if not isinstance(inner, str):
        raise MalformedMessage('the SNS envelope has no "Message", or one that is no string')
    return inner


def no_job(document: dict[str, Any]) -> str | None:
    """Say why a document is not meant to be a job, if it is one of those that AWS sends besides events."""
    if document.get("Event") == "s3:TestEvent":
        return "S3 has tried whether its events arrive"
    kind = document.get("Type")
    if isinstance(kind, str) and kind in _CONFIRMATIONS:
        return f"it is SNS's {kind}; visit its SubscribeURL if the subscription is wanted"
    return None


def created(document: dict[str, Any]) -> list[JobRequest] | None:
    """Return the jobs of an event, none when it created nothing; None when the document is no event."""
    if "Records" in document:
        return _of_records(document["Records"])
    if "detail-type" in document:
        return _of_eventbridge(document)
    if isinstance(document.get("object"), dict) and "bucket" in document:
        return _of_detail(document) if _is_storing(document.get("reason")) else []
    return None


def _of_records(records: Any) -> list[JobRequest]:
    if not isinstance(records, list) or not records:
        raise MalformedMessage('"Records" must be a list of events')
    found = (_of_record(number, record) for number, record in enumerate(records, 1))
    return [job for job in found if job is not None]


def _of_record(number: int, record: Any) -> JobRequest | None:
    name = record.get("eventName") if isinstance(record, dict) else None
    if not isinstance(name, str) or "s3" not in record:
        raise MalformedMessage(f'record {number} is no event of S3: it has no "eventName" or no "s3"')
    if not name.removeprefix("s3:").startswith(_CREATED):  # MinIO writes the prefix
        return None
    bucket, stored = _bucket_and_object(record["s3"], f"record {number}")
    encoded = stored.get("key")
    if not isinstance(encoded, str):
        raise MalformedMessage(f'record {number}: the object\'s "key" must be a string')
    try:
        key = unquote_plus(encoded, errors="strict")
    except UnicodeError as error:
        raise MalformedMessage(f"record {number}: the key does not decode to UTF-8: {quoted(encoded)}") from error
    return _job(bucket, key, stored)


def _of_eventbridge(document: dict[str, Any]) -> list[JobRequest]:
    source, kind = document.get("source"), document["detail-type"]
    if source != "aws.s3":
        raise MalformedMessage(f"the event of EventBridge comes from {quoted(source)}, and not from aws.s3")
    if kind == _API_CALL:
        return _of_api_call(document.get("detail"))
    return _of_detail(document.get("detail")) if kind == _OBJECT_CREATED else []


def _of_detail(detail: Any) -> list[JobRequest]:
    """Read the detail of "Object Created"; it comes alone where a rule has the InputPath ``$.detail``."""
    bucket, stored = _bucket_and_object(detail, "the event's detail")
    return _listed(_job(bucket, stored.get("key"), stored))


def _of_api_call(detail: Any) -> list[JobRequest]:
    """Read CloudTrail's record of a request to S3: a job if it has stored an object."""
    if not isinstance(detail, dict):
        raise MalformedMessage("the event of CloudTrail has no detail")
    if not _is_storing(detail.get("eventName")) or "errorCode" in detail:
        return []
    asked, told = detail.get("requestParameters"), detail.get("additionalEventData")
    if not isinstance(asked, dict):
        raise MalformedMessage("the event of CloudTrail has no requestParameters")
    size = told.get("bytesTransferredIn") if isinstance(told, dict) else None
    return _listed(_job(asked.get("bucketName"), asked.get("key"), {"size": size}))


def _is_storing(request: Any) -> bool:
    return isinstance(request, str) and request in _STORING


def _listed(job: JobRequest | None) -> list[JobRequest]:
    return [] if job is None else [job]


def _bucket_and_object(news: Any, where: str) -> tuple[Any, dict[str, Any]]:
    bucket, stored = (news.get("bucket"), news.get("object")) if isinstance(news, dict) else (None, None)
    if not isinstance(bucket, dict) or not isinstance(stored, dict):
        raise MalformedMessage(f'{where} has no "bucket" or no "object"')
    return bucket.get("name"), stored


def _job(bucket: Any, key: Any, stored: dict[str, Any]) -> JobRequest | None:
    """Return the job of an object, unless it stands for a folder, as the S3 console makes them."""
    source = checked_source(bucket, key)
    return None if source.key.endswith("/") and stored.get("size") == 0 else JobRequest(source)
