"""The HTTP client of the clients of S3 and SQS: aiobotocore's, with requests that leave no task behind.

aiohttp 3.14 writes a request's body in a task of its own, and waits for it only with the answer. When the connection is
cut before the body begins, the task ends with an error that nobody takes, and asyncio logs it with a stack trace. The
request itself fails by its connection's end, which is an error with a meaning.

Private parts that this uses: aiobotocore's ``_get_session``, where it makes the session, ``_build_ssl_contexts`` with
``_verify`` and ``_cert_file``, ``_proxy_config``, and the session's ``_request_class``; aiohttp's argument for it is
public, and aiobotocore passes none.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakValueDictionary

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import ClientError, ClientRequest
from botocore.httpsession import get_cert_path

from thumbq.ports.observing import Called, emit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from aiohttp import ClientSession
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

_SERVICE_PLACE: Final = 3
_LIST: Final = "LIST"
_FORM: Final = "application/x-www-form-urlencoded"

_contexts: Final[WeakValueDictionary[tuple[str, int], ssl.SSLContext]] = WeakValueDictionary()
"""What the sessions that are open check certificates by, for each file of authorities as it was."""

_contexts_lock: Final = threading.Lock()


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

    async def send(self, request: Any) -> Any:
        """Send an AWSPreparedRequest, and tell what became of it. Raises what botocore knows."""
        status: int | None = None
        headers: Mapping[str, str] | None = None
        try:
            response = await super().send(request)
            status, headers = response.status_code, response.headers
        finally:
            emit(Called(*_call(request), status, headers))
        return response

    async def _get_session(self, proxy_url: str | None) -> ClientSession:
        session: ClientSession = await super()._get_session(proxy_url)  # type: ignore[misc]  # not in its stubs
        session._request_class = self.request_class  # noqa: SLF001 - see above
        return session

    async def session_for(self, url: str) -> ClientSession | None:
        """Return the session that requests to a URL are sent on, or None when they go through a proxy."""
        proxies = self._proxy_config  # type: ignore[attr-defined]  # not in its stubs
        return None if proxies.proxy_url_for(url) else await self._get_session(None)

    def _build_ssl_contexts(self, proxy_url: str | None) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
        """Return what checks certificates, and that of a proxy; sessions share one, which takes 16 ms to be read."""
        read: Any = super()._build_ssl_contexts  # type: ignore[misc]  # not in its stubs
        if proxy_url or self._cert_file or not self._verify:  # type: ignore[attr-defined]  # the same
            return read(proxy_url)  # type: ignore[no-any-return]  # the same
        path = str(get_cert_path(self._verify))  # type: ignore[attr-defined]  # the same
        key = path, os.stat(path).st_mtime_ns  # noqa: PTH116 - a path of botocore's
        with _contexts_lock:
            context = _contexts.get(key)
            if context is None:
                context, _ = read(None)
                _contexts[key] = context
            return context, None


def _call(request: Any) -> tuple[str, str]:
    """Return the service that a request was signed for, and what it asks: the action, or S3's method or LIST.

    Sources: Signature Version 4, "Credential": the key's id, the date, the region and the service, by slashes. Smithy,
    "AWS JSON protocol" and "AWS query protocol": the action is in a header, or first in the form.
    """
    headers: Mapping[str, str | bytes] = request.headers
    scope = _text(headers.get("Authorization")).partition("Credential=")[2].split("/", 4)
    service = scope[3] if len(scope) > _SERVICE_PLACE else "unsigned"
    if (target := headers.get("X-Amz-Target")) is not None:
        return service, _text(target).rpartition(".")[2]
    if _text(headers.get("Content-Type")).startswith(_FORM):
        return service, _text(request.body).partition("&")[0].removeprefix("Action=")
    # Of all others the body is an object's. A listing is priced as a PUT is, and not as a GET.
    return service, _LIST if "list-type=" in request.url.partition("?")[2] else request.method or ""


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""
