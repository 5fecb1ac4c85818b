"""Waiting for the body of a request: a client that stalls or a body that breaks ends with a problem."""

from __future__ import annotations

import types
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from thumbq.errors import UploadRefused
from thumbq.web.connection import Connection
from thumbq.web.services import UPLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator
    from contextlib import AbstractContextManager

    from thumbq.web.admission import RunningUpload

T = TypeVar("T")

# What aiohttp raises when a body ends early or is no multipart: the reader's own complaints, a connection that went
# away, and faults of chunking or compression.
_BROKEN: Final = (ValueError, ConnectionError, web.RequestPayloadError, HttpProcessingError)


def running(request: web.Request) -> AbstractContextManager[RunningUpload]:
    """Run the upload that a request is. Raises ProblemRaised when the service stops."""
    compressed = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity"
    return request.app[UPLOADS].upload(request.content, None if compressed else request.content_length)


_CONTINUE: Final = "100-continue"


async def expect(_: web.Request) -> None:
    """Leave the expectation of a client that waits before it sends a body: ``invite`` answers it.

    aiohttp answers it at once, before anybody has looked at the request.
    """


def check_expectation(request: web.Request) -> None:
    """Raise HTTPExpectationFailed for another expectation than this one."""
    if request.version >= HttpVersion11 and request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
        raise web.HTTPExpectationFailed


async def invite(request: web.Request) -> None:
    """Tell a client that waits for it to send the body: nothing that is known without the body refuses it."""
    if request.version >= HttpVersion11 and hdrs.EXPECT in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer itself nothing is sent yet


async def read(upload: RunningUpload, reading: Coroutine[Any, Any, T], *, what: str, if_broken: str) -> T:
    """Return what ``reading`` reads of an upload's body, called ``what``, and wait no longer than the limits allow.

    Raises UploadRefused with the code ``upload-stalled``, or with that of ``unbroken``, and ProblemRaised when the
    upload is ended.
    """
    try:
        return await _once_it_waits(reading, upload.waiting)
    except TimeoutError as error:
        raise UploadRefused("upload-stalled", f"No byte of the {what} came for {error}.") from None
    except _BROKEN:
        raise UploadRefused("incomplete-body", if_broken) from None


async def read_whole(
    request: web.Request, upload: RunningUpload, *, max_bytes: int, what: str, if_broken: str
) -> bytes | None:
    """Return a body that is no form; None as soon as it has more than ``max_bytes``: the rest stays unread.

    Raises as ``read``, and as ``RunningUpload.hold``.
    """
    # BytesIO hands its buffer over without a copy: a file is in memory once.
    body = BytesIO()
    while chunk := await read(upload, request.content.readany(), what=what, if_broken=if_broken):
        body.write(chunk)
        if body.tell() > max_bytes:
            return None
        await upload.hold(body.tell(), at_most=max_bytes)
    connection = request.protocol
    assert isinstance(connection, Connection)
    if connection.has_cut(request.content):
        raise UploadRefused("incomplete-body", if_broken)
    return body.getvalue()


@types.coroutine
def _once_it_waits(
    work: Coroutine[Any, Any, T], waiting: Callable[[], AbstractContextManager[None]]
) -> Generator[Any, Any, T]:
    """Do ``work``, within ``waiting()`` from its first wait on: small uploads are there whole, and wait for nothing."""
    try:
        awaited = work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    with waiting():
        while True:
            try:
                try:
                    value = yield awaited
                except BaseException as error:  # noqa: BLE001 - the work's to see, a cancellation too
                    awaited = work.throw(error)
                else:
                    awaited = work.send(value)
            except StopIteration as end:
                return cast("T", end.value)


@contextmanager
def unbroken(if_broken: str) -> Iterator[None]:
    """Raise UploadRefused with the code ``incomplete-body`` and this text for a body that aiohttp cannot read."""
    try:
        yield
    except _BROKEN:
        raise UploadRefused("incomplete-body", if_broken) from None
