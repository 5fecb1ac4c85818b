"""Message bodies: what is a job, and what is not."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.keys import MAX_KEY_BYTES
from thumbq.errors import MalformedMessage, SendRefused

MAX_BODY_BYTES: Final = 1 << 20

# What a message can hold: Amazon SQS API Reference, SendMessage, "MessageBody" (the characters of XML 1.0).
_NOT_SENDABLE: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP: Final = re.compile(r"[!-~]{1,128}")


def encode(request: JobRequest) -> str:
    """Return the JSON body that asks for a job."""
    body: dict[str, Any] = {"bucket": request.source.bucket, "key": request.source.key}
    if request.presets is not None:
        body["presets"] = list(request.presets)
    if request.callback_url is not None:
        body["callback_url"] = request.callback_url
    plain = json.dumps(body, ensure_ascii=False)
    return json.dumps(body) if _NOT_SENDABLE.search(plain) else plain


def group_id(text: str) -> str:
    """Return a message group for any text: itself where SQS takes it, else a hash of it.

    Source: Amazon SQS API Reference, SendMessage, "MessageGroupId".
    """
    return text if _GROUP.fullmatch(text) else hashlib.sha256(text.encode(errors="replace")).hexdigest()


def check_sendable(body: str) -> None:
    """Raise SendRefused for a body that SQS takes on no queue. Some of them could not even be written as a request."""
    if not body:
        raise SendRefused("a message cannot be empty")
    if strange := _NOT_SENDABLE.search(body):
        raise SendRefused(f"a message cannot hold the character U+{ord(strange[0]):04X}")
    if (size := len(body.encode())) > MAX_BODY_BYTES:
        raise SendRefused(f"a message has at most {MAX_BODY_BYTES} bytes, this one has {size}")


def parse(body: str, *, default_bucket: str) -> JobRequest:
    """Read a message's body.

    A body that starts with ``{`` or ``[`` is JSON, anything else of at most 1,024 bytes a bare key in
    ``default_bucket``. Raises MalformedMessage with the reason for everything else.
    """
    text = body.strip()
    if text.startswith(("{", "[")):
        return _from_json(text, default_bucket)
    if not text:
        raise MalformedMessage("the body is empty; a job is a key or a JSON object with bucket and key")
    return JobRequest(ObjectRef(default_bucket, _checked_key(body)))


def _from_json(text: str, default_bucket: str) -> JobRequest:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the body starts like JSON but is not: {error}") from error
    if not isinstance(document, dict) or "key" not in document:
        raise MalformedMessage('the JSON body is no job: it has no "key"')
    key, bucket = document["key"], document.get("bucket", default_bucket)
    if not isinstance(key, str) or not isinstance(bucket, str):
        raise MalformedMessage('"bucket" and "key" must be strings')
    presets = document.get("presets")
    if presets is not None and not (
        isinstance(presets, list) and presets and all(isinstance(name, str) for name in presets)
    ):
        raise MalformedMessage('"presets" must be a list of preset names')
    return JobRequest(ObjectRef(bucket, _checked_key(key)), tuple(dict.fromkeys(presets)) if presets else None)


def _checked_key(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise MalformedMessage("the key holds a lone surrogate, which no key in UTF-8 can") from error
    if not 0 < size <= MAX_KEY_BYTES:
        raise MalformedMessage(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one has {size}")
    return key
