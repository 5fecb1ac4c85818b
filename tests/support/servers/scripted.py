"""A server that answers what a test tells it to, over real connections, in the words of S3 and SQS."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from aiohttp import web

from support.patience import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """Answers what ``then`` lined up, one answer a request, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.headers: list[Mapping[str, str]] = []
        self._answers: deque[Answer] = deque()
        self._fixed: dict[str, Answer] = {}

    @property
    def operations(self) -> list[str]:
        """What was asked for, such as ReceiveMessage or PUT /bucket/key."""
        return [operation for operation, _ in self.requests]

    @property
    def documents(self) -> list[Any]:
        """What was asked, of requests in JSON."""
        return [json.loads(body) for _, body in self.requests]

    def then(self, *answers: Answer) -> None:
        self._answers.extend(answers)

    def forget(self) -> None:
        """Drop what is lined up and was not asked for."""
        self._answers.clear()

    def when(self, operation: str, answer: Answer) -> None:
        """Answer every request for ``operation`` in the same way, whenever it comes."""
        self._fixed[operation] = answer

    async def asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        with within(5):
            while len(self.requests) < times:  # noqa: ASYNC110 - the plainest way to wait for a condition
                await anyio.sleep(0.005)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        target = request.headers.get("X-Amz-Target", f"{request.method} {request.path}")
        operation = target.removeprefix("AmazonSQS.")
        self.requests.append((operation, await request.read()))
        self.headers.append(request.headers)
        answer = self._fixed.get(operation) or self._answers.popleft()
        return await answer(request)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Serve ``script`` on a free port of 127.0.0.1 and yield its URL."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def says(status: int, body: object = b"", **headers: str) -> Answer:
    """Answer with a status and bytes, or an object as JSON; ``_`` in a header's name stands for ``-``."""

    async def answer(_: web.Request) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=raw, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def s3_error(status: int, code: str) -> Answer:
    return says(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


def sqs_error(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    return says(status, {"__type": f"com.amazonaws.sqs#{code}", "message": message}, **headers)


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer, so that nobody knows what became of the request."""
    _transport(request).close()
    return web.Response()


async def stalls(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def cuts_the_body(request: web.Request) -> web.StreamResponse:
    """Promise 100 bytes, send 10, and close the connection."""
    response = web.StreamResponse(headers={"Content-Length": "100", "ETag": '"e"'})
    await response.prepare(request)
    await response.write(b"0123456789")
    _transport(request).close()
    return response


async def stalls_in_the_body(request: web.Request) -> web.StreamResponse:
    """Promise 100 bytes, send 10, and no more."""
    response = web.StreamResponse(headers={"Content-Length": "100", "ETag": '"e"'})
    await response.prepare(request)
    await response.write(b"0123456789")
    return await stalls(request)


def _transport(request: web.Request) -> asyncio.Transport:
    assert request.transport is not None
    return request.transport
