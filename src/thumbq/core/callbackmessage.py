"""Callbacks as messages of the webhooks queue.

The body that is called stands in the message. So each outcome is told of as it was, also when its job has been done
again since and its manifest is another one by now.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from thumbq.core.job import ObjectRef
from thumbq.errors import MalformedMessage

if TYPE_CHECKING:
    from thumbq.core.manifest import Manifest

QUEUE: Final = "webhooks"
"""What commands, health and logs call the webhooks queue."""

MAX_RECEIVES: Final = 1000
"""After so many the queue itself moves a callback; thumbq buries it long before.

The most that SQS takes (Amazon SQS API Reference, SetQueueAttributes, "maxReceiveCount").
"""

ENDING: Final = "-webhooks"
"""The ending of the names of queues of callbacks."""

_FIFO_ENDING: Final = ".fifo"
_ID_CHARS: Final = 32


def queue_name(queue: str) -> str:
    """Return the name (or URL, or ARN) of the webhooks queue beside a queue. It is never FIFO.

    That of a local directory's queue without a name is one that no queue of the settings can have.
    """
    return queue.removesuffix(_FIFO_ENDING) + ENDING


def callback_id(manifest: Manifest) -> str:
    """Return the ``webhook-id`` of an outcome: the same one whenever it is told of, and without a dot.

    An outcome is what one message has brought about of one original.
    """
    outcome = [manifest.source.bucket, manifest.source.key, manifest.message_id, manifest.status]
    return f"msg_{hashlib.sha256(json.dumps(outcome).encode()).hexdigest()[:_ID_CHARS]}"


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    bucket: str
    key: str


class Callback(BaseModel):
    """A callback: its ``id``, the URL to call, the original that its job is about, and the body."""

    model_config = ConfigDict(frozen=True, strict=True)

    version: Literal[1] = 1
    id: str
    url: str
    source: _Source
    body: dict[str, Any]

    @property
    def original(self) -> ObjectRef:
        """Where the original lies."""
        return ObjectRef(self.source.bucket, self.source.key)

    def encode(self) -> str:
        """Return the message's body."""
        return json.dumps(self.model_dump(), separators=(",", ":"))

    def content(self) -> bytes:
        """Return what is posted: the same bytes at each call."""
        return content_of(self.body)


def content_of(body: dict[str, Any]) -> bytes:
    """Return the bytes that are posted for a body."""
    return json.dumps(body, separators=(",", ":")).encode()


def make_callback(manifest: Manifest, url: str, body: dict[str, Any]) -> Callback:
    """Return the callback that tells of a manifest."""
    source = _Source(bucket=manifest.source.bucket, key=manifest.source.key)
    return Callback(id=callback_id(manifest), url=url, source=source, body=body)


def decode(body: str) -> Callback:
    """Read a message's body. Raises MalformedMessage."""
    try:
        return Callback.model_validate(json.loads(body))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise MalformedMessage(f"the message is no callback, since it is no JSON: {error}") from error
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise MalformedMessage(f"the message is no callback: {where}: {first['msg']}") from error
