"""The HTTP client of the clients of S3 and SQS: aiobotocore's, with requests that leave no task behind.

aiohttp 3.14 writes a request's body in a task of its own, and waits for it only with the answer. When the connection is
cut before the body begins, the task ends with an error that nobody takes, and asyncio logs it with a stack trace. The
request itself fails by its connection's end, which is an error with a meaning.

Private parts that this uses: aiobotocore's ``_get_session``, where it makes the session, ``_proxy_config``, and the
session's ``_request_class``; aiohttp's argument for it is public, and aiobotocore passes none.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import ClientError, ClientRequest

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection


class Request(ClientRequest):
    """One request to S3 or SQS: a redirect, or another try, is another one."""

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body. On an error aiohttp has closed the connection, which is what ends the request."""
        with suppress(ClientError, OSError):
            await super().write_bytes(writer, conn, content_length)


class HttpSession(AIOHTTPSession):
    """Sends requests whose failures are told once: by the request.

    Whatever goes to S3 and SQS is a ``request_class``, the fast path's requests too.
    """

    request_class: ClassVar[type[Request]] = Request

    async def _get_session(self, proxy_url: str | None) -> ClientSession:
        session: ClientSession = await super()._get_session(proxy_url)  # type: ignore[misc]  # not in its stubs
        session._request_class = self.request_class  # noqa: SLF001 - see above
        return session

    async def session_for(self, url: str) -> ClientSession | None:
        """Return the session that requests to a URL are sent on, or None when they go through a proxy."""
        proxies = self._proxy_config  # type: ignore[attr-defined]  # not in its stubs
        return None if proxies.proxy_url_for(url) else await self._get_session(None)
