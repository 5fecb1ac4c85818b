"""The function, called as Lambda calls it: from a thread without an event loop, always the same one."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.lambda_runtime.sqs_trigger import Context, function_environment
from support.servers.emulators import without_aws
from support.servers.fault_proxy import FaultProxy, fault_proxy
from thumbq.aws_lambda import Function

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Caller:
    """Calls a function."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._function = Function()

    async def __call__(self, event: Any, *, remaining_s: float = 60) -> dict[str, Any]:
        answer: dict[str, Any] = await self._run(self._function, event, Context(remaining_s))
        return answer

    async def close(self) -> None:
        await self._run(self._function.close)
        self._thread.shutdown()

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(lambda: self._thread.submit(function, *arguments).result())


@pytest.fixture
async def proxy(ministack_url: str) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(ministack_url, random.Random(1)) as opened:
        yield opened


@pytest.fixture
async def call(proxy: FaultProxy) -> AsyncIterator[Caller]:
    """Give a function whose S3 and SQS are behind the proxy; the test says which bucket it has."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(without_aws(before) | function_environment(await proxy.endpoint("function")))
    caller = Caller()
    try:
        yield caller
    finally:
        await caller.close()
        os.environ.clear()
        os.environ.update(before)
