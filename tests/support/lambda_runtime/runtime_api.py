"""A stub of the API that Lambda's runtime client asks for events (AWS Lambda Developer Guide, "Runtime API")."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PREFIX = "/2018-06-01/runtime"


class InvocationFailed(Exception):
    """The function has raised; ``args`` hold the type and the message."""


class RuntimeApi:
    """Hands out events, and takes what the function answers."""

    def __init__(self) -> None:
        self.address = ""
        self._waiting: asyncio.Queue[tuple[str, Any, float]] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Any]] = {}

    async def invoke(self, event: Any, *, timeout_s: float = 30) -> Any:
        """Have the function called, and return its answer. Raises InvocationFailed."""
        request_id = str(uuid.uuid4())
        answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
        await self._waiting.put((request_id, event, timeout_s))
        async with asyncio.timeout(timeout_s):
            return await answer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{_PREFIX}/invocation/next", self._next),
            web.post(f"{_PREFIX}/invocation/{{id}}/response", self._response),
            web.post(f"{_PREFIX}/invocation/{{id}}/error", self._error),
            web.post(f"{_PREFIX}/init/error", self._init_error),
        ]

    async def _next(self, _: web.Request) -> web.Response:
        request_id, event, timeout_s = await self._waiting.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(round((time.time() + timeout_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:ap-northeast-1:000000000000:function:thumbq",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        }
        # json_response would name a charset too, and the runtime client then reads a text.
        return web.Response(body=json.dumps(event).encode(), content_type="application/json", headers=headers)

    async def _response(self, request: web.Request) -> web.Response:
        self._answers[request.match_info["id"]].set_result(json.loads(await request.read()))
        return web.json_response({"status": "OK"}, status=202)

    async def _error(self, request: web.Request) -> web.Response:
        error = json.loads(await request.read())
        self._answers[request.match_info["id"]].set_exception(
            InvocationFailed(error["errorType"], error["errorMessage"])
        )
        return web.json_response({"status": "OK"}, status=202)

    async def _init_error(self, request: web.Request) -> web.Response:
        error = InvocationFailed("init", (await request.read()).decode())
        for answer in self._answers.values():
            answer.set_exception(error)
        return web.json_response({"status": "OK"}, status=202)


@asynccontextmanager
async def runtime_api() -> AsyncIterator[RuntimeApi]:
    """Serve a Runtime API on this machine."""
    api = RuntimeApi()
    app = web.Application(client_max_size=8 << 20)
    app.add_routes(api.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.address = f"127.0.0.1:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()
