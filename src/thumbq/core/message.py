"""Message bodies: what is a job, and what is not."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, get_args

from thumbq.core import callback, events
from thumbq.core.events import checked_source
from thumbq.core.job import JobRequest, Rerender
from thumbq.core.jsonmembers import once_each
from thumbq.errors import MalformedMessage, SendRefused

MAX_BODY_BYTES: Final = 1 << 20
MAX_ENVELOPES: Final = 8
"""How deep a message may be inside envelopes of SNS."""
MAX_JOBS: Final = 1000
"""How many originals one message may name. AWS sends one; they are done one after the other, under one lease."""

# What a message can hold: Amazon SQS API Reference, SendMessage, "MessageBody" (the characters of XML 1.0).
_NOT_SENDABLE: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP: Final = re.compile(r"[!-~]{1,128}")
_JSON_SPACE: Final = " \t\n\r"
_BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a message asks for: distinct jobs in their order. Where there is none, ``no_job`` says why."""

    jobs: tuple[JobRequest, ...] = ()
    no_job: str = ""


def encode(request: JobRequest) -> str:
    """Return the JSON body that asks for a job."""
    body: dict[str, Any] = {"bucket": request.source.bucket, "key": request.source.key}
    if request.presets is not None:
        body["presets"] = list(request.presets)
    if request.callback_url is not None:
        body["callback_url"] = request.callback_url
    if request.again:
        body["again"] = True
    if request.deletion:
        body["deletion"] = True
    if request.rerender is not None:
        body["rerender"] = request.rerender
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


def parse(body: str, *, default_bucket: str) -> Parsed:
    """Read a message's body.

    A body that starts with ``{`` or ``[`` is JSON, also behind a byte order mark. A JSON string is the key in it,
    anything else of at most 1,024 bytes a bare key, both in ``default_bucket``. Raises MalformedMessage, with a reason
    for people, for everything that is neither a job nor one of those that AWS sends without wanting any.

    A version that an event names does not count: what is rendered is the object as it is when its job runs. So events
    of one key may come out of order or twice, and the last picture that was stored is the one that is shown.
    """
    for _ in range(1 + MAX_ENVELOPES):
        text = body.removeprefix(_BOM).strip(_JSON_SPACE)
        if not text:
            raise MalformedMessage("the body is empty; a job is a key or a JSON object with bucket and key")
        if not text.startswith(("{", "[")):
            key = _string(text)
            return Parsed((JobRequest(checked_source(default_bucket, body if key is None else key)),))
        document = _loaded(text)
        if "key" in document:
            return Parsed((_asked_for(document, default_bucket),))
        inner = events.unwrapped(document)
        if inner is None:
            return _of_event(document)
        body = inner
    raise MalformedMessage(f"there are more than {MAX_ENVELOPES} envelopes of SNS inside each other")


def _string(text: str) -> str | None:
    """Return what a JSON string holds, as EventBridge sends with an InputPath to the key; None when it is no string."""
    if not (text.startswith('"') and text.endswith('"')):
        return None
    try:
        return str(json.loads(text))
    except ValueError:
        return None


def _loaded(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=once_each, parse_constant=_refuse_constant)
    except ValueError as error:
        raise MalformedMessage(f"the body starts like JSON but is not: {error}") from error
    except RecursionError as error:
        raise MalformedMessage("the body is JSON that is nested too deeply") from error
    if not isinstance(document, dict):
        raise MalformedMessage("the body is a JSON array; a job is a JSON object, one in each message")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _of_event(document: dict[str, Any]) -> Parsed:
    if (reason := events.no_job(document)) is not None:
        return Parsed(no_job=reason)
    jobs = events.created(document)
    if jobs is None:
        raise MalformedMessage('the JSON body is no job: it has no "key", and is no event of S3')
    distinct = tuple(dict.fromkeys(jobs))
    if len(distinct) > MAX_JOBS:
        raise MalformedMessage(f"the message names {len(distinct):,} originals; at most {MAX_JOBS:,} can be in one")
    return Parsed(distinct, "" if distinct else "the event created no object, or just a folder")


def _asked_for(document: dict[str, Any], default_bucket: str) -> JobRequest:
    source = checked_source(document.get("bucket", default_bucket), document["key"])
    presets, callback_url = document.get("presets"), document.get("callback_url")
    if presets is not None and not (
        isinstance(presets, list) and presets and all(isinstance(name, str) and name.isprintable() for name in presets)
    ):
        raise MalformedMessage('"presets" must be a list of preset names')
    if callback_url is not None:
        if not isinstance(callback_url, str):
            raise MalformedMessage('"callback_url" must be a string')
        try:
            callback_url = callback.checked(callback_url)
        except ValueError as error:
            raise MalformedMessage(f'"callback_url": {error}') from error
    rerender = document.get("rerender")
    if rerender is not None and rerender not in get_args(Rerender):
        raise MalformedMessage(f'"rerender" must be one of {", ".join(get_args(Rerender))}')
    distinct = tuple(dict.fromkeys(presets)) if presets else None
    deletion, again = (document.get(name) is True for name in ("deletion", "again"))
    return JobRequest(source, distinct, callback_url, deletion=deletion, again=again, rerender=rerender)
