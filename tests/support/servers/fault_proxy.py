"""A proxy in front of an emulator of S3 and SQS: it answers a share of the requests badly, and keeps what was asked.

Each replica has an endpoint of its own here, so that a request is known to be its.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

STALL_S = (1.0, 7.0)
"""An answer is held back this long: some clients wait for it, some have given up by then."""

_HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length", "expect"}


class Fault(Enum):
    """What goes wrong with one request."""

    ERROR = "500, not carried out"
    THROTTLE = "throttled"
    RESET = "connection reset, not carried out"
    ERROR_AFTER = "500, but carried out"
    LOST = "connection reset, but carried out"
    STALL = "carried out, the answer comes late"
    CUT = "carried out, the answer is cut short"


# What S3 and SQS say (their API references, "Error responses" and "Common errors").
_S3_SAYS = {Fault.ERROR: (500, "InternalError"), Fault.THROTTLE: (503, "SlowDown")}
_SQS_SAYS = {Fault.ERROR: (500, "InternalFailure"), Fault.THROTTLE: (400, "RequestThrottled")}


@dataclass
class Asked:
    """One request of a replica. Times are POSIX seconds, as in the replicas' logs."""

    replica: str
    service: str
    operation: str
    """``ReceiveMessage``, or for S3 the method."""
    path: str
    body: str
    """Empty for S3."""
    at: float
    fault: Fault | None = None
    answer: str = ""
    """What SQS answered, whether the replica got to see it or not."""
    answered_at: float | None = None


class FaultProxy:
    """The faults, and the record.

    ``share`` of the requests go wrong; those that are ``blocked`` get no answer, and ``throttled`` ones that they are.
    What ``refused`` gives a status and a code for is answered with them. Answers come ``without`` the headers and the
    members of messages (or of a queue's attributes) that are named.
    """

    def __init__(self, target: str, session: aiohttp.ClientSession, random: Random) -> None:
        self.share = 0.0
        self.blocked: Callable[[Asked], bool] = lambda _: False
        self.throttled: Callable[[Asked], bool] = lambda _: False
        self.refused: Callable[[Asked], tuple[int, str] | None] = lambda _: None
        self.without: frozenset[str] = frozenset()
        self.asked: list[Asked] = []
        self._target = target
        self._session = session
        self._random = random
        self._deck: list[Fault] = []
        self._endpoints: dict[str, str] = {}
        self._runners = AsyncExitStack()

    async def endpoint(self, replica: str) -> str:
        """Return the URL that stands for S3 and SQS for this replica; another start of it gets the same."""
        if replica not in self._endpoints:
            runner = web.ServerRunner(web.Server(partial(self._handle, replica), access_log=None), shutdown_timeout=0.1)
            await runner.setup()
            self._runners.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._endpoints[replica] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self._endpoints[replica]

    def counts(self, service: str, *, since: int = 0) -> Counter[str]:
        """Count requests to a service by operation, from the ``since``-th request in the record on."""
        return Counter(asked.operation for asked in self.asked[since:] if asked.service == service)

    def faults(self) -> Counter[str]:
        return Counter(asked.fault.value for asked in self.asked if asked.fault)

    def received(self) -> list[tuple[Asked, str, str]]:
        """Return each message that was handed out: the receive, the message's id and its receipt."""
        return [
            (asked, message["MessageId"], message["ReceiptHandle"])
            for asked in self.asked
            if asked.operation == "ReceiveMessage" and asked.answer.startswith("{")
            for message in json.loads(asked.answer).get("Messages", [])
        ]

    async def close(self) -> None:
        await self._runners.aclose()

    async def _handle(self, replica: str, request: web.BaseRequest) -> web.StreamResponse:
        if hdrs.EXPECT in request.headers:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        body = await request.content.read()
        service, operation = _operation(request, body)
        asked = Asked(
            replica,
            service=service,
            operation=operation,
            path=request.raw_path,
            body="" if service == "s3" else body.decode(),
            at=time.time(),
        )
        self.asked.append(asked)
        if self.blocked(asked):
            while self.blocked(asked):  # noqa: ASYNC110 - a test's function has no event
                await asyncio.sleep(0.05)
            return _reset(request)
        if refusal := self.refused(asked):
            return _error(asked, *refusal)
        if self.throttled(asked):
            asked.fault = Fault.THROTTLE
        elif self._random.random() < self.share:
            asked.fault = self._next_fault()
        return await self._answered(asked, request, body)

    def _next_fault(self) -> Fault:
        """Draw a fault; each kind comes once before one comes again."""
        if not self._deck:
            self._deck = self._random.sample(list(Fault), len(Fault))
        return self._deck.pop()

    async def _answered(self, asked: Asked, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        match asked.fault:
            case Fault.ERROR | Fault.THROTTLE:
                return _fault(asked)
            case Fault.RESET:
                return _reset(request)
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if _passes(name))
        url = URL(self._target + request.raw_path, encoded=True)
        try:
            async with self._session.request(request.method, url, data=body, headers=headers) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            return _reset(request)
        asked.answered_at = time.time()
        asked.answer = content.decode() if asked.service == "sqs" else ""
        match asked.fault:
            case Fault.ERROR_AFTER:
                return _fault(asked)
            case Fault.LOST:
                return _reset(request)
            case Fault.STALL:
                await asyncio.sleep(self._random.uniform(*STALL_S))
        headers = CIMultiDict(
            (name, value)
            for name, value in answer.headers.items()
            if _passes(name) and name.lower() not in {one.lower() for one in self.without}
        )
        if asked.service == "sqs" and self.without:
            content = _less(content, self.without)
        elif hdrs.CONTENT_LENGTH in answer.headers:
            headers[hdrs.CONTENT_LENGTH] = answer.headers[hdrs.CONTENT_LENGTH]
        return await _passed_on(request, answer.status, headers, content, cut=asked.fault is Fault.CUT)


