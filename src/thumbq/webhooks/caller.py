"""Calls to endpoints, by aiohttp: no redirects, no cookies, no proxy of the environment."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp

from thumbq.errors import NotReached
from thumbq.ports import Answered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from thumbq.ports import WebhookCaller
    from thumbq.settings.webhooks import WebhooksTable

MAX_ANSWER_BYTES: Final = 64 << 10


class _Caller:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answered:
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                if len(await answer.content.read(MAX_ANSWER_BYTES + 1)) > MAX_ANSWER_BYTES:
                    raise NotReached(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
                retry_after = answer.headers.get("Retry-After", "")
                return Answered(answer.status, float(retry_after) if retry_after.isdecimal() else None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotReached(str(error) or type(error).__name__) from error


@asynccontextmanager
async def open_caller(table: WebhooksTable) -> AsyncIterator[WebhookCaller]:
    """Open what makes calls, as the settings have it."""
    timeout = aiohttp.ClientTimeout(table.timeout_s)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield _Caller(session)
