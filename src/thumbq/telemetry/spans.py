"""What a span says of a piece of work: OpenTelemetry's semantic conventions 1.44, and what is thumbq's own.

Their documents "HTTP", "Messaging" with "AWS SQS", and "AWS SDK" with "AWS S3". Never the query of a URL, a token or a
cookie; of a callback's URL its host only, since the rest may be a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from thumbq.ports.tracing import Answering, Asking, Calling, Handling, InStage, Publishing, Sending, copied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thumbq.core.tracecontext import TraceContext
    from thumbq.ports.tracing import Work

BUCKET: Final = "aws.s3.bucket"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"})
_HOST: Final = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<port>\d{1,5}))?")
_PORTS: Final = {"http": 80, "https": 443}
_SYSTEMS: Final = {"sqs": "aws_sqs", "sns": "aws.sns", "events": "aws.eventbridge"}

_REQUEST_IDS: Final = {"aws.request_id": "x-amz-request-id", "aws.extended_request_id": "x-amz-id-2"}

NOTES: Final = {
    "message_id": "messaging.message.id",
    "status": "http.response.status_code",
    "code": "thumbq.code",
    "size": "thumbq.size",
    "disposition": "thumbq.disposition",
}
"""The attributes that notes become."""


class Described(NamedTuple):
    """A span to be: with ``links`` to others. ``parent`` is another process's; without it, this context's span is."""

    name: str
    kind: SpanKind
    attributes: dict[str, str | int]
    parent: TraceContext | None = None
    link: TraceContext | None = None


class Descriptions:
    """Describes pieces of work as spans.

    ``system`` is the messaging system, ``queues`` has the queues' own names by those in the settings.
    """

    def __init__(self, *, system: str, queues: Mapping[str, str]) -> None:
        self._system = system
        self._queues = queues
        self._describe: dict[type, Callable[[Any], Described]] = {
            Answering: _answering,
            Sending: self._sending,
            Handling: self._handling,
            InStage: self._stage,
            Asking: _asking,
            Calling: _calling,
            Publishing: _publishing,
        }

    def of(self, work: Work) -> Described:
        """Return what the span of a piece of work says from its beginning."""
        return self._describe[type(work)](work)

    def _sending(self, work: Sending) -> Described:
        attributes = _messaging(self._system, work.queue, "send", "send")
        original = copied()
        # The span whose context travels with the message is the producer: that of a copy is its original's.
        kind = SpanKind.PRODUCER if original is None else SpanKind.CLIENT
        return Described(f"send {work.queue}", kind, attributes, link=original)

    def _handling(self, work: Handling) -> Described:
        queue = self._queues.get(work.queue, work.queue)
        attributes = _messaging(self._system, queue, "process", "process")
        attributes["messaging.message.id"] = work.message_id
        attributes["thumbq.receive_count"] = work.receive_count
        return Described(f"process {queue}", SpanKind.CONSUMER, attributes, parent=work.sender, link=work.sender)

    def _stage(self, work: InStage) -> Described:
        queue = self._queues.get(work.queue, work.queue)
        if work.stage == "ack":
            return Described(f"ack {queue}", SpanKind.CLIENT, _messaging(self._system, queue, "ack", "settle"))
        attributes: dict[str, str | int] = {"thumbq.queue": queue}
        if work.key is not None:
            attributes["thumbq.key"] = work.key
        return Described(work.stage, SpanKind.INTERNAL, attributes)


def _messaging(system: str, destination: str, operation: str, kind: str) -> dict[str, str | int]:
    return {
        "messaging.system": system,
        "messaging.destination.name": destination,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }


def _answering(work: Answering) -> Described:
    scheme, client = work.origin()
    method = work.method if work.method in _METHODS else "_OTHER"
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "url.path": work.path,
        "url.scheme": scheme,
        **_server(work.headers.get("Host", ""), scheme),
    }
    if method != work.method:
        attributes["http.request.method_original"] = work.method
    if work.route is not None:
        attributes["http.route"] = work.route
    if client:
        attributes["client.address"] = client
    if agent := work.headers.get("User-Agent"):
        attributes["user_agent.original"] = agent
    called = "HTTP" if method != work.method else method
    return Described(
        called if work.route is None else f"{called} {work.route}",
        SpanKind.SERVER,
        attributes,
        parent=work.sender,
    )


def _asking(work: Asking) -> Described:
    attributes: dict[str, str | int] = {
        "rpc.system": "aws-api",
        "rpc.service": "S3",
        "rpc.method": work.operation,
        BUCKET: work.bucket,
        "aws.s3.key": work.key,
    }
    return Described(f"S3.{work.operation}", SpanKind.CLIENT, attributes)


def answered(status: int, headers: Mapping[str, str]) -> dict[str, str | int]:
    """Return what the answer adds to a request to S3: by the two ids AWS's support finds it."""
    found = {name: value for name, header in _REQUEST_IDS.items() if (value := headers.get(header))}
    return {"http.response.status_code": status, **found}


def _calling(work: Calling) -> Described:
    parts = urlsplit(work.url)
    host = parts.netloc.rpartition("@")[2]
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "url.full": f"{parts.scheme}://{host}/REDACTED",
        **_server(host, parts.scheme),
    }
    return Described("POST", SpanKind.CLIENT, attributes)


def _publishing(work: Publishing) -> Described:
    attributes = _messaging(_SYSTEMS[work.service], work.target, "send", "send")
    return Described(f"send {work.target}", SpanKind.PRODUCER, attributes)


def _server(host: str, scheme: str) -> dict[str, str | int]:
    found = _HOST.fullmatch(host)
    if found is None or not found["name"]:
        return {}
    port = int(found["port"]) if found["port"] else _PORTS.get(scheme, 0)
    return {"server.address": found["name"].strip("[]"), "server.port": port}
