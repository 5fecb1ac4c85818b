"""The connection of one client: aiohttp's own, which also answers where aiohttp closes without an answer.

What each part does that aiohttp 3.14 does not:

- ``eof_received``: a client may close its direction behind its request (``nc``, some proxies). aiohttp closes the
  connection then, request or not.
- ``data_received``: a body with damaged chunks gets one answer, its handler's. aiohttp sends a second one, which a
  proxy would take for the answer to the next request.
- ``handle_error``: errors of the parser are problems as all others, with the headers of all answers, and a line in the
  log. aiohttp sends plain text and logs a stack trace for each.
- ``finish_response``: the last answer waits until the client has closed. aiohttp closes at once on bytes that it has
  not read, which resets the connection, and a client that is still sending never sees the answer.
- ``connection_made``, ``data_received``: a client that sends nothing, or half a head, is not kept for an hour.
- ``shutdown`` and ``connection_lost``: nobody waits for such a client when the service stops or the client is gone.

Private parts of aiohttp that this uses:

- ``_messages``, the requests that are parsed and not begun: no public part says whether a request is the last one.
- ``_waiter``: it is there while the task of the connection is idle.
- ``_parser``: only the parser knows whether half of a request's head has arrived.
- ``_ErrInfo``, the parser's refusal in the queue of requests.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import anyio
import structlog
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from thumbq.ports.observing import Answered, emit
from thumbq.web import problems, requestid, unreadable
from thumbq.web.answerheaders import complete
from thumbq.web.requestid import REQUEST_ID

if TYPE_CHECKING:
    from aiohttp import StreamReader, web
    from aiohttp.web_request import BaseRequest

    from thumbq.web.connections import Connections
    from thumbq.web.cors import Origins

_LINGER_S: Final = 10.0  # for a client that may still be sending, once it has its answer
_LAST_LINGER_S: Final = 0.5  # when the service stops
_FIRST_BYTE_S: Final = 60.0
_HEAD_S: Final = 20.0
_KEEP_ALIVE_S: Final = 620.0  # longer than balancers keep a connection that nobody uses; one of Google's does for 600 s

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Connection(RequestHandler):
    """Reads requests until the client closes its direction or sends no HTTP, and answers all that it has read.

    A body that ends early goes to its handler as it is, with its end there (see ``has_cut``).
    """

    def __init__(self, manager: web.Server, connections: Connections, origins: Origins, **kwargs: Any) -> None:
        super().__init__(manager, lingering_time=_LINGER_S, keepalive_timeout=_KEEP_ALIVE_S, **kwargs)
        self._connections = connections
        self._origins = origins
        self._patience: asyncio.TimerHandle | None = None  # for the first byte, and for the rest of a head
        self._head_begun = False
        self._newest_body: StreamReader = EMPTY_PAYLOAD
        self._answered_body: StreamReader = EMPTY_PAYLOAD
        self._cut_body: StreamReader | None = None
        self._unreadable = False
        self._ended = False
        self._stopping = False
        self._wait_ended = anyio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first byte, but not for long."""
        super().connection_made(transport)
        self._connections.opened(self)
        self._patience = self._loop.call_later(_FIRST_BYTE_S, self.drop)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client, unless the parser has lost the boundary between requests."""
        if self._unreadable or self._ended:
            return
        super().data_received(data)
        if not self._messages:
            if self._waiter is not None:
                self._wait_for_head()
            return
        self._connections.works(self)
        self._end_patience()
        message, body = self._messages[-1]
        if not isinstance(message, _ErrInfo):
            self._newest_body = body
            return
        self._unreadable = True
        if not self._newest_body.is_eof():
            # The damage is in the body of a request that has its handler: it gives the answer, and the only one.
            self._messages.pop()
            self._end_requests()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio takes a bool; aiohttp narrowed it to None
        """Answer the requests that came before the client closed its direction; True keeps the connection for that."""
        self._ended = True
        self._wait_ended.set()
        if self._newest_body.is_eof():
            self._refuse_unfinished_head()
        return self._end_requests()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the wait for the client to close."""
        self._wait_ended.set()
        self._connections.closed(self)
        self._end_patience()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Let a request be answered within ``timeout`` seconds; one that is answered gets a moment to be read."""
        self._stopping = True
        self._wait_ended.set()
        if not self._answered_body.is_eof():
            await self._wait_for_close(_LAST_LINGER_S)
            self._answered_body.feed_eof()
        await super().shutdown(timeout)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the last one of a connection says so, and waits until the client has closed."""
        if request.content.exception() is not None:
            self._unreadable = True
            request.content.feed_eof()
        if not self._messages:
            self._connections.waits(self)
        last = (self._unreadable or self._ended) and not self._messages
        if last:
            resp.force_close()
        answer = await super().finish_response(request, resp, start_time)
        self._answered_body = request.content
        if last or not request.content.is_eof():
            self._connections.lingers(self)
        if last:
            await self._wait_for_close(_LINGER_S)
        elif self._stopping and not request.content.is_eof():
            await self._wait_for_close(_LAST_LINGER_S)
        return answer

    def handle_error(
        self,
        request: BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the problem of a request that the parser refused, or of a failure outside of the application."""
        request_id = request.setdefault(REQUEST_ID, requestid.request_id(request.headers))
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            reason = unreadable.words(exc, message or "")
            problem = unreadable.explain(status, exc, reason)
            if status == HTTPStatus.REQUEST_TIMEOUT:
                self._connections.late_heads.add()
            else:
                about = {"status": problem.status, "code": problem.code, "reason": reason}
                log.info("request.unreadable", request_id=request_id, **about)
        else:
            log.error("request.failed", request_id=request_id, exc_info=exc)
            problem = problems.INTERNAL_ERROR
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already; a second one would corrupt it")
        answer = problems.response(problem)
        complete(request, answer, self._origins)
        answer.force_close()
        emit(Answered(None, request.method, answer.status, 0.0, 0, answer.content_length or 0))
        return answer

    @property
    def client_closed(self) -> bool:
        """Whether the client will send nothing more, which is all that is seen of one that has gone away."""
        return self._ended or self.transport is None

    def has_cut(self, body: StreamReader) -> bool:
        """Whether a body ends because the client has closed its direction within it."""
        return body is self._cut_body

    def drop(self) -> None:
        """Close the connection at once, whatever its client has not taken yet."""
        transport = self.transport
        self.force_close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def _wait_for_head(self) -> None:
        """Bound the time from the first byte of a request's head, or from that of the connection, to its last one."""
        if not self._head_begun:
            self._head_begun = True
            self._end_patience()
            self._patience = self._loop.call_later(_HEAD_S, self._refuse_late_head)

    def _end_patience(self) -> None:
        self._head_begun = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse_late_head(self) -> None:
        self._unreadable = True
        self._refuse_head(HTTPStatus.REQUEST_TIMEOUT, f"its head was not there after {_HEAD_S:g} seconds.")

    def _refuse_head(self, status: int, reason: str) -> None:
        error = BadHttpMessage(reason)
        self._messages.append((_ErrInfo(status, error, error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _refuse_unfinished_head(self) -> None:
        try:
            assert self._parser is not None
            unfinished = self._parser.feed_eof() is not None
        except HttpProcessingError:
            unfinished = True
        if unfinished:
            self._refuse_head(HTTPStatus.BAD_REQUEST, "The request ends within its head.")

    def _end_requests(self) -> bool:
        """End the body that was being read; return whether a request is left to answer."""
        if not self._newest_body.is_eof():
            self._cut_body = self._newest_body
            self._newest_body.feed_eof()
        if self._messages:
            return True
        if self._waiter is not None:
            return False
        self.close()
        return True

    async def _wait_for_close(self, at_most_s: float) -> None:
        """Close in two steps: a close on unread bytes resets the connection, and the answer is lost with it."""
        if self.transport is None or self._ended:
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client has reset the connection
            return
        self._wait_ended = anyio.Event()
        with anyio.move_on_after(at_most_s):
            await self._wait_ended.wait()