def _operation(request: web.BaseRequest, body: bytes) -> tuple[str, str]:
    """Return the service that a request is for, and its operation; of S3 that is the method."""
    if target := request.headers.get("X-Amz-Target"):
        service, _, operation = target.partition(".")
        return {"AmazonSQS": "sqs", "AWSEvents": "events"}[service], operation
    if request.headers.get(hdrs.CONTENT_TYPE, "").startswith("application/x-www-form-urlencoded"):
        return "sns", dict(parse_qsl(body.decode()))["Action"]
    return "s3", request.method


def _less(content: bytes, without: frozenset[str]) -> bytes:
    """Return an answer of SQS without some members."""
    document = json.loads(content or b"{}")
    for part in (document, *document.get("Messages", [])):
        for name in without:
            part.pop(name, None)
    return json.dumps(document).encode()


def _passes(name: str) -> bool:
    return name.lower() not in _HOP_BY_HOP


async def _passed_on(
    request: web.BaseRequest, status: int, headers: CIMultiDict[str], content: bytes, *, cut: bool
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.headers.setdefault(hdrs.CONTENT_LENGTH, str(len(content)))
    if not cut:
        await response.prepare(request)
        await response.write(content)
    elif content:
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
    return _reset(request) if cut else response


def _fault(asked: Asked) -> web.Response:
    # A fault after the fact looks like one before it.
    fault = Fault.THROTTLE if asked.fault is Fault.THROTTLE else Fault.ERROR
    return _error(asked, *(_S3_SAYS if asked.service == "s3" else _SQS_SAYS)[fault])


def _error(asked: Asked, status: int, code: str) -> web.Response:
    if asked.service == "s3":
        text = "" if asked.operation == "HEAD" else f"<Error><Code>{code}</Code><Message>fault</Message></Error>"
        return web.Response(status=status, text=text, content_type="application/xml")
    if asked.service == "sns":
        text = f"<ErrorResponse><Error><Code>{code}</Code><Message>fault</Message></Error></ErrorResponse>"
        return web.Response(status=status, text=text, content_type="text/xml")
    text = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "fault"})
    return web.Response(status=status, text=text, content_type="application/x-amz-json-1.0")


def _reset(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        # Lingering for no time makes the close a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def fault_proxy(target: str, random: Random) -> AsyncIterator[FaultProxy]:
    """Run a proxy to the emulator at ``target``; it has no faults until ``share`` is set."""
    # Idle connections are closed here before the emulator does it: its close could meet a request.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        proxy = FaultProxy(target, session, random)
        try:
            yield proxy
        finally:
            await proxy.close()
